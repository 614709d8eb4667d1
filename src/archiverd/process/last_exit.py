"""How the last process that worked on a work directory ended: exit code, time and reason, in ``last_exit.json``.

Written when `archiverd run`, `once`, `retry` or `recover` end, for `archiverd check` and its bundle. A process that is
killed writes nothing, and leaves its lock file.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.config.paths import last_exit_path
from archiverd.core.errors import LockExistsError, exit_code, leaf
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from archiverd.config.models import Settings
    from archiverd.disk import Disk

_log = log.get()

_ENDS = {0: "it ended in order", 1: "some runs failed, or the lock file was removed", 130: "it was interrupted"}
"""Meanings of exit codes that come without an error (docs/commands.md)."""


@dataclass(frozen=True, slots=True)
class LastExit:
    """How a process ended; ``at`` in epoch seconds."""

    at: float
    command: str
    pid: int
    exit_code: int
    reason: str


@dataclass(slots=True)
class Ending:
    """Takes the exit code of a block that ends without an error."""

    exit_code: int = 0


@contextlib.contextmanager
def recording(
    settings: Settings, command: str, disk: Disk | None = None, clock: Callable[[], float] = time.time
) -> Iterator[Ending]:
    """Record how the block ends. A process that was refused the lock leaves the record to the holder.

    A record that cannot be written does not keep the process from ending.
    """
    ending = Ending()
    try:
        yield ending
    except LockExistsError:
        raise
    except BaseException as error:
        cause = leaf(error)
        record(settings, command, exit_code(error), f"{type(cause).__name__}: {cause}", disk, clock)
        raise
    record(settings, command, ending.exit_code, _ENDS.get(ending.exit_code, ""), disk, clock)


def read(path: Path) -> LastExit | None:
    """Return the record; None if there is none, or none that can be parsed. Raise OSError if it cannot be read."""
    try:
        fields = json.loads(path.read_bytes())
        return LastExit(
            at=float(fields["at"]),
            command=str(fields["command"]),
            pid=int(fields["pid"]),
            exit_code=int(fields["exit_code"]),
            reason=str(fields["reason"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def record(
    settings: Settings,
    command: str,
    code: int,
    reason: str,
    disk: Disk | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Replace the record. The lock is free by now: of two processes that end at once, one may stay unrecorded."""
    fields = {"version": 1, **asdict(LastExit(clock(), command, os.getpid(), code, reason))}
    try:
        (disk or RealDisk()).publish(last_exit_path(settings), [json.dumps(fields).encode(), b"\n"])
    except OSError as error:
        _log.debug(f"cannot record the exit code: {error}")
