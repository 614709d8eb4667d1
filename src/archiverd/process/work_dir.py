"""The work directory and the log file in it: the first things a process that archives needs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, ConfigurationError, Retry
from archiverd.disk import RealDisk
from archiverd.process import mounts
from archiverd.process.log_file import open_log_file

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.config.models import App


FIRST_START = "first_start.json"


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


def read_first_start(work_dir: Path) -> float | None:
    """Return when archiverd was started here for the very first time, in epoch seconds; None if it never was.

    For the backfill rule; the journal may have been lost since. 0.0, before all runs, if it cannot be read: rather a
    run too many is archived than one too few.
    """
    path = work_dir / FIRST_START
    try:
        return float(json.loads(path.read_bytes())["at"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        log.get().warning(f"cannot read {path}: {error} (watch.backfill leaves out no run)")
        return 0.0


def write_first_start(work_dir: Path, at: float) -> None:
    """Write when archiverd was started for the very first time, in epoch seconds. Raise ArchiverError if it cannot."""
    path = work_dir / FIRST_START
    try:
        RealDisk().publish(path, [json.dumps({"version": 1, "at": at}).encode(), b"\n"])
    except OSError as error:
        raise ArchiverError(
            f"Cannot write {path}: {error}", retry=Retry.TRANSIENT, remedy="free space or mend it, then start again"
        ) from error
