"""The listing of a run directory: the status of every file that may belong to the record (run_records.md 2.7)."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOISE: Final = (
    (re.compile(r"\.nfs.*"), "a deleted file that NFS keeps for its last reader"),
    (re.compile(r".*~|#.*#"), "an editor's backup"),
    (re.compile(r".*\.sw[a-z]"), "an editor's swap file"),
    (re.compile(r"core(?:\.\d+)?"), "a core dump"),
    (re.compile(r"\..*"), "a hidden file"),
)
_TEMPORARY: Final = re.compile(r"\..+\.[A-Za-z0-9]{6}|.+\.(?:part|partial|tmp)", re.DOTALL)
"""Names of files that a copy is writing: rsync's ``.NAME.XXXXXX``, and those of other tools."""
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileStatus(NamedTuple):
    """The status of a regular file; times in nanoseconds since 1970."""

    name: str
    mode: int
    """Permission bits."""
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int = 0

    @property
    def locked(self) -> bool:
        """Whether nobody may write it (0444); one that its owner may not read either was closed by somebody else."""
        return not self.mode & 0o222 and bool(self.mode & 0o400)


class Listing(NamedTuple):
    """The regular files of a run directory at one moment."""

    files: tuple[FileStatus, ...]
    """Those that may belong to the record, sorted by name."""
    temporaries: tuple[str, ...]
    """Names of those that a copy is writing, sorted."""


@lru_cache(maxsize=8192)
def junk(name: str) -> str | None:
    """Return why a file of this name does not belong to a run record, or None if it may."""
    if is_temporary(name):
        return "a temporary file of a copy"
    return next((reason for pattern, reason in _NOISE if pattern.fullmatch(name)), None)


@lru_cache(maxsize=8192)
def is_temporary(name: str) -> bool:
    """Return whether a copy is writing a file of this name: more of the record is on its way."""
    return _TEMPORARY.fullmatch(name) is not None and not name.startswith(".nfs")


def list_files(directory: int, *, network: bool = False) -> Listing:
    """Return the regular files of the directory open as ``directory``, without those that vanish meanwhile.

    On a ``network`` file system each file is opened before its status is read, so that an NFS client asks its server
    (close-to-open consistency): its cache would answer two looks alike for up to a minute. Blocking. Raise OSError.
    """
    files: list[FileStatus] = []
    temporaries: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            name = entry.name
            if junk(name) is not None:
                if is_temporary(name):
                    temporaries.append(name)
                continue
            try:
                status = _fresh_status(directory, name) if network else entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                files.append(status_of(name, status))
    return Listing(tuple(sorted(files)), tuple(sorted(temporaries)))


def status_of(name: str, status: os.stat_result) -> FileStatus:
    """Return what a listing has of a file."""
    mode = stat.S_IMODE(status.st_mode)
    return FileStatus(name, mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _fresh_status(directory: int, name: str) -> os.stat_result:
    """Return a file's status by its server; for what cannot be opened, by the cache. Raise OSError."""
    try:
        descriptor = os.open(name, _OPEN_FLAGS, dir_fd=directory)
    except FileNotFoundError:
        raise
    except OSError:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def digest_of(files: Sequence[FileStatus]) -> str:
    """Return a digest of ``files``, in hexadecimal: two listings are equal if their digests are."""
    names = "\0".join(file.name for file in files).encode("utf-8", "surrogateescape")
    numbers = [number for file in files for number in file[1:]]
    return hashlib.blake2b(struct.pack(f"={len(numbers)}q", *numbers) + names, digest_size=16).hexdigest()
