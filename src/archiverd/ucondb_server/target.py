"""Endpoint and parameters of a request, from path and query (ucondb_protocol.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from archiverd.ucondb_server.replies import failure, invalid_value, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DATA_ENDPOINTS = frozenset({"data", "get", "put"})
"""The endpoints whose path words are parameters."""

_ILLEGAL = frozenset("<'>\\|")


@dataclass(frozen=True, slots=True)
class Target:
    """A split request target; ``words`` are the undecoded path words after the endpoint's name."""

    endpoint: str
    words: tuple[str, ...]
    query: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Values by name; a name repeated in the query has several."""

    values: Mapping[str, tuple[str, ...]]

    def every(self, name: str) -> tuple[str, ...]:
        """Return all values of ``name``, in order."""
        return self.values.get(name, ())

    def one(self, name: str) -> str | None:
        """Return the value of ``name``, None if missing. Raise the 500 for several."""
        values = self.every(name)
        if len(values) > 1:
            raise failure("operator does not exist: text = text[]")
        return values[0] if values else None

    def is_yes(self, name: str) -> bool:
        """Return whether ``name`` has exactly the value ``yes``."""
        return self.every(name) == ("yes",)


def split_target(raw_path: bytes, query: bytes, prefix: tuple[str, ...]) -> Target:
    """Split path and query, undecoded as they came, below the words of ``prefix``.

    Doubled slashes, ``/./`` and a trailing slash are dropped. Raise the refusals of section 2: 404 outside the
    prefix, 500 for a query that is not UTF-8 or a parameter without ``=``.
    """
    words = tuple(word for word in raw_path.decode("latin-1").split("/") if word not in ("", "."))
    if words[: len(prefix)] != prefix:
        raise refusal(404, "")
    below = words[len(prefix) :]
    endpoint, rest = (below[0], below[1:]) if below else ("", ())
    return Target(endpoint, rest, tuple(_query_fields(query)))


def parameters_of(target: Target) -> Parameters:
    """Return the parameters of a request, checked.

    Raise 500 for one set twice in the path, or in path and query, and for a semicolon; 400 for angle brackets, single
    quotes, backslashes and bars.
    """
    from_path = list(_path_parameters(target))
    values: dict[str, tuple[str, ...]] = {}
    for name, value in from_path:
        if name in values:
            raise failure(f"Value for {name} specified twice in the URL")
        values[name] = (value,)
    for name, value in target.query:
        if any(name == taken for taken, _ in from_path):
            raise failure(f"Value for {name} specified twice in the URL")
        values[name] = (*values.get(name, ()), value)
    for name, given in values.items():
        if any(_ILLEGAL.intersection(value) for value in given):
            raise invalid_value(name)
    if target.endpoint in DATA_ENDPOINTS and (
        any('"' in value for _, value in from_path) or any(";" in value for given in values.values() for value in given)
    ):
        raise failure("Invalid argument value")
    return Parameters(values)


def _query_fields(query: bytes) -> Iterable[tuple[str, str]]:
    for field in query.split(b"&"):
        if not field:
            continue
        name, equals, value = field.partition(b"=")
        if not equals:
            raise failure("argument of type 'NoneType' is not iterable")
        yield _form_decoded(name), _form_decoded(value)


def _form_decoded(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as error:
        raise failure(str(error)) from None


def _path_parameters(target: Target) -> Iterable[tuple[str, str]]:
    """Yield the parameters in the path; which words are some depends on the endpoint (section 2)."""
    if target.endpoint in DATA_ENDPOINTS:
        bare = iter(("folder",))
        for word in target.words:
            name, equals, value = word.partition("=")
            yield (name, value) if equals else (next(bare, "object"), word)
    elif target.words and target.endpoint == "get_blob":
        yield "folder", "/".join(target.words)
    elif target.words and target.endpoint == "lookup_versions":
        yield "folder", target.words[0]
        if len(target.words) > 1:
            yield "object", "/".join(target.words[1:])
