"""archiver.log: appended to by every process that archives, rotated by the one that holds the lock.

Each record is one ``write`` to a file opened for appending, so that records of several processes stay whole. A file
that was renamed or removed is created again at the next record. Nothing here raises once the file was opened: a full
disk or a lost permission loses lines, which are counted, and never fails a run.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STAMP = "%Y-%m-%d %H:%M:%S"
"""Local time at the start of every line, as in the older tool. A file is as old as its first line."""

AGAIN_SECONDS = 60.0
"""Seconds after a failed rotation before the next attempt; until then the file grows."""

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a log file is rotated, and how many old ones are kept: archiver.log.1 is the youngest."""

    max_bytes: int
    max_age_seconds: float
    backups: int


class LogFile:
    """An open log file; may be written to from any thread."""

    def __init__(
        self, path: Path, rotation: Rotation, on_trouble: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        """Open ``path`` for appending. ``on_trouble`` gets the first error of a series of lost lines. Raise OSError."""
        self.rotates = False
        """Whether this process may rotate the file: only the one that holds the lock."""
        self.path = path
        self._rotation = rotation
        self._on_trouble = on_trouble
        self._clock = clock
        self._lock = threading.Lock()
        self._lost = 0
        self._torn = False
        self._not_before = 0.0
        self._descriptor: int | None = None
        self._open()

    def write(self, text: str) -> None:
        """Append ``text`` and a line end as a record; on failure count it as lost."""
        record = text.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            first = not self._lost
            try:
                self._follow()
                self._rotate_if_due(len(record))
                self._append(record)
            except OSError as error:
                self._lost += 1
                trouble = str(error)
            else:
                return
        if first:
            self._on_trouble(trouble)

    def reopen(self) -> None:
        """Open the path again, after the file was moved; on failure keep the one that is open."""
        with self._lock, contextlib.suppress(OSError):
            self._open()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _open(self) -> None:
        """Open the path and close the file that was open. Raise OSError."""
        descriptor = os.open(self.path, _FLAGS, _MODE)
        old, self._descriptor = self._descriptor, descriptor
        if old is not None:
            os.close(old)
        status = os.fstat(descriptor)
        self._identity = status.st_dev, status.st_ino
        self._plain = stat.S_ISREG(status.st_mode)
        self._begun = _begun(self.path, status, self._clock())

    def _follow(self) -> None:
        """Reopen the path unless it is the open file; set ``_size``. Raise OSError."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            status = None
        if self._descriptor is None or status is None or (status.st_dev, status.st_ino) != self._identity:
            self._open()
            status = os.fstat(self._descriptor or -1)
        self._size = status.st_size

    def _rotate_if_due(self, coming: int) -> None:
        """Begin a new file if the present one is too big or too old; on a failure continue with the present one."""
        now = self._clock()
        if not (self.rotates and self._plain and self._size) or now < self._not_before:
            return
        too_old = now - self._begun > self._rotation.max_age_seconds
        if not too_old and self._size + coming <= self._rotation.max_bytes:
            return
        try:
            self._shift()
        except OSError:
            self._not_before = now + AGAIN_SECONDS
        self._open()

    def _shift(self) -> None:
        """Rename the file and its old ones, each by one, and drop the oldest. Raise OSError."""
        backups = self._rotation.backups
        if not backups:
            self.path.unlink()
            return
        for number in range(backups - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self.path}.{number}", f"{self.path}.{number + 1}")
        os.replace(self.path, f"{self.path}.1")

    def _append(self, record: bytes) -> None:
        """Write a record, after a line about lost ones. Raise OSError."""
        before = "\n" if self._torn else ""
        if self._lost:
            before += (
                f"{time.strftime(STAMP, time.localtime(self._clock()))} WARNING {self._lost} log lines were lost\n"
            )
        left = memoryview(before.encode() + record)
        while left:
            left = left[os.write(self._descriptor or -1, left) :]
            self._torn = bool(left)
        self._lost = 0


def _begun(path: Path, status: os.stat_result, now: float) -> float:
    """Return when a log file was begun: the time of its first line, else its last change, in epoch seconds."""
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return now
    try:
        with path.open("rb") as file:
            first = file.read(19).decode("ascii")
        return time.mktime(time.strptime(first, STAMP))
    except (OSError, ValueError, OverflowError):
        return status.st_mtime
