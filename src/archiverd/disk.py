"""Durable file writes; all go through here, except SQLite's own.

Everything that must survive a power cut goes through a ``Disk``. The real one syncs files and directories in the order
that ensures it; a test double can drop or reorder what was not synced.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Protocol

import aiofiles

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Disk(Protocol):
    """Durable file writes. Every method raises ``OSError`` as the operating system gives it."""

    def write(self, path: Path, data: bytes, *, sync: bool = True) -> None:
        """Create or truncate ``path`` and write ``data``; with ``sync`` its bytes are durable (its name is not yet)."""

    def create(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        """Create ``path`` with ``data``, its bytes durable; raise ``FileExistsError`` if it exists.

        The process's umask takes its bits off ``mode``.
        """

    def append(self, path: Path, data: bytes) -> None:
        """Append ``data`` to ``path``, creating it, and make the bytes durable."""

    def truncate(self, path: Path, length: int) -> None:
        """Cut ``path`` to its first ``length`` bytes, durably."""

    def publish(self, path: Path, chunks: Iterable[bytes]) -> None:
        """Replace ``path`` whole: temporary file beside it, sync, rename, sync of the directory.

        Not for two writers of one file at a time: the caller holds a lock on it.
        """

    def move(self, path: Path, target: Path) -> None:
        """Rename the file at ``path`` to ``target`` beside it, durably; an existing ``target`` is replaced."""

    def sync_files(self, paths: Iterable[Path]) -> None:
        """Make the bytes of files that were written with ``sync=False`` durable."""

    def sync_directory(self, path: Path) -> None:
        """Make the names in directory ``path`` durable."""

    def unlink(self, path: Path) -> None:
        """Remove ``path`` if it exists; durable after ``sync_directory``."""

    def make_directory(self, path: Path) -> None:
        """Make ``path`` and its missing parents, durably."""

    def rename_directory(self, path: Path, target: Path) -> None:
        """Rename directory ``path`` to ``target``, durably; an existing ``target`` must be an empty directory."""


class RealDisk:
    """The operating system's files."""

    def write(self, path: Path, data: bytes, *, sync: bool = True) -> None:
        """See ``Disk.write``."""
        with path.open("wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())

    def create(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        """See ``Disk.create``."""
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def append(self, path: Path, data: bytes) -> None:
        """See ``Disk.append``."""
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def truncate(self, path: Path, length: int) -> None:
        """See ``Disk.truncate``."""
        with path.open("r+b") as file:
            file.truncate(length)
            os.fsync(file.fileno())

    def publish(self, path: Path, chunks: Iterable[bytes]) -> None:
        """See ``Disk.publish``. On failure the temporary file is removed and ``path`` is as it was.

        Its name is always the same, so that one left by a killed process is replaced and none pile up.
        """
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.unlink(missing_ok=True)
        try:
            with temporary.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        self.sync_directory(path.parent)

    def move(self, path: Path, target: Path) -> None:
        """See ``Disk.move``."""
        path.replace(target)
        self.sync_directory(target.parent)

    def sync_files(self, paths: Iterable[Path]) -> None:
        """See ``Disk.sync_files``."""
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def sync_directory(self, path: Path) -> None:
        """See ``Disk.sync_directory``."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def unlink(self, path: Path) -> None:
        """See ``Disk.unlink``."""
        path.unlink(missing_ok=True)

    def make_directory(self, path: Path) -> None:
        """See ``Disk.make_directory``."""
        missing = []
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for directory in reversed(missing):
            directory.mkdir(exist_ok=True)
            self.sync_directory(directory.parent)

    def rename_directory(self, path: Path, target: Path) -> None:
        """See ``Disk.rename_directory``."""
        path.rename(target)
        self.sync_directory(target.parent)


async def read_small_file(path: Path, limit: int = 1 << 20) -> bytes:
    """Read a small file (a marker, a failure log) without blocking the loop.

    At most ``limit`` bytes are read. Raises ``OSError`` as the operating system gives it.
    """
    async with aiofiles.open(path, "rb") as file:
        return await file.read(limit)
