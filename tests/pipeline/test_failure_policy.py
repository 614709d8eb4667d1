"""What becomes of a failed run, by the kind of its failure."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

import pytest

from archiverd import log
from archiverd.config.models import AppFuzz
from archiverd.core.errors import ArchiverError, ArtdaqDBError, Retry, UconDBError
from archiverd.core.machine import Event, ForbiddenTransitionError, Position, State, step
from archiverd.core.priority import Lane, RetrySchedule
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition
from archiverd.pipeline.failure_policy import FailurePolicy, as_known_error
from archiverd.pipeline.fault_injection import FaultInjector

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.journal.rows import RunRow

FAILING = FailurePolicy(RetrySchedule(quick=2, delay=3.0), clock=lambda: 1_000.0, uniform=lambda low, _: low)
TO = {
    State.IMPORTING: (Event.ENDED, Event.IMPORT_BEGINS),
    State.IMPORTED: (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE),
    State.UPLOADING: (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS),
}


async def row_in(state: State, tmp_path: Path) -> RunRow:
    """Return a run's row in ``state``."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await journal.open()
    await journal.see([7], Lane.FRESH)
    for event in TO[state]:
        (row,) = await journal.record(Transition(7, event))
    await journal.close()
    return row


@pytest.mark.parametrize("state", TO)
@pytest.mark.parametrize("retry", Retry)
async def test_every_kind_of_failure_leads_somewhere_from_everywhere(
    tmp_path: Path, state: State, retry: Retry
) -> None:
    """Transient waits, permanent and bug are set aside, unknown is looked up, a conflict waits for an operator."""
    row = await row_in(state, tmp_path)
    move = FAILING.transition(row, UconDBError("no", retry=retry, remedy="do this"))
    expected = {
        Retry.TRANSIENT: State.RETRY_WAIT,
        Retry.PERMANENT: State.QUARANTINED,
        Retry.BUG: State.QUARANTINED,
        Retry.UNKNOWN: State.UPLOAD_UNKNOWN if state is State.UPLOADING else State.RETRY_WAIT,
        Retry.CONFLICT: State.CONFLICT,
    }
    if retry is Retry.CONFLICT and state is State.IMPORTED:  # nothing was compared yet
        with pytest.raises(ForbiddenTransitionError):
            step(Position(row.state, row.stage), move.event)
        return
    assert step(Position(row.state, row.stage), move.event)[0].state is expected[retry]
    assert (move.changes["error"], move.changes["remedy"]) == ("UconDBError: no", "do this")
    waits = retry in (Retry.TRANSIENT, Retry.UNKNOWN)
    assert move.changes["due"] == (1_003.0 if waits else None)


async def test_what_is_the_backends_fault_is_not_counted(tmp_path: Path) -> None:
    """During an outage no attempt of the run is used up and it waits for no time."""
    row = await row_in(State.UPLOADING, tmp_path)
    for retry, event in ((Retry.TRANSIENT, Event.PUT_BACK), (Retry.UNKNOWN, Event.UPLOAD_UNCLEAR)):
        move = FAILING.transition(row, UconDBError("away", retry=retry), counts=False)
        assert (move.event, move.changes["due"]) == (event, None)
        assert move.changes.get("attempts", row.attempts) == row.attempts


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (ArtdaqDBError("x", retry=Retry.TRANSIENT), Retry.TRANSIENT),
        (OSError(errno.ENOSPC, "No space left on device"), Retry.TRANSIENT),
        (OSError(errno.EIO, "Input/output error"), Retry.TRANSIENT),
        (PermissionError(errno.EACCES, "Permission denied"), Retry.PERMANENT),
        (KeyError("who wrote this"), Retry.BUG),
    ],
)
def test_every_exception_is_understood(error: Exception, retry: Retry) -> None:
    """What the system says is transient or permanent by its cause; what nobody foresaw is our mistake."""
    known = as_known_error(error, 7, log.get())
    assert isinstance(known, ArchiverError)
    assert known.retry is retry
    assert retry is Retry.TRANSIENT or known.remedy or isinstance(error, ArtdaqDBError)


def test_a_mistake_in_a_statement_of_the_journal_is_no_runs_failure() -> None:
    """It would fail for every run alike: no run is quarantined for it, it ends the program."""
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        as_known_error(sqlite3.OperationalError("no such column: attemps"), 7, log.get())


@pytest.mark.parametrize(
    ("settings", "dice", "told"),
    [
        (AppFuzz(), 0.0, None),
        (AppFuzz(random_skip_percent=10), 9.9, ("skipped", Retry.TRANSIENT)),
        (AppFuzz(random_skip_percent=10), 10.0, None),
        (AppFuzz(random_skip_percent=10, random_skip_retry=True), 0.0, ("skipped", Retry.PERMANENT)),
        (AppFuzz(random_error_percent=50), 49.0, ("failed", Retry.TRANSIENT)),
        (AppFuzz(random_error_percent=50, random_error_retry=True), 49.0, ("failed", Retry.PERMANENT)),
        (AppFuzz(random_error_percent=50, random_skip_percent=1), 0.0, ("skipped", Retry.TRANSIENT)),
    ],
)
def test_a_drill_skips_or_fails_its_share(settings: AppFuzz, dice: float, told: tuple[str, Retry] | None) -> None:
    """A percentage of attempts is skipped or failed; with `*_retry` for good, as in the older tool."""
    drill = FaultInjector(settings, lambda _low, _high: dice)
    if told is None:
        drill()
        return
    with pytest.raises(ArchiverError, match=f"{told[0]} on purpose") as caught:
        drill()
    assert caught.value.retry is told[1]
