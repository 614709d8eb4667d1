"""The log file of a process that archives: where the settings say, opened before anything else can go wrong."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, ConfigurationError
from archiverd.log_rotation import Rotation

if TYPE_CHECKING:
    from archiverd.config.models import App

DAY_SECONDS = 86_400.0


def open_log_file(app: App) -> None:
    """Log to ``app.log_file`` too, if there is one.

    Raise PermissionError or "no space" as the operating system says it, ConfigurationError for anything else.
    """
    if app.log_file is None:
        return
    rotation = Rotation(app.log_max_bytes, app.log_max_age_days * DAY_SECONDS, app.log_backup_count)
    try:
        log.to_file(app.log_file, rotation)
    except PermissionError as error:
        error.add_note(
            f"give {app.log_file} and its directory to the user archiverd runs as "
            f"(chown -R archiver {app.log_file.parent}), or name another app.log_file"
        )
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise ConfigurationError(
            f"Cannot open the log file: {error}", remedy="make its directory, or name another app.log_file"
        ) from error


def open_log_file_if_there(app: App) -> None:
    """Log to ``app.log_file`` too if it is there and may be written: for commands that change nothing."""
    if app.log_file is not None and app.log_file.exists():
        with contextlib.suppress(ArchiverError, OSError):
            open_log_file(app)
