"""What an operator decides about a run: waive it, release it, retry it. Only the journal is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError
from archiverd.core.machine import Event, ForbiddenTransitionError, Stage, State
from archiverd.journal.rows import Move

if TYPE_CHECKING:
    from archiverd import log
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow

ANEW: dict[str, object] = {"due": None, "attempts": 0, "error": "", "remedy": ""}
"""Columns of a run that is tried as if it had never failed."""

RETRIED = (
    State.RETRY_WAIT,
    State.QUARANTINED,
    State.CONFLICT,
    State.UPLOAD_UNKNOWN,
    State.IGNORED,
    State.WAIVED,
)
"""States out of which an operator's retry takes a run; in the others it is on its way already.

One in conflict is only compared again, and overwrites nothing."""

_LEFT_ALONE = {
    State.VERIFIED: "already verified: nothing to retry",
    State.OPEN: "has not ended yet: nothing to retry; taken up by itself when it has",
}
"""States in which there is nothing to retry, and how that is said."""

REPLACING: dict[str, object] = {
    **ANEW,
    "override": 1,
    "packed_on": "",
    "blob_length": None,
    "blob_sha256": "",
    "puts": 0,
}
"""Columns of a run whose blob is made and sent anew."""


@dataclass(frozen=True, slots=True)
class SkippedRun:
    """A run that a retry did not take up, and why."""

    run: int
    reason: str
    failed: bool = False
    """What was asked for cannot be done; else there is nothing to be done."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        return {"run": self.run, "reason": self.reason}


async def waive(journal: Journal, run: int, reason: str) -> RunRow:
    """Take ``run`` out of the reckoning. Raise ArchiverError if it is not known or cannot be waived."""
    row = await _known(journal, run)
    if row.state is State.VERIFIED:
        raise ArchiverError(
            f"Run {run} is verified and needs no waiving", remedy="nothing is left to be done for it", run=run
        )
    return await _decide(journal, row, Move(run, Event.WAIVED, reason, {"due": None, "error": "", "remedy": reason}))


async def release(journal: Journal, run: int, *, override: bool) -> RunRow:
    """Put ``run``, waiting or set aside, back to where it failed.

    A run in conflict, and a superseded one, only with ``override``: that replaces UconDB's version; so it does for any
    run of which a put was sent, whose blob may no longer be what it was then. Raise ArchiverError if the run is not
    known, cannot be released, or needs ``override``.
    """
    row = await _known(journal, run)
    if row.state is State.VERIFIED and not row.superseded:
        raise ArchiverError(
            f"Run {run} is verified and cannot be released", remedy="there is nothing to release", run=run
        )
    guarded = row.state in (State.CONFLICT, State.VERIFIED)
    if guarded and not override:
        what = "in conflict" if row.state is State.CONFLICT else "superseded"
        raise ArchiverError(
            f"Run {run} is {what}: releasing it replaces UconDB's version",
            remedy=f"compare both (`archiverd export`), then `archiverd release {run} --override`",
            run=run,
        )
    if _never_ended(row):
        return await _decide(journal, row, Move(run, Event.REOPENED, "", ANEW))
    changes = REPLACING if (guarded or (override and row.puts)) and row.stage is Stage.MIGRATE else ANEW
    note = "UconDB's version is to be replaced" if changes is REPLACING else ""
    return await _decide(journal, row, Move(run, Event.RELEASED, note, changes))


async def retry(journal: Journal, run: int, stage: Stage, logger: log.Log) -> SkippedRun | None:
    """Take up ``run`` of the failure log of ``stage`` again, whatever it waits for; return None if it is now tried.

    One that need not or must not be tried is left as it is, and the reason said and returned.
    """
    row = await journal.get(run)
    if row is None:
        unknown = SkippedRun(
            run, "not known: no directory of that number was seen; taken up when there is one", failed=True
        )
        logger.warning(unknown.reason, run=run)
        return unknown
    if row.state in _LEFT_ALONE:
        logger.info(_LEFT_ALONE[row.state], run=run)
        return SkippedRun(run, _LEFT_ALONE[row.state])
    if row.state in RETRIED:
        event = Event.REOPENED if _never_ended(row) else Event.RELEASED
        move = Move(run, event, f"asked for by an operator ({stage})", {**ANEW, "listed": 1})
        if not await journal.record_allowed(move):  # due, or picked, since it was looked at
            logger.info("on its way already: nothing to retry", run=run)
    return None


def _never_ended(row: RunRow) -> bool:
    """Tell whether a run was waived before it ended: its end is still to come, but for one known from artdaqDB only."""
    return row.state is State.WAIVED and row.ended_at is None and row.imported_at is None


async def _known(journal: Journal, run: int) -> RunRow:
    """Return the row of ``run``. Raise ArchiverError if there is none."""
    row = await journal.get(run)
    if row is None:
        raise ArchiverError(
            f"Run {run} is not known", remedy="its directory was never seen below source_files.run_records_dir", run=run
        )
    return row


async def _decide(journal: Journal, row: RunRow, move: Move) -> RunRow:
    """Record a decision. Raise ArchiverError if it cannot be made in the run's state."""
    try:
        (after,) = await journal.record(move)
    except ForbiddenTransitionError:
        now = await journal.get(row.run) or row  # it may have moved on since it was looked at
        raise ArchiverError(
            f"Run {row.run} is {now.state} and cannot be {move.event}",
            remedy=f"`archiverd why {row.run}` tells what it is waiting for",
            run=row.run,
        ) from None
    return after
