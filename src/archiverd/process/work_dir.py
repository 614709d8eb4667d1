"""The work directory and the log file in it: the first things a process that archives needs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core import runset
from archiverd.core.errors import ArchiverError, ConfigurationError, Retry
from archiverd.disk import RealDisk
from archiverd.process import mounts
from archiverd.process.log_file import open_log_file

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.config.models import App


FIRST_START = "first_start.json"
MOST_RUNS = 10_000_000
"""Most run directories that can have stood there at the first start."""


def prepare(app: App) -> None:
    """Set ``app.umask``, make the work directory, and log to the log file too; a second call changes nothing.

    Called before the heavy imports, so that their errors are in the log file. Raise ArchiverError if it cannot be
    done, ConfigurationError for a directory on a network file system, PermissionError for a log file that is closed.
    """
    os.umask(int(app.umask, 8))
    _make_work_dir(app.work_dir)
    open_log_file(app)


def _make_work_dir(path: Path) -> None:
    """Make the work directory. Raise ArchiverError if that cannot be done, ConfigurationError on a network's disk."""
    if mounts.is_network(path):
        raise ConfigurationError(
            f"Configuration validation failed: work_dir {path} lies on a network file system",
            remedy="set app.work_dir to a directory of a local disk: lock and journal cannot be relied on elsewhere",
            context={"directory": str(path)},
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArchiverError(
            f"Cannot make the work directory: {error}",
            remedy=f"make {path} and give it to the user archiverd runs as",
            context={"directory": str(path)},
        ) from error


@dataclass(frozen=True, slots=True)
class FirstStart:
    """The very first start in a work directory: what stood there then is the backlog (``watch.backfill``)."""

    at: float
    """When that was, in epoch seconds by this machine's clock."""
    runs: frozenset[int] | None = None
    """The run directories that stood there; None if they were not noted, as by older versions: then time decides."""
    running: frozenset[int] | None = None
    """Those of them that were running; None until all had been looked at."""

    def stood(self, run: int, ended: float) -> bool:
        """Return whether a run that ended or changed at ``ended``, by the file server's clock, stood there."""
        return ended < self.at if self.runs is None else run in self.runs

    def had_ended(self, run: int, ended: float) -> bool:
        """Return whether a run that ended at ``ended``, by the file server's clock, had ended then."""
        if not self.stood(run, ended):
            return False
        return ended < self.at if self.running is None else run not in self.running


def read_first_start(work_dir: Path) -> FirstStart | None:
    """Return the very first start here; None if there never was one.

    The journal may have been lost since. One before all runs if it cannot be read: rather a run too many is archived
    than one too few.
    """
    path = work_dir / FIRST_START
    try:
        noted = json.loads(path.read_bytes())
        runs, running = (_numbers(noted.get(name)) for name in ("runs", "running"))
        return FirstStart(float(noted["at"]), runs, running)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        log.get().warning(f"cannot read {path}: {error} (watch.backfill leaves out no run)")
        return FirstStart(0.0)


def _numbers(text: object) -> frozenset[int] | None:
    """Return the run numbers that a text stands for. Raise TypeError or ValueError if it is none."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError("run numbers must be text")
    spans = runset.unpack(text)
    if runset.count(spans) > MOST_RUNS:
        raise ValueError("too many run numbers")
    return frozenset(runset.numbers(spans))


def write_first_start(work_dir: Path, first: FirstStart) -> None:
    """Write down the very first start. Raise ArchiverError if that cannot be done."""
    path = work_dir / FIRST_START
    names = {"runs": first.runs, "running": first.running}
    noted = {name: runset.pack(runs) for name, runs in names.items() if runs is not None}
    try:
        RealDisk().publish(path, [json.dumps({"version": 1, "at": first.at, **noted}).encode(), b"\n"])
    except OSError as error:
        raise ArchiverError(
            f"Cannot write {path}: {error}", retry=Retry.TRANSIENT, remedy="free space or mend it, then start again"
        ) from error
