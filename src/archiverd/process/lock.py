"""The lock file: one instance per work directory, and a way to ask it to stop.

The file is opened without truncation, so that a refused second instance does not disturb the first.
"Removed" means that the path no longer leads to our inode.

A process whose file was removed still drains, while the file's name is free. So the work directory itself, which nobody
removes, is locked too: a process that writes to the journal in it holds both.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import LockExistsError
from archiverd.detached import run_detached
from archiverd.process.shutdown import ShutdownReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archiverd.process.shutdown import Shutdown

LOCK_TABLE = Path("/proc/locks")

_log = log.get()

_BANNER = "=" * 70

RETRIES, RETRY_SECONDS = 5, 0.02
"""Further attempts to take a lock, and the seconds between them: `check` holds it for a moment (``find_holder``)."""

CHECK_SECONDS = 0.5
"""Seconds between checks that the lock file is still there."""


class LockFile:
    """A lock file that holds our process id while it is held."""

    def __init__(self, path: Path, pause: Callable[[float], None] = time.sleep) -> None:
        """Name the lock file; nothing is touched yet. ``pause`` sleeps for the given seconds."""
        self.path = path
        self._pause = pause
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raise LockExistsError if another process has it, OSError if the file cannot be made."""
        while True:
            self._descriptor = self._lock()
            if self.is_ours():
                break
            os.close(self._descriptor)  # its last holder removed it between our open and our lock: it guards nothing
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _lock(self) -> int:
        """Open the file and lock it; return its descriptor. Raise as ``acquire``."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._flock(descriptor)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise LockExistsError(
                f"Another process may be running. Lock file '{self.path}' is held.",
                remedy=f"process {holder or 'unknown'} holds it: leave it running, or stop it with SIGINT first",
                context={"pid": holder},
            ) from None
        return descriptor

    def _flock(self, descriptor: int) -> None:
        """Lock the file. Raise BlockingIOError if another process holds it for longer than a test of the lock takes."""
        for _ in range(RETRIES):
            with contextlib.suppress(BlockingIOError):
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._pause(RETRY_SECONDS)
        return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Release the lock, and remove the file if it is still ours."""
        if self._descriptor is None:
            return
        if self.is_ours():
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def is_ours(self) -> bool:
        """Return whether the path still leads to the file that we hold."""
        if self._descriptor is None:
            return False
        ours = os.fstat(self._descriptor)
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        except OSError:  # a work directory that cannot be read proves nothing
            return True
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    async def wait_until_removed(self) -> None:
        """Return once somebody has removed or replaced the file."""
        while await run_detached(self.is_ours):  # noqa: ASYNC110 - others remove it, without an event for us
            await asyncio.sleep(CHECK_SECONDS)


@contextlib.contextmanager
def holding(lock: LockFile, work_dir: Path) -> Iterator[None]:
    """Hold the lock file and the work directory while the block runs. Raise as ``LockFile.acquire``."""
    lock.acquire()
    try:
        directory = _lock_directory(work_dir, lock.path)
        try:
            yield
        finally:
            os.close(directory)  # before the file: a process that gets the file gets both
    finally:
        lock.release()


def _lock_directory(work_dir: Path, lock_file: Path) -> int:
    """Return a descriptor that keeps ``work_dir`` locked until it is closed; no child inherits it.

    Raise LockExistsError if a process that has lost its lock file still holds the directory.
    """
    descriptor = os.open(work_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _find_in_table(LOCK_TABLE, _identity(os.fstat(descriptor))) or "unknown"
        os.close(descriptor)
        raise LockExistsError(
            f"Another process may be running. Lock file '{lock_file}' was removed, and who held it still drains.",
            remedy=f"process {holder} finishes what it has in hand: start again when it has ended",
            context={"pid": holder, "directory": str(work_dir)},
        ) from None
    return descriptor


async def drain_when_removed(lock: LockFile, shutdown: Shutdown) -> None:
    """Begin to drain once the lock file is removed; log so in the runbook's words."""
    await lock.wait_until_removed()
    for line in (
        _BANNER,
        "LOCK FILE REMOVED - INITIATING GRACEFUL SHUTDOWN",
        f"Lock file: {lock.path}",
        "Process will finish current run and then exit",
        _BANNER,
    ):
        _log.warning(line)
    shutdown.ask(ShutdownReason.LOCK_REMOVED)


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Whether a lock file is held, and by which process, as seen from outside."""

    held: bool
    pid: int | None
    """The process that holds it or, if none does, that left it; None if unknown."""


def find_holder(path: Path, locks: Path = LOCK_TABLE) -> LockHolder | None:
    """Return the holder of the lock file at ``path``; None if there is no file. Raise OSError if it cannot be read.

    The kernel's table shows the holder without touching anything (proc(5), locks). Where it does not (another
    container, a file system whose device numbers differ there), a shared lock is taken and released at once.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        pid = int(text) if text.isdecimal() else None
        listed = _find_in_table(locks, _identity(os.fstat(descriptor)))
        if listed is not None:
            return LockHolder(held=True, pid=listed if listed > 0 else pid)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return LockHolder(held=True, pid=pid)
        return LockHolder(held=False, pid=pid)
    finally:
        os.close(descriptor)


def _identity(file: os.stat_result) -> str:
    """Return a file's device and inode as the kernel's table has them."""
    return f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"


def _find_in_table(locks: Path, identity: str) -> int | None:
    """Return the process that has locked the file of this device and inode with flock; None if none is listed.

    A shared lock is only somebody else's test (``find_holder``).
    """
    try:
        lines = locks.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) == 8 and words[1] == "FLOCK" and words[3] == "WRITE" and words[5] == identity:
            return int(words[4])
    return None
