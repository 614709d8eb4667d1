"""The work directory and the log file in it: the first things a process that archives needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError, ConfigurationError
from archiverd.service import mounts
from archiverd.service.log_file import begin_log_file

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.config import App


def prepare(app: App) -> None:
    """Take on ``app.umask``, make the work directory, and log to the log file too; a second time changes nothing.

    Before the heavy imports: what goes wrong with them stands in the log file. Raise ArchiverError if it cannot be
    done, ConfigurationError for a directory on a network file system, PermissionError for a log file that is closed.
    """
    os.umask(int(app.umask, 8))
    _make_work_dir(app.work_dir)
    begin_log_file(app)


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
