"""References in the configuration's strings, expanded.

``${VAR}`` and ``${VAR:-default}`` (the name begins with a capital) come from the environment; an unset one without
default is empty. ``${key}`` is a key of the same section, ``${section.key}`` one of another; both take a default too.
References nest, in values and in defaults; a circle is an error. Values of the environment are not expanded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Path = tuple[str, ...]

LIMIT = 65_536
"""Most characters of an expanded value: references that double each other must not fill the memory."""

_MENTIONED = re.compile(r"\$\{(?:([A-Za-z_][\w.]*)(:-)?)?|\}", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Expanded:
    """A value that held references."""

    path: tuple[str, ...]
    """Its section, or sections, and its key."""
    written: str
    text: str
    """The expanded value; may be a secret."""
    variables: tuple[str, ...]
    """The environment variables it was expanded from, also through other keys."""


def ignore(_expanded: Expanded) -> None:
    """Discard a value that held references."""


def expand(
    values: Mapping[str, Any], environment: Mapping[str, str], report: Callable[[Expanded], None] = ignore
) -> dict[str, Any]:
    """Return ``values`` (sections of keys) with every reference in a string replaced.

    ``report`` is called with each value that held references. Raise ConfigurationError for a reference to nothing, to
    itself, or that is not closed.
    """
    source = _Source(values, environment)
    return {key: _walk(inner, (key,), source, report) for key, inner in values.items()}


def variables(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each environment variable that ``text`` refers to, and whether ``text`` can do without it.

    It can if the reference has a default, or is within another one's default.
    """
    depth = 0
    for match in _MENTIONED.finditer(text):
        name, default = match.groups()
        if match[0] == "}":
            depth = max(0, depth - 1)
            continue
        if name and _is_variable(name):
            yield name, default is not None or depth > 0
        depth += 1


def _walk(value: Any, path: Path, source: _Source, report: Callable[[Expanded], None]) -> Any:
    """Expand a string, or what a table or list holds."""
    if isinstance(value, dict):
        return {key: _walk(inner, (*path, key), source, report) for key, inner in value.items()}
    if isinstance(value, list):
        return [_walk(inner, path, source, report) for inner in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    used: list[str] = []
    text = source.text(value, path[:-1], (".".join(path),), used)
    report(Expanded(path, value, text, tuple(dict.fromkeys(used))))
    return text


@dataclass(frozen=True, slots=True)
class _Source:
    """The values that references resolve to."""

    values: Mapping[str, Any]
    environment: Mapping[str, str] = field(repr=False)

    def text(self, value: str, section: Path, above: Path, used: list[str]) -> str:
        """Return ``value``, a value of ``section``, expanded; ``above`` are the keys that led here."""
        parts, length = [], 0
        try:
            for literal, reference in _pieces(value):
                parts.append(literal or self._target(reference, section, above, used))
                length += len(parts[-1])
        except _MalformedError as error:
            raise ConfigurationError(
                f"Configuration value {above[-1]} {error}",
                remedy="the forms are ${VAR}, ${VAR:-default}, ${key} and ${section.key}; a password that holds ${ is "
                "given as a credential or in the environment",
            ) from None
        if length > LIMIT:
            raise ConfigurationError(f"Configuration value {above[-1]} expands to more than {LIMIT} characters")
        return "".join(parts)

    def _target(self, reference: str, section: Path, above: Path, used: list[str]) -> str:
        """Return the value of one reference."""
        name, default = _split(reference)
        if _is_variable(name):
            used.append(name)
            found = self.environment.get(name) or (None if default is not None else "")
        else:
            found = self._parameter(name, section, above, used)
        if found is not None:
            return found
        if default is not None:
            return self.text(default, section, above, used)
        raise ConfigurationError(
            f"Configuration value {above[0]} refers to ${{{name}}}, but there is no {_full(name, section)}",
            remedy="set it, or write an upper-case name for an environment variable",
        )

    def _parameter(self, name: str, section: Path, above: Path, used: list[str]) -> str | None:
        """Return the value of the key ``name``, or None if there is no such key."""
        path = self._find(name, section)
        if path is None:
            return None
        full = ".".join(path)
        if full in above:
            circle = " → ".join((*above[above.index(full) :], full))
            raise ConfigurationError(f"Configuration references go in a circle: {circle}")
        value = self._at(path)
        if isinstance(value, dict | list):
            raise ConfigurationError(f"Configuration value {above[0]} refers to {full}, which is not a single value")
        if isinstance(value, str):
            return self.text(value, path[:-1], (*above, full), used)
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    def _find(self, name: str, section: Path) -> Path | None:
        """Return the path of the key that ``name`` means in ``section``: there, or in the section around it."""
        if "." in name:
            candidates = [tuple(name.split("."))]
        else:
            candidates = [(*section[:depth], name) for depth in range(len(section), 0, -1)]
        return next((path for path in candidates if self._at(path) is not _NOTHING), None)

    def _at(self, path: Path) -> Any:
        """Return the value at ``path``, or _NOTHING."""
        value: Any = self.values
        for name in path:
            if not isinstance(value, dict) or name not in value:
                return _NOTHING
            value = value[name]
        return value


_NOTHING = object()


class _MalformedError(ValueError):
    """What is wrong with a value, to be said with its key; values are not shown, they may be secret."""


def _is_variable(name: str) -> bool:
    """Return whether a reference's name means an environment variable."""
    return name.lstrip("_")[:1].isupper()


def _full(name: str, section: Path) -> str:
    """Return the full name of a key that is written in ``section``."""
    return name if "." in name else ".".join((*section, name))


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield the pieces of ``text``: ``(literal, "")`` or ``("", what is between ${ and })``."""
    at = 0
    while (start := text.find("${", at)) >= 0:
        if start > at:
            yield text[at:start], ""
        at = _end(text, start)
        yield "", text[start + 2 : at - 1]
    if at < len(text):
        yield text[at:], ""


def _end(text: str, start: int) -> int:
    """Return the position behind the brace that closes the reference at ``start``."""
    depth, at = 1, start + 2
    while depth:
        opens, closes = text.find("${", at), text.find("}", at)
        if closes < 0:
            raise _MalformedError("holds a reference that is not closed: ${ without }")
        nested = 0 <= opens < closes
        depth += 1 if nested else -1
        at = opens + 2 if nested else closes + 1
    return at


def _split(reference: str) -> tuple[str, str | None]:
    """Return the name and the default (None if there is none) of the text between ``${`` and ``}``."""
    name, mark, default = reference.partition(":-")
    if not _NAME.fullmatch(name):
        raise _MalformedError("holds a reference whose name is not one")
    return name, default if mark else None
