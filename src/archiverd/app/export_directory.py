"""The directory that `archiverd export` writes: a run's files under plain names, complete or not there.

Names that come from a blob or a database are not trusted: each becomes the name of a plain file directly below the
directory. That directory is made beside its place and renamed when it is complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError, BlobCreationError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from archiverd.disk import Disk

    Files = Sequence[tuple[str, bytes]]

LONGEST_NAME = 255
"""Bytes of a file's name that Linux's file systems take."""
KEPT_OF_LONG_NAME = 200
MOST_FILES = 100_000
"""A run record has about a hundred files; a blob with more than this is none that archiverd writes out."""


@dataclass(frozen=True, slots=True)
class Written:
    """One file that was written: its name in the blob or database, the file's own, and what is in it."""

    name: str
    file: str
    bytes: int
    sha256: str


def write(disk: Disk, files: Files, destination: Path, closed: Collection[Path]) -> list[Written]:
    """Write ``files`` to the directory ``destination``, which must not exist or be empty; durable on return.

    ``closed`` are directories below which nothing may be written. Raise BlobCreationError for files that cannot be
    told apart, ArchiverError if they cannot be written there; nothing is left of it then.
    """
    place = _free(destination, closed)
    named = [(name, file_name(name), content) for name, content in files]
    _refuse_impossible([file for _, file, _ in named])
    temporary = place.with_name(f".{place.name[: LONGEST_NAME // 2]}.{os.getpid()}.partial")
    written = []
    try:
        disk.make_directory(temporary)
        for name, file, content in named:
            disk.create(temporary / file, content)
            written.append(Written(name, file, len(content), hashlib.sha256(content).hexdigest()))
        disk.sync_directory(temporary)
        disk.rename_directory(temporary, place)
    except OSError as error:
        raise ArchiverError(
            f"Cannot write to {destination}: {error}",
            remedy="nothing was left there; see whether you may write in its parent directory, and its free space",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return written


def file_name(name: str) -> str:
    """Return the name of the file that a name of a blob or database is written to: itself, if it is a plain one.

    Percent-encoded are ``/``, ``%``, what cannot be printed, bytes that are no text, and a leading dot or dash; so
    nothing is hidden, nothing leads elsewhere, and different names stay different. One that is too long is cut and
    ends in ``~``, 16 digits of its SHA-256, and ``.fcl``.
    """
    quoted = "".join(letter if letter.isprintable() and letter not in "/%" else _quoted(letter) for letter in name)
    if quoted[:1] in (".", "-"):
        quoted = _quoted(quoted[0]) + quoted[1:]
    if 0 < len(quoted.encode()) <= LONGEST_NAME:
        return quoted
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]
    return f"{quoted.encode()[:KEPT_OF_LONG_NAME].decode(errors='ignore')}~{digest}.fcl"


def _quoted(letter: str) -> str:
    """Return a character's bytes percent-encoded; a lone surrogate stands for one byte."""
    return "".join(f"%{byte:02X}" for byte in letter.encode(errors="surrogateescape"))


def _free(destination: Path, closed: Collection[Path]) -> Path:
    """Return the real place of a directory to be made. Raise ArchiverError if it is taken or nothing may be there."""
    place = Path(os.path.realpath(destination))
    try:
        taken = bool(place.is_dir() and os.listdir(place)) or (os.path.lexists(place) and not place.is_dir())
    except OSError as error:
        raise ArchiverError(f"Cannot look at {destination}: {error}", remedy="name another directory") from error
    if taken or place == Path.cwd():
        what = "is the current directory" if place == Path.cwd() else "is there already, and not an empty directory"
        raise ArchiverError(f"{destination} {what}", remedy="name a directory that is not there yet; it is made")
    for root in closed:
        real = Path(os.path.realpath(root))
        if place == real or real in place.parents:
            raise ArchiverError(
                f"{destination} lies below {root}, where only others write", remedy="name a directory elsewhere"
            )
    return place


def _refuse_impossible(names: Sequence[str]) -> None:
    """Raise BlobCreationError for more files than anybody means, or two of one name."""
    if len(names) > MOST_FILES:
        raise BlobCreationError(f"There are {len(names)} files, more than the {MOST_FILES} archiverd writes out")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise BlobCreationError(
            f"Two files would both be written as {twice[0]}",
            remedy="the other source may tell them apart: `archiverd export --from artdaqdb|ucondb`",
        )
