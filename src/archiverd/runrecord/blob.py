r"""The blob: all files of a run in one text, as UconDB stores it (contract.md, "The blob").

    Start of Record\nRun Number: <run>\nPacked on <time>\n
    \n#####\n<name>.fcl:\n#####\n<content>                       per file
    \nEnd of Record\nRun Number: <run>\nPacked on <time>\n

A file's content may itself contain the three lines that begin a file. Their first ``#####`` gets one more blank behind
it, so that the blob splits as it was packed; ``unpack`` removes that blank. Other content is unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd.core.errors import BlobCreationError
from archiverd.runrecord.converters.registry import END_OF_BLOB

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_START: Final = re.compile(rb"Start of Record\nRun Number: ([0-9]{1,18})\nPacked on ([\x20-\x7e]{1,64})\n")
_SEPARATOR: Final = re.compile(rb"\n#####\n([^\n]+\.fcl):\n#####\n")
_LOOKALIKE: Final = re.compile(rb"^#####( *)(?=\n[^\n]+\.fcl:(?:\n#####(?:\n|\Z)|\Z))", re.MULTILINE)
_NAME: Final = re.compile(r"[^\n\r]+\.fcl")
_PACKED_ON: Final = re.compile(r"[\x20-\x7e]{1,64}")


@dataclass(frozen=True, slots=True)
class UnpackedBlob:
    """The content of a blob: the run, the text behind ``Packed on``, and the files in the blob's order."""

    run: int
    packed_on: str
    files: tuple[tuple[str, bytes], ...]


def packed_on_text(now: datetime) -> str:
    """Return ``now``, which must be in UTC, as a blob has it: ``Oct 26 14:30 UTC``."""
    return f"{_MONTHS[now.month - 1]} {now:%d %H:%M} UTC"


def pack(run: int, packed_on: str, files: Sequence[tuple[str, bytes]]) -> tuple[bytes, ...]:
    """Return the blob of ``files``, pairs of a name ending in ``.fcl`` and its bytes, in parts to be joined.

    The contents themselves are parts, so that a blob of hundreds of megabytes is not in memory twice. Raise
    BlobCreationError, naming the file, for a name that the format does not allow or that is there twice.
    """
    _check_names(run, [name for name, _ in files])
    if not _PACKED_ON.fullmatch(packed_on):
        raise BlobCreationError(f"Run {run} cannot be packed: {packed_on!r} is not a time text", run=run)
    head = f"Run Number: {run}\nPacked on {packed_on}\n".encode()
    ordered = sorted(files, key=lambda file: _place(file[0]))
    separators = [f"\n#####\n{name}:\n#####\n".encode() for name, _ in ordered]
    contents = [_escaped(content) for _, content in ordered]
    for at, (name, content) in enumerate(ordered):
        escaped, following = contents[at], b"".join(separators[at + 1 : at + 2])
        if not _splits(escaped, following) or _unescaped(escaped) != content:
            raise BlobCreationError(
                f"Run {run} cannot be packed: its blob does not unpack to the same {name!a}", run=run
            )
    files_in_parts = (part for pair in zip(separators, contents, strict=True) for part in pair)
    return (b"Start of Record\n" + head, *files_in_parts, b"\nEnd of Record\n" + head)


def unpack(blob: bytes) -> UnpackedBlob:
    """Split a blob into its files. Raise BlobCreationError if it is none, is cut short, or has a name not in UTF-8."""
    start = _demand_start(blob)
    end = b"\nEnd of Record\n" + blob[len(b"Start of Record\n") : start.end()]
    if not blob.endswith(end) or len(blob) < start.end() + len(end):
        raise BlobCreationError(
            f"The blob of run {start[1].decode()} is cut short: it does not end with its End of Record"
        )
    body = blob[: -len(end)]
    found = list(_SEPARATOR.finditer(body, start.end()))
    if (found[0].start() if found else len(body)) != start.end():
        raise BlobCreationError(f"The blob of run {start[1].decode()} holds text before its first file")
    ends = [*(match.start() for match in found[1:]), len(body)]
    try:
        files = tuple(
            (match[1].decode(), _unescaped(body[match.end() : stop])) for match, stop in zip(found, ends, strict=False)
        )
    except UnicodeDecodeError as error:
        raise BlobCreationError(f"The blob of run {start[1].decode()} holds a file name that is not UTF-8") from error
    return UnpackedBlob(int(start[1]), start[2].decode(), files)


def read_packed_on(beginning: bytes) -> str:
    """Return the text behind ``Packed on`` of a blob, of whose bytes the first are given.

    Raise BlobCreationError if it is no blob.
    """
    return _demand_start(beginning)[2].decode()


def _demand_start(beginning: bytes) -> re.Match[bytes]:
    """Return the match of a blob's first lines. Raise BlobCreationError if it does not begin as a blob does."""
    start = _START.match(beginning)
    if start is None:
        raise BlobCreationError("This is no blob: it does not begin with Start of Record, Run Number and Packed on")
    return start


def _splits(content: bytes, following: bytes) -> bool:
    """Return whether a reader who comes to ``content`` finds its end where ``following``, a separator, begins.

    The last content is followed by none.
    """
    ends = [match.start() for match in _SEPARATOR.finditer(content + following)]
    return ends == ([len(content)] if following else [])


def _place(name: str) -> tuple[int, str, str]:
    """Return the sort key of a file: its place in ``END_OF_BLOB``; the others come first, by lower-cased name."""
    stem = name.removesuffix(".fcl")
    place = END_OF_BLOB.index(stem) if stem in END_OF_BLOB else -1
    return place, stem.lower(), stem


def _escaped(content: bytes) -> bytes:
    """Return ``content`` with no lines that begin a file."""
    return _LOOKALIKE.sub(rb"#####\1 ", content) if b"#####" in content else content


def _unescaped(content: bytes) -> bytes:
    """Return the content without the blanks that ``_escaped`` added."""
    return _LOOKALIKE.sub(lambda match: b"#####" + match[1][1:], content) if b"##### " in content else content


def _check_names(run: int, names: Sequence[str]) -> None:
    """Raise BlobCreationError unless every name ends in ``.fcl``, is one line of text and is there once."""
    seen: set[str] = set()
    for name in names:
        if not _NAME.fullmatch(name) or not _is_utf8(name):
            raise BlobCreationError(f"Run {run} cannot be packed: {name!a} cannot be a name in a blob", run=run)
        if name in seen:
            raise BlobCreationError(f"Run {run} cannot be packed: {name!a} is there twice", run=run)
        seen.add(name)


def _is_utf8(name: str) -> bool:
    """Return whether a name can be written in UTF-8; one with undecodable bytes of the file system cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
