"""Reading a run record from disk: regular files only, everything else left out by name (run_records.md 1 and 2.7)."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd.core.errors import ArchiverError, Retry
from archiverd.runrecord.directory import opened
from archiverd.runrecord.listing import digest_of, junk, list_files, status_of

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.runrecord.listing import FileStatus

LARGEST_FILE: Final = 64 << 20
"""Size limit of a file in bytes; a larger one is left out."""
LARGEST_RECORD: Final = 256 << 20
"""Size limit of a record in bytes; files beyond it are left out."""
MOST_FILES: Final = 4096
"""Most entries of a run directory; one with more is refused."""

_NOT_REGULAR: Final = {errno.ELOOP: "a symbolic link", errno.ENXIO: "not a regular file"}
"""Errors of opening that say what an entry is."""
NO_FILE: Final = frozenset({*_NOT_REGULAR.values(), "a directory"})
"""Reasons for leaving out what is no file at all."""
_UNREADABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE})
"""Errors of a single file: it is there, and cannot be read now."""

_MOST_DIGITS: Final = 18
"""Digits of the greatest run number."""


@dataclass(frozen=True, slots=True)
class RecordFile:
    """One file of a run record: its name and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A directory entry that is not archived, and why."""

    name: str
    reason: str


class RecordChangedError(ArchiverError):
    """A run record changed while it was read, or since it was judged: it has to be judged again."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run's files as on disk, sorted by name, and the entries that were left out."""

    run: int
    files: tuple[RecordFile, ...]
    left_out: tuple[LeftOut, ...] = ()
    unreadable: tuple[LeftOut, ...] = ()
    """Entries that cannot be read now, and why; they may be part of the record."""
    listing: str = ""
    """Digest of the files' status, which was the same before and after reading (``listing.digest_of``)."""

    def data(self, name: str) -> bytes | None:
        """Return the bytes of the file ``name``, or None."""
        return next((file.data for file in self.files if file.name == name), None)


def parse_run_number(name: str) -> int | None:
    """Return the run number that a name or key stands for, or None: 1 to 18 decimal digits, the first not 0.

    ``012345``, ``²`` and ``12345.bak`` are not runs; a number of more than 18 digits does not fit the journal.
    """
    is_run = name.isdecimal() and name.isascii() and name[0] != "0" and len(name) <= _MOST_DIGITS
    return int(name) if is_run else None  # no regular expression: a scan asks this of every run directory


def read_run_record(directory: Path, run: int, *, network: bool = False) -> RunRecord:
    """Read every regular file of ``directory``. Blocking: call it in a worker thread. ``network``: see ``list_files``.

    Links in it are not followed. Raise ArchiverError if the directory is gone or cannot be listed (transient), or
    has more than ``MOST_FILES`` entries (permanent); RecordChangedError if anything in it changed meanwhile.
    """
    try:
        with opened(directory) as descriptor:
            return _read_all(descriptor, directory, run, network=network)
    except OSError as error:
        raise _cannot_read(directory, run, error) from error


def _read_all(descriptor: int, directory: Path, run: int, *, network: bool) -> RunRecord:
    """Read the directory that is open as ``descriptor``."""
    files: list[RecordFile] = []
    left_out: list[LeftOut] = []
    unreadable: list[LeftOut] = []
    room = LARGEST_RECORD
    names = _names(descriptor, directory, run)
    before = list_files(descriptor, network=network)
    seen = {file.name: file for file in before.files}
    for name in names:
        noise = junk(name)
        if noise is not None:
            left_out.append(LeftOut(name, noise))
            continue
        try:
            found = _read_one(descriptor, name, room, seen.get(name), run)
        except OSError as error:
            unreadable.append(LeftOut(name, _why_unreadable(error, name, run)))
            continue
        if isinstance(found, bytes):
            room -= len(found)
            files.append(RecordFile(name, found))
        else:
            left_out.append(LeftOut(name, found))
    if list_files(descriptor, network=network) != before or _names(descriptor, directory, run) != names:
        raise changed(run, "its files are not those they were before it was read")
    return RunRecord(run, tuple(files), tuple(left_out), tuple(unreadable), digest_of(before.files))


def changed(run: int, how: str) -> RecordChangedError:
    """Return the error for a record that changed, or is not the one it was judged to be."""
    return RecordChangedError(
        f"The record of run {run} changed: {how}",
        retry=Retry.TRANSIENT,
        remedy="nothing to do: it is taken up again as soon as it stands still",
        run=run,
    )


def _names(descriptor: int, directory: Path, run: int) -> list[str]:
    """Return the names in the directory, sorted. Raise ArchiverError if there are too many."""
    names = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > MOST_FILES:
                raise ArchiverError(
                    f"Run directory holds more than {MOST_FILES} entries; nothing of run {run} was archived",
                    remedy=f"move what does not belong to the run out of {directory}, then `archiverd release {run}`",
                    run=run,
                    context={"directory": str(directory)},
                )
    return sorted(names)


def _read_one(directory: int, name: str, room: int, listed: FileStatus | None, run: int) -> bytes | str:
    """Return a file's bytes, or why it is left out. Raise OSError, or RecordChangedError.

    Its status must be the one that was ``listed``, before it is read and after.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            return _NOT_REGULAR[error.errno]
        raise
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            return "a directory"
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        limit = min(LARGEST_FILE, room)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
        same = listed == status_of(name, status) == status_of(name, os.fstat(descriptor))
        if not same or (len(data) <= limit and len(data) != status.st_size):
            raise changed(run, f"{name} was written while it was read")
        if len(data) <= limit:
            return data
        return f"larger than {LARGEST_FILE >> 20} MiB" if room > limit else f"over {LARGEST_RECORD >> 20} MiB in all"
    finally:
        os.close(descriptor)


def _why_unreadable(error: OSError, name: str, run: int) -> str:
    """Return why a file cannot be read. Raise RecordChangedError if it vanished, ``error`` again if it is none's."""
    if error.errno == errno.ENOENT:
        raise changed(run, f"{name} vanished") from error
    if error.errno not in _UNREADABLE:
        raise error
    return f"unreadable: {(error.strerror or '').lower()}"


def _cannot_read(directory: Path, run: int, error: OSError) -> ArchiverError:
    """Return the error for a run directory that cannot be read now."""
    context = {"directory": str(directory)}
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        remedy = (
            f"if run {run} was moved on purpose, `archiverd waive {run} --reason …`; nothing archived so far is touched"
        )
        return ArchiverError("Run directory not found", retry=Retry.TRANSIENT, remedy=remedy, run=run, context=context)
    return ArchiverError(
        f"Run directory of run {run} cannot be read: {error.strerror}",
        retry=Retry.TRANSIENT,
        remedy="check that the file system is mounted and that archiverd may read it; it is tried again",
        run=run,
        context=context,
    )
