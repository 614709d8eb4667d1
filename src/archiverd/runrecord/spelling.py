"""The spelling of arbitrary text in FHiCL, byte for byte reversible.

FHiCL takes no byte outside ASCII, no control character but newline and tab, and no double-quoted string that ends
in a backslash (run_records.md, "What FHiCL itself cannot say"). A value that FHiCL does not take is
*percent-encoded*: each refused byte, and each ``%``, becomes ``%XX``, and the value ends with the mark
`` (percent-encoded)``. A value that already ends with the mark is percent-encoded too, so decoding is unambiguous: a
marked value loses its mark and has its ``%XX`` decoded, any other value is itself. The mark comes last because
readers downstream take the first word of a version.

A key that is no identifier becomes ``pct_`` and its bytes, all but letters and digits as ``_XX``; so does an
identifier that begins with ``pct_``. ``docs/quirks.md`` shows both to readers of archives.

Text here is *byte text*: one character per byte of the file (Latin-1), so that any file can be decoded.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MARK: Final = " (percent-encoded)"
"""The end of every percent-encoded value."""

BLANKS: Final = " \t"
"""The white space around keys and values in the text files; any other, such as a form feed, is content."""

_KEY_PREFIX: Final = "pct_"
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_UTF8_MARK: Final = b"\xef\xbb\xbf"

_CANNOT_STAND: Final = r"[^\t\n\x20-\x7e]|#(?=include[ \t])"
"""Bytes that FHiCL refuses, and ``#include``, which artdaq_database obeys even in strings and comments."""

_READERS_SPLIT: Final = (
    r"(?<=####)#|(?<=End) (?=of Record)|"
    r"(?:(?<=config_name)|(?<=components)|(?<=sbndaq_commit_or_version)):(?=[ \t])"
)
"""Texts that readers of the blob search metadata.fcl for (run_records.md, "What downstream needs of the FHiCL")."""

_REFUSED: Final = {False: re.compile(_CANNOT_STAND), True: re.compile(f"{_CANNOT_STAND}|{_READERS_SPLIT}")}
_ENCODED: Final = {False: re.compile(f"%|{_CANNOT_STAND}"), True: re.compile(f"%|{_CANNOT_STAND}|{_READERS_SPLIT}")}

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEEPEST: Final = 100
"""Most parts of a dotted key; artdaqDB's tables nest no deeper than some hundreds."""
_RESERVED: Final = re.compile(r"pct_.*|BEGIN_PROLOG|END_PROLOG|fhicl_pound_include.*")
"""Identifiers with another meaning to archiverd, to FHiCL, or to artdaq_database's export."""


def byte_text(name: str) -> str:
    """Return a file name from the operating system as byte text."""
    return os.fsencode(name).decode("latin-1")


def text_of(data: bytes) -> str:
    """Return a file's content as byte text, without a UTF-8 byte order mark."""
    return data.removeprefix(_UTF8_MARK).decode("latin-1")


def lines_of(data: bytes) -> list[str]:
    r"""Return a file's lines as byte text; only ``\n``, ``\r\n`` and ``\r`` end a line."""
    lines = _LINE_END.split(text_of(data))
    return lines if lines[-1] else lines[:-1]


def percent_encoded(text: str, *, guarded: bool = False) -> str:
    """Return the percent-encoded spelling of ``text``, with its mark."""
    return _ENCODED[guarded].sub(lambda match: f"%{ord(match[0]):02X}", text) + MARK


def can_stand(text: str, *, guarded: bool = False) -> bool:
    """Return whether ``text``, its backslashes and quotes escaped, can be a FHiCL string without percent-encoding."""
    return not (text.endswith(("\\", MARK)) or _REFUSED[guarded].search(text))


def string(text: str, *, guarded: bool = False) -> str:
    r"""Return ``text`` as a double-quoted FHiCL string: ``\``, ``"`` and newlines escaped, tabs as they are.

    ``guarded`` is for metadata.fcl, which must not contain the texts that readers of the blob search for.
    """
    if not can_stand(text, guarded=guarded):
        text = percent_encoded(text, guarded=guarded)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def strings(texts: Iterable[str], *, guarded: bool = False) -> str:
    """Return ``texts`` as a FHiCL sequence of strings on one line."""
    return "[" + ", ".join(string(text, guarded=guarded) for text in texts) + "]"


def comment(text: str, *, guarded: bool = False) -> str:
    """Return ``text``, which begins with ``#``, as one FHiCL comment.

    A line that begins with ``#include`` is a directive, or an error, anywhere in a file (artdaqdb_format.md C.2).
    """
    if text.startswith("#include"):
        return "#%69" + percent_encoded(text[2:], guarded=guarded)
    if text.endswith(MARK) or _REFUSED[guarded].search(text):
        return percent_encoded(text, guarded=guarded)
    return text


def key(name: str) -> str:
    """Return ``name`` as a FHiCL key: itself if it is a dotted name of plain identifiers, else percent-encoded."""
    parts = name.split(".")
    if len(parts) <= _DEEPEST and all(_IDENTIFIER.fullmatch(part) and not _RESERVED.fullmatch(part) for part in parts):
        return name
    return encoded_key(name)


def identifier(name: str) -> str:
    """Return ``name`` as a FHiCL key without dots, percent-encoded if need be."""
    return encoded_key(name) if "." in name else key(name)


def encoded_key(name: str) -> str:
    """Return the percent-encoded spelling of the key ``name``."""
    return _KEY_PREFIX + re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):02X}", name)


def distinct(names: Sequence[str]) -> list[str]:
    """Return ``names`` made distinct: the last of equal names stays, the others become ``<name>_earlier<n>``.

    In FHiCL the last of equal keys wins, so the plain name keeps its value. A dotted name that begins with another
    name is percent-encoded: a key cannot be an atom and a table.
    """
    whole = set(names)
    plain = [encoded_key(name) if _inside_another(name, whole) else name for name in names]
    left: dict[str, int] = {}
    for name in plain:
        left[name] = left.get(name, 0) + 1
    taken = set(plain)
    result, counts = [], dict.fromkeys(left, 0)
    for name in plain:
        left[name] -= 1
        result.append(_earlier(name, counts, taken) if left[name] else name)
    return result


def _inside_another(name: str, names: set[str]) -> bool:
    """Return whether a proper prefix of the dotted ``name`` is among ``names``."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in names for count in range(1, len(parts)))


def _earlier(name: str, counts: dict[str, int], taken: set[str]) -> str:
    """Return the next free ``<name>_earlier<n>`` and take it."""
    while True:
        counts[name] += 1
        candidate = f"{name}_earlier{counts[name]}"
        if candidate not in taken:
            taken.add(candidate)
            return candidate
