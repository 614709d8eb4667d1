"""A run directory at one moment: its files' status, and the end of metadata.txt (run_records.md 2.6 and 2.7)."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from archiverd.runrecord.converters.environment import partition_of
from archiverd.runrecord.directory import opened
from archiverd.runrecord.listing import digest_of, list_files
from archiverd.runrecord.promised import ENVIRONMENT, find_missing

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.runrecord.listing import FileStatus

METADATA: Final = "metadata.txt"
APPENDED_LATER: Final = frozenset({METADATA, "rc_info_start.txt", "rc_info_stop.txt"})
"""Files that are written to while the run goes on (run_records.md 2.2 and 2.3)."""

_TAIL: Final = 4 << 20
"""Bytes read from the end of metadata.txt, where the time lines are."""
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class RecordSnapshot:
    """A run directory at one moment."""

    readable: bool
    """False if the directory, or metadata.txt in it, could not be read."""
    mode: int = 0
    """Permission bits of the directory."""
    ctime_ns: int = 0
    """Last change of the directory itself."""
    files: tuple[FileStatus, ...] = ()
    """Regular files that may belong to the record, sorted by name."""
    temporaries: tuple[str, ...] = ()
    """Names of files that a copy is writing, sorted."""
    missing: tuple[str, ...] = ()
    """Names of files that the record promises and that are not there, or empty; sorted."""
    metadata: bytes | None = None
    """The end of metadata.txt, at most 4 MiB; None if it is not there."""
    partition: int | None = None
    """DAQ partition; None where environment.txt does not have it (before v3_07_00)."""
    trouble: str = field(default="", compare=False)
    """Why it could not be read, in the operating system's words; empty if it does not exist.

    Not compared: a mount that fails with changing errors does not change the directory.
    """

    def file(self, name: str) -> FileStatus | None:
        """Return the status of the file ``name``, or None."""
        return next((file for file in self.files if file.name == name), None)

    @property
    def changed(self) -> float:
        """When the directory or a file last changed, in seconds since 1970 by the file system's clock."""
        return max([self.ctime_ns, *(file.ctime_ns for file in self.files)]) / 1e9

    @property
    def metadata_mtime(self) -> float | None:
        """When metadata.txt was last written, in seconds since 1970 by the file system's clock; None without one."""
        metadata = self.file(METADATA)
        return None if metadata is None else metadata.mtime_ns / 1e9

    @property
    def locked(self) -> bool:
        """Whether its owner may not write the directory (0555)."""
        return not self.mode & 0o200

    @property
    def digest(self) -> str:
        """A digest of the files' status; the listings of two snapshots are equal if their digests are."""
        return digest_of(self.files)

    @property
    def digest_of_copied(self) -> str:
        """The same without the files that are written to while the run goes on."""
        return digest_of([file for file in self.files if file.name not in APPENDED_LATER])


@dataclass(frozen=True, slots=True)
class RecordStamp:
    """A cheap status that changes with a run: time lines change metadata.txt, rc_info files the directory.

    Two stamps are compared as a whole, so no field is read by its name.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    directory_ctime_ns: int


def record_stamp(directory: Path) -> RecordStamp | None:
    """Return the stamp of a run directory, or None if metadata.txt cannot be opened. Blocking.

    metadata.txt is opened before its status is read, so that an NFS client asks its server (close-to-open consistency).
    """
    try:
        folder = os.stat(directory)
        descriptor = os.open(directory / METADATA, _READ_FLAGS)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    return RecordStamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode, folder.st_ctime_ns)


def take_snapshot(directory: Path, *, network: bool = False) -> RecordSnapshot:
    """Return a snapshot of a run directory. Blocking; raises no OSError: see ``RecordSnapshot.readable``.

    ``network``: see ``list_files``.
    """
    is_open = False
    try:
        with opened(directory) as descriptor:
            is_open = True
            return _snapshot_of(descriptor, network=network)
    except OSError as error:
        if not is_open and isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return RecordSnapshot(readable=False)
        return RecordSnapshot(readable=False, trouble=_trouble(error, error.filename if is_open else None))


def _trouble(error: OSError, name: object = None) -> str:
    """Return the text of ``error`` with the ``name`` of the file, if it is one; equal errors have equal texts."""
    return str(OSError(error.errno, error.strerror, *([name] if isinstance(name, str) else [])))


def _snapshot_of(directory: int, *, network: bool) -> RecordSnapshot:
    """Return a snapshot of the directory that is open as ``directory``.

    metadata.txt is read first: a stop line in the snapshot was there before the status of any other file was read.
    """
    metadata = tail(METADATA, directory)
    environment = tail(ENVIRONMENT, directory)
    status = os.fstat(directory)
    listing = list_files(directory, network=network)
    filled = {file.name for file in listing.files if file.size}
    return RecordSnapshot(
        readable=True,
        mode=stat.S_IMODE(status.st_mode),
        ctime_ns=status.st_ctime_ns,
        files=listing.files,
        temporaries=listing.temporaries,
        missing=find_missing(filled, metadata, lambda name: _tail_if_readable(name, directory)),
        metadata=metadata,
        partition=partition_of(environment) if environment is not None else None,
    )


def _tail_if_readable(name: str, directory: int) -> bytes | None:
    """Return the end of a file; None if there is none, or it cannot be read."""
    try:
        return tail(name, directory)
    except OSError:
        return None


def tail(name: str, directory: int) -> bytes | None:
    """Return the end of a regular file, at most 4 MiB; None if there is none of that name. Blocking.

    It is looked for in the directory open as ``directory``. Raise OSError if the file cannot be read.
    """
    try:
        descriptor = os.open(name, _READ_FLAGS, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        return os.pread(descriptor, _TAIL, max(0, status.st_size - _TAIL))
    finally:
        os.close(descriptor)
