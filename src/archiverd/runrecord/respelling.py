r"""Another spelling, with the same values, for FHiCL that artdaqDB's grammar cannot take.

artdaqDB takes ASCII only, no string that ends in a backslash in double quotes, no ``@table::`` splice, and damages
complex numbers with blanks in them (artdaqdb_format.md sections C.3, C.4 and F.3). fhicl-dump itself writes ``'x\'``
as ``"x\\"``, which nothing can read (run_records.md, "What FHiCL itself cannot say"). In the new spelling

- a string that ends in a backslash is in single quotes, or percent-encoded if it contains one;
- bytes outside ASCII are percent-encoded, in strings (with the mark) and in comments;
- ``@table::name`` is replaced by the members of that table;
- complex numbers have no blanks.

Everything else is unchanged. The caller checks that the engine takes the result.
"""

from __future__ import annotations

import re
from typing import Final

from archiverd.runrecord.spelling import comment, string

_NUMBER: Final = r"[+-]?(?:infinity|[0-9.]+(?:[eE][+-]?[0-9]+)?)"
_TOKEN: Final = re.compile(
    rf"""(?P<comment>(?:\#|//)[^\r\n]*)
    |"(?P<double>(?:\\.|[^"\\])*)"
    |'(?P<single>[^']*)'
    |@table::(?P<splice>[A-Za-z_][A-Za-z0-9_.]*)(?![A-Za-z0-9_.\[])
    |\([ \t\r\n]*(?P<real>{_NUMBER})[ \t\r\n]*,[ \t\r\n]*(?P<imaginary>{_NUMBER})[ \t\r\n]*\)
    |(?<![A-Za-z0-9_@:.])(?P<key>[A-Za-z_][A-Za-z0-9_.]*)(?=[ \t\r\n]*(?:@protect_[a-z]+)?:(?!:))
    |(?P<open>[{{\[])
    |(?P<close>[}}\]])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_PLAIN: Final = re.compile(r"[\t\n\x20-\x7e]*")


class _NoSpellingError(Exception):
    """Something has no other spelling that is sure to have the same value."""


def respell(data: bytes) -> bytes | None:
    """Return ``data`` in the new spelling, or None if none is sure to have the same values."""
    try:
        return _Respelling(data.decode("latin-1")).run().encode("latin-1")
    except _NoSpellingError:
        return None


class _Respelling:
    """One pass over a text; notes the content of each table, for splices that come later."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._out: list[str] = []
        self._inside: list[tuple[str | None, int]] = []
        """For each open table or sequence: a table's dotted name, if it has one, and where its content begins."""
        self._key: str | None = None
        self._tables: dict[str, str] = {}
        self._overrides: set[str] = set()

    def run(self) -> str:
        """Return the text in the new spelling."""
        position = 0
        for match in _TOKEN.finditer(self._text):
            self._out.append(self._text[position : match.start()])
            position = match.end()
            self._take(match)
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
            text = self._members(match["splice"])
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
            self._overrides.add(key)

    def _open(self, *, table: bool) -> None:
        above = self._inside[-1][0] if self._inside else ""
        name = None
        if table and self._key is not None and above is not None:
            name = f"{above}.{self._key}" if above else self._key
            self._tables = {known: body for known, body in self._tables.items() if not known.startswith(f"{name}.")}
        self._inside.append((name, len(self._out) + 1))
        self._key = None

    def _close(self) -> None:
        if not self._inside:
            raise _NoSpellingError
        name, begin = self._inside.pop()
        if name is not None:
            self._tables[name] = "".join(self._out[begin:])

    def _members(self, name: str) -> str:
        """Return the members of the table ``name`` at this point of the text."""
        touched = any(key.startswith(f"{name}.") or name.startswith(f"{key}.") for key in self._overrides)
        if touched or name not in self._tables:
            raise _NoSpellingError
        return f" {self._tables[name]} "


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
