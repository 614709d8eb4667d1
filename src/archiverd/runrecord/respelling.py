r"""Another spelling, with the same values, for FHiCL that artdaqDB's grammar cannot take.

artdaqDB takes ASCII only, no string that ends in a backslash in double quotes, no ``@table::`` splice, and damages
complex numbers with blanks in them (artdaqdb_format.md sections C.3, C.4 and F.3). fhicl-dump itself writes ``'x\'``
as ``"x\\"``, which nothing can read (run_records.md, "What FHiCL itself cannot say"). In the new spelling

- a string that ends in a backslash is in single quotes, or percent-encoded if it contains one;
- bytes outside ASCII are percent-encoded, in strings (with the mark) and in comments;
- ``@table::name`` is replaced by the members of that table;
- complex numbers have no blanks.

Everything else is unchanged. The caller checks that the engine takes the result. Time is in proportion to what is read
and written; what splices add is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from archiverd.fhicl import DEPTH_LIMIT
from archiverd.runrecord.spelling import comment, string

SPLICED_LIMIT: Final = 1 << 20
"""Characters that splices may add to any text; to a longer one as many as it has."""

_NUMBER: Final = r"[+-]?(?:infinity|[0-9.]+(?:[eE][+-]?[0-9]+)?)"
_TOKEN: Final = re.compile(
    rf"""(?P<comment>(?:\#|//)[^\r\n]*)
    |"(?P<double>(?:\\.|[^"\\])*)"
    |(?P<unclosed>")
    |'(?P<single>[^']*)'
    |@table::(?P<splice>[A-Za-z_][A-Za-z0-9_.]*)(?![A-Za-z0-9_.\[])
    |\([ \t\r\n]*(?P<real>{_NUMBER})[ \t\r\n]*,[ \t\r\n]*(?P<imaginary>{_NUMBER})[ \t\r\n]*\)
    |(?<![A-Za-z0-9_@:.])(?P<key>[A-Za-z_][A-Za-z0-9_.]*)(?=[ \t\r\n]*(?:@protect_[a-z]+)?:(?!:))
    |(?P<open>[{{\[])
    |(?P<close>[}}\]])""",
    re.VERBOSE | re.DOTALL,
)
_AFTER_UNCLOSED: Final = re.compile(
    "".join(line for line in _TOKEN.pattern.splitlines(keepends=True) if "double" not in line), _TOKEN.flags
)
"""The same where no double-quoted string is closed any more: to find that out for each quote would take its square."""
_ESCAPES: Final = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_PLAIN: Final = re.compile(r"[\t\n\x20-\x7e]*")


class _NoSpellingError(Exception):
    """Something has no other spelling that is sure to have the same value."""


class SplicesTooLongError(Exception):
    """Splices would add more than ``SPLICED_LIMIT`` allows."""

    def __init__(self, line: int, column: int, name: str) -> None:
        """Tell the place of the splice that is too much, counted from 1, and the table's name."""
        super().__init__(f"@table::{name} makes the text too long: splices of splices double it each time")
        self.line = line
        self.column = column


def respell(data: bytes) -> bytes | None:
    """Return ``data`` in the new spelling, or None if none is sure to have the same values.

    Raise SplicesTooLongError.
    """
    try:
        return _Respelling(data.decode("latin-1")).run().encode("latin-1")
    except _NoSpellingError:
        return None


@dataclass(slots=True)
class _Table:
    """A table, by its place among the others, and what is known of it."""

    within: dict[str, _Table] = field(default_factory=dict)
    content: tuple[int, int] | None = None
    """The pieces of output that its content is, from and to; None as long as it has not been closed."""
    overridden: bool = False
    """A dotted key names it from outside."""

    def find(self, name: str) -> _Table:
        """Return the table ``name``, dotted, within this one; made if it is not there. Raise _NoSpellingError."""
        parts = name.split(".")
        if len(parts) > DEPTH_LIMIT:
            raise _NoSpellingError
        table = self
        for part in parts:
            table = table.within.setdefault(part, _Table())
        return table

    def path(self, name: str) -> list[_Table | None]:
        """Return the tables on the way to ``name``, dotted, within this one, that included; None for unknown ones."""
        table: _Table | None = self
        return [table := None if table is None else table.within.get(part) for part in name.split(".")]


class _Respelling:
    """One pass over a text; notes the content of each table, for splices that come later."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._out: list[str] = []
        self._inside: list[tuple[_Table | None, int]] = []
        """The open tables, and sequences; None for what no splice can name. And the piece its content begins with."""
        self._key: str | None = None
        self._top = _Table()
        self._overrides = _Table()
        self._addable = max(SPLICED_LIMIT, len(text))

    def run(self) -> str:
        """Return the text in the new spelling."""
        position, pattern = 0, _TOKEN
        while (match := pattern.search(self._text, position)) is not None:
            self._out.append(self._text[position : match.start()])
            position = match.end()
            self._take(match)
            if match.lastgroup == "unclosed":
                pattern = _AFTER_UNCLOSED
        return "".join([*self._out, self._text[position:]])

    def _take(self, match: re.Match[str]) -> None:
        kind, text = match.lastgroup, match.group()
        if kind == "comment":
            text = text if _PLAIN.fullmatch(text) else comment(text)
        elif kind == "double":
            text = _double(match["double"])
        elif kind == "single":
            text = text if _PLAIN.fullmatch(text) else string(match["single"])
        elif kind == "imaginary":
            text = f"({match['real']},{match['imaginary']})"
        elif kind == "splice":
            text = self._members(match["splice"], match.start())
        elif kind == "key":
            self._note_key(match["key"])
        elif kind == "open":
            self._open(table=text == "{")
        elif kind == "close":
            self._close()
        self._out.append(text)

    def _note_key(self, key: str) -> None:
        self._key = key
        if "." in key:
            self._overrides.find(key).overridden = True

    def _open(self, *, table: bool) -> None:
        if len(self._inside) >= DEPTH_LIMIT:
            raise _NoSpellingError
        above = self._inside[-1][0] if self._inside else self._top
        named = None
        if table and self._key is not None and above is not None:
            named = above.find(self._key)
            named.within.clear()
        self._inside.append((named, len(self._out) + 1))
        self._key = None

    def _close(self) -> None:
        if not self._inside:
            raise _NoSpellingError
        named, begin = self._inside.pop()
        if named is not None:
            named.content = begin, len(self._out)

    def _members(self, name: str, at: int) -> str:
        """Return the members of the table ``name`` at this point of the text, which is ``at``."""
        table = self._top.path(name)[-1]
        *above, inside = self._overrides.path(name)
        overridden = any(one is not None and one.overridden for one in above)
        if overridden or (inside is not None and inside.within) or table is None or table.content is None:
            raise _NoSpellingError
        pieces = self._out[slice(*table.content)]
        self._addable -= sum(map(len, pieces))
        if self._addable < 0:
            before = self._text[:at]
            raise SplicesTooLongError(before.count("\n") + 1, at - before.rfind("\n"), name)
        return f" {''.join(pieces)} "


def _double(inner: str) -> str:
    """Return a double-quoted string, respelled if it ends in a backslash or contains a byte that artdaqDB refuses."""
    if _PLAIN.fullmatch(inner) and not inner.endswith("\\"):
        return f'"{inner}"'
    if any(escape not in _ESCAPES for escape in _ESCAPE.findall(inner)):
        raise _NoSpellingError
    meant = _ESCAPE.sub(lambda match: _ESCAPES[match[1]], inner)
    if _PLAIN.fullmatch(meant) and "'" not in meant:
        return f"'{meant}'"
    return string(meant)
