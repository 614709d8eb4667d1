"""What a failure does to a run: it waits for a retry, is looked up, or is set aside."""

from __future__ import annotations

import errno
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, Retry
from archiverd.core.machine import State
from archiverd.core.priority import RetrySchedule, wait_before
from archiverd.journal import transitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.journal.rows import RunRow
    from archiverd.journal.transitions import Transition

_OUTSIDE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT})
"""Errors of the operating system that pass: a full disk, a mount that fails, too many open files."""


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """The rule for failures: the schedule of retries, the clock (epoch seconds) and the randomness."""

    schedule: RetrySchedule
    clock: Callable[[], float]
    uniform: Callable[[float, float], float]

    def transition(self, row: RunRow, error: ArchiverError, *, counts: bool = True) -> Transition:
        """Return the transition of the run of ``row`` after ``error``: it waits, is looked up, or is set aside.

        An error that does not count is the backend's alone: the run waits where it is until the backend works.
        """
        run, text, remedy = row.run, f"{error.name}: {error}", error.remedy
        unknown = error.retry is Retry.UNKNOWN
        if not counts and unknown:
            return transitions.upload_unclear(run, error=text, remedy=remedy, attempts=row.attempts, due=None)
        if not counts:
            return transitions.put_back(run, error=text, remedy=remedy)
        if error.retry is Retry.CONFLICT:
            importing = row.state is State.IMPORTING
            conflicts = transitions.import_conflicts if importing else transitions.upload_conflicts
            return conflicts(run, error=text, remedy=remedy)
        attempts = row.attempts + 1
        if error.retry in (Retry.PERMANENT, Retry.BUG):
            return transitions.failed_for_good(run, error=text, remedy=remedy, attempts=attempts)
        due = self.clock() + wait_before(attempts, self.schedule, self.uniform)
        if unknown and row.state is State.UPLOADING:  # an import is looked up by every attempt
            return transitions.upload_unclear(run, error=text, remedy=remedy, attempts=attempts, due=due)
        return transitions.failed_for_now(run, error=text, remedy=remedy, attempts=attempts, due=due)


def as_known_error(error: Exception, run: int, logger: log.Log) -> ArchiverError:
    """Return ``error`` as one for operators; an unexpected one is logged with its traceback.

    Raise sqlite3.Error as it is: a mistake in the journal's statements is no run's failure and ends the program.
    """
    if isinstance(error, sqlite3.Error):
        raise error
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
