"""Operators' decisions about a run: waive it, release it, retry it. They change only the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.control.fields import fields_of, run_number, text
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import NEEDS_OVERRIDE, RETRIED, Event, ForbiddenTransitionError, Stage, State
from archiverd.core.proofs import BlobFault
from archiverd.journal import transitions
from archiverd.journal.destinations import Found, Side

if TYPE_CHECKING:
    from archiverd import log
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow
    from archiverd.journal.transitions import Transition

_NOTHING_TO_RETRY = {
    State.VERIFIED: "already verified: nothing to retry",
    State.OPEN: "has not ended yet: nothing to retry; taken up by itself when it has",
}
"""By state in which there is nothing to retry, the words for that."""


_DESCRIBED = {
    BlobFault.DAMAGED: "damaged in UconDB",
    BlobFault.DIFFERS: "not what was proven in UconDB",
    BlobFault.MISSING: "not in UconDB any more",
}
"""What is wrong with a verified run, in words."""


@dataclass(frozen=True, slots=True)
class SkippedRun:
    """A run that a retry did not take up, and the reason."""

    run: int
    reason: str
    failed: bool = False
    """The retry is not possible; otherwise there is nothing to do."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        return {"run": self.run, "reason": self.reason}

    @staticmethod
    def from_json(value: object) -> SkippedRun:
        """Return what ``to_json`` made ``value`` of. Raise MessageError if it made none."""
        with fields_of(value, "a run that was skipped") as fields:
            return SkippedRun(fields.take("run", run_number), fields.take("reason", text))


async def waive(journal: Journal, run: int, reason: str) -> RunRow:
    """Leave ``run`` out for ``reason``; return its row. Raise ArchiverError if it is unknown or cannot be waived."""
    row = await _require_row(journal, run)
    if row.state is State.VERIFIED:
        raise ArchiverError(
            f"Run {run} is verified and needs no waiving", remedy="nothing is left to be done for it", run=run
        )
    if row.state is State.WAIVED:
        raise ArchiverError(f"Run {run} is waived already", remedy=f"`archiverd why {run}` shows the reason", run=run)
    return await _record_decision(journal, row, transitions.waived(run, reason))


async def release(journal: Journal, run: int, *, override: bool, without: tuple[str, ...] = ()) -> RunRow:
    """Put ``run``, which waits or was set aside, back to where it failed; return its row.

    Files of the names ``without`` are left out of its archive: an operator decides so about what cannot be read.

    A run in conflict, a superseded one and one whose blob in UconDB is damaged or differs need ``override``, which
    replaces UconDB's version. It does so for any other run, too, of which a put was sent, for its blob may no longer be
    what it was then. One that UconDB has lost is uploaded again. Raise ArchiverError if the run is
    unknown, cannot be released, or needs ``override``.
    """
    row = await _require_row(journal, run)
    if (
        row.state is State.VERIFIED
        and not row.superseded
        and row.blob_fault is None
        and not await _may_be_replaced(journal, run)
    ):
        raise ArchiverError(
            f"Run {run} is verified and cannot be released", remedy="there is nothing to release", run=run
        )
    if without:
        _require_names(row, without)
    if row.state is State.VERIFIED and row.blob_fault is BlobFault.MISSING and not override:
        return await _record_decision(journal, row, transitions.missing(run))
    guarded = row.state in NEEDS_OVERRIDE
    if guarded and not override:
        what = _describe_guarded(row)
        damaged = row.state is State.VERIFIED and row.blob_fault is BlobFault.DAMAGED
        first = "ask UconDB's administrators" if damaged else "compare both (`archiverd export`)"
        raise ArchiverError(
            f"Run {run} is {what}: releasing it replaces UconDB's version",
            remedy=f"{first}, then `archiverd release {run} --override`",
            run=run,
        )
    if _never_ended(row):
        return await _record_decision(journal, row, transitions.reopened(run))
    replaces = (guarded or (override and row.puts)) and row.stage is Stage.MIGRATE
    made = transitions.released_to_replace(run) if replaces else transitions.released(run, without)
    return await _record_decision(journal, row, made)


async def retry(journal: Journal, run: int, stage: Stage, logger: log.Log) -> SkippedRun | None:
    """Take up ``run`` of the failure log of ``stage`` again, whatever it waits for; return None if it is tried now.

    A run with nothing to retry is left as it is, and the reason is logged and returned.
    """
    row = await journal.get(run)
    if row is None:
        unknown = SkippedRun(
            run, "not known: no directory of that number was seen; taken up when there is one", failed=True
        )
        logger.warning(unknown.reason, run=run)
        return unknown
    if row.state in _NOTHING_TO_RETRY:
        logger.info(_NOTHING_TO_RETRY[row.state], run=run)
        return SkippedRun(run, _NOTHING_TO_RETRY[row.state])
    if row.state in RETRIED:
        asked = transitions.retried(run, stage, reopens=_never_ended(row))
        if not await journal.record_allowed(asked):  # due, or picked, since its row was read
            logger.info("on its way already: nothing to retry", run=run)
    return None


def _describe_guarded(row: RunRow) -> str:
    """Return in words why a release of a run replaces UconDB's version."""
    if row.blob_fault is not None:
        return _DESCRIBED[row.blob_fault]
    if row.state is State.CONFLICT:
        return "in conflict"
    return "superseded" if row.superseded else "not what was proven in the configured UconDB, or cannot be read there"


async def _may_be_replaced(journal: Journal, run: int) -> bool:
    """Return whether the configured UconDB has other content of a verified run, or does not give it back.

    It was archived elsewhere, or is one of several that cannot be read.
    """
    standstill = await journal.proofs.standstill()
    if standstill is not None and standstill.fault is BlobFault.DAMAGED and run in standstill.runs:
        return True
    return (await journal.elsewhere(Side.UCONDB)).get(run) is Found.DIFFERS


def _require_names(row: RunRow, names: tuple[str, ...]) -> None:
    """Raise ArchiverError if files of these names cannot be left out of a run's archive."""
    if row.imported_at is not None:
        raise ArchiverError(
            f"Run {row.run} is in artdaqDB already: no file can be left out of it any more",
            remedy=f"`archiverd why {row.run}` shows its files; `archiverd release {row.run}` lets it go on",
            run=row.run,
        )
    for name in names:
        if not name or "/" in name or "\0" in name:
            raise ArchiverError(
                f"{name!r} is not the name of a file of a run record",
                remedy=f"give the name alone, as `archiverd why {row.run}` shows it",
                run=row.run,
            )


def _never_ended(row: RunRow) -> bool:
    """Return whether a run was waived before it ended; a run known from artdaqDB only has ended."""
    return row.state is State.WAIVED and row.ended_at is None and row.imported_at is None


async def _require_row(journal: Journal, run: int) -> RunRow:
    """Return the row of ``run``. Raise ArchiverError if the journal has none."""
    row = await journal.get(run)
    if row is None:
        raise ArchiverError(
            f"Run {run} is not known", remedy="its directory was never seen below source_files.run_records_dir", run=run
        )
    return row


async def _record_decision(journal: Journal, row: RunRow, decision: Transition) -> RunRow:
    """Record a decision; return the row. Raise ArchiverError if the run's state does not allow it."""
    try:
        (after,) = await journal.record(decision)
    except ForbiddenTransitionError:
        now = await journal.get(row.run) or row  # it may have moved on since its row was read
        raise ArchiverError(
            f"Run {row.run} is {now.state} and cannot be {'waived' if decision.event is Event.WAIVED else 'released'}",
            remedy=f"`archiverd why {row.run}` tells what it is waiting for",
            run=row.run,
        ) from None
    return after
