"""Strict reading of the JSON objects that cross the control socket: every field there, of its type, and no other."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from archiverd.core import runset

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Iterator

T = TypeVar("T")
E = TypeVar("E", bound="enum.StrEnum")


class MessageError(ValueError):
    """A message has a field that is missing, unknown or of another type; the text names it."""


class Fields:
    """The fields of one JSON object; each is taken once."""

    def __init__(self, fields: dict[str, object]) -> None:
        self._left = fields

    def take(self, name: str, parse: Callable[[object], T]) -> T:
        """Return the field ``name`` as ``parse`` reads it. Raise MessageError if it is missing or ``parse`` does."""
        if name not in self._left:
            raise MessageError(f"{name} is missing")
        try:
            return parse(self._left.pop(name))
        except MessageError as error:
            raise MessageError(f"{name} {error}") from None

    @property
    def left(self) -> list[str]:
        """The names of the fields that nobody took."""
        return sorted(self._left)


@contextlib.contextmanager
def fields_of(value: object, what: str) -> Iterator[Fields]:
    """Yield the fields of a JSON object; raise MessageError if it is none, or if the block leaves any untaken."""
    if not isinstance(value, dict):
        raise MessageError(f"must be {what}, a JSON object")
    fields = Fields(dict(value))
    yield fields
    if fields.left:
        raise MessageError(f"{', '.join(fields.left)[:200]}: {what} has no such field")


def text(value: object) -> str:
    """Return a string. Raise MessageError for anything else, as all of these functions do."""
    if not isinstance(value, str):
        raise MessageError("must be a string")
    return value


def flag(value: object) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise MessageError("must be true or false")
    return value


def integer(value: object) -> int:
    """Return an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise MessageError("must be an integer")
    return value


def number(value: object) -> float:
    """Return a number, as it is."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise MessageError("must be a number")
    return value


def anything(value: object) -> object:
    """Return any value."""
    return value


def run_number(value: object) -> int:
    """Return a run number, 1 to ``runset.LAST_RUN``."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= runset.LAST_RUN:
        raise MessageError("must be a run number")
    return value


def choice(kind: type[E]) -> Callable[[object], E]:
    """Return what reads a member of ``kind``."""

    def parse(value: object) -> E:
        try:
            return kind(text(value))
        except ValueError:
            raise MessageError(f"must be {' or '.join(kind)}") from None

    return parse


def optional(parse: Callable[[object], T]) -> Callable[[object], T | None]:
    """Return what reads null, or what ``parse`` reads."""
    return lambda value: None if value is None else parse(value)


def each(parse: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """Return what reads a list of what ``parse`` reads."""

    def parse_all(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise MessageError("must be a list")
        return tuple(map(parse, value))

    return parse_all


def named(parse: Callable[[object], T]) -> Callable[[object], dict[str, T]]:
    """Return what reads a JSON object that has what ``parse`` reads under any names."""

    def parse_all(value: object) -> dict[str, T]:
        if not isinstance(value, dict):
            raise MessageError("must be a JSON object")
        return {name: parse(inner) for name, inner in value.items()}

    return parse_all
