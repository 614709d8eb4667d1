"""What becomes of a run whose step failed."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, Retry
from archiverd.core.machine import Event, State
from archiverd.core.priority import RetrySchedule, wait_before
from archiverd.journal.rows import Move

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.journal.rows import RunRow

_OUTSIDE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT})
"""Errors of the operating system that pass: a full disk, a sick mount, too many open files."""


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """The rule for failures: how patient we are, the clock (epoch seconds) and the dice."""

    patience: RetrySchedule
    clock: Callable[[], float]
    uniform: Callable[[float, float], float]

    def move(self, row: RunRow, error: ArchiverError, *, counts: bool = True) -> Move:
        """Return the event that ``error`` is for the run of ``row``: wait, look again, or set aside.

        One that does not count is the backend's alone: the run stays where it is and is taken up once that works.
        """
        text = f"{error.name}: {error}"
        if not counts:
            event = Event.UPLOAD_UNCLEAR if error.retry is Retry.UNKNOWN else Event.PUT_BACK
            return Move(row.run, event, text, {"error": text, "remedy": error.remedy, "due": None})
        attempts = row.attempts + 1
        changes: dict[str, object] = {"attempts": attempts, "error": text, "remedy": error.remedy, "due": None}
        if error.retry is Retry.CONFLICT:
            event = Event.IMPORT_CONFLICTS if row.state is State.IMPORTING else Event.UPLOAD_CONFLICTS
            return Move(row.run, event, text, {"error": text, "remedy": error.remedy, "due": None, "override": 0})
        if error.retry in (Retry.PERMANENT, Retry.BUG):
            return Move(row.run, Event.FAILED_FOR_GOOD, text, changes)
        unclear = error.retry is Retry.UNKNOWN and row.state is State.UPLOADING
        changes["due"] = self.clock() + wait_before(attempts, self.patience, self.uniform)
        event = Event.UPLOAD_UNCLEAR if unclear else Event.FAILED_FOR_NOW  # an import is looked up by every attempt
        return Move(row.run, event, text, changes)


def as_known_error(error: Exception, run: int, logger: log.Log) -> ArchiverError:
    """Return ``error`` as one an operator can read; what nobody foresaw is logged with its traceback."""
    if isinstance(error, ArchiverError):
        return error
    if isinstance(error, OSError):
        transient = error.errno in _OUTSIDE
        return ArchiverError(
            f"{type(error).__name__}: {error}",
            retry=Retry.TRANSIENT if transient else Retry.PERMANENT,
            remedy="free space or mend the file system; the run is tried again by itself"
            if transient
            else "check the path and its permissions for the user archiverd runs as",
            run=run,
        )
    log.unexpected(logger, error, run)
    return ArchiverError(
        f"unexpected {type(error).__name__}: {error}",
        retry=Retry.BUG,
        remedy="a mistake in archiverd: report it with the traceback in the log",
        run=run,
    )
