"""The demo's progress while it runs, and at its end the outcome of every run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from archiverd.core.machine import State
from archiverd.journal.queries import select_left_out, select_states
from archiverd.journal.reader import is_there, reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from archiverd.journal.rows import RunRow


class Expected(Protocol):
    """The part of a planned run that the summary needs."""

    @property
    def run(self) -> int:
        """Its number."""

    @property
    def crash(self) -> bool:
        """Whether it ends without a stop line."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of the planned runs."""

    planned: int
    verified: int
    bytes: int
    p50: float
    """Median time from stop line to verified, in seconds; NaN if no run has both."""
    p99: float
    wrong: tuple[str, ...]
    """A line for each run in an unexpected state, with the reason."""
    remarks: tuple[str, ...]
    """A line for each run in its expected state with something to remark."""

    @property
    def exit_code(self) -> int:
        """0 when every run is in its expected state."""
        return 1 if self.wrong else 0


def read_rows(journal: Path) -> dict[int, RunRow]:
    """Return the rows of all runs in the daemon's journal, by number; empty before there is a journal."""
    if not is_there(journal):
        return {}
    with reading(journal) as db:
        return {row.run: row for row in select_states(db, list(State))}


def left_out(journal: Path) -> list[str]:
    """Return a line for every file that was not archived, with the reason."""
    with reading(journal) as db:
        rows = select_left_out(db)
    return [f"run {run}: {name} left out: {reason}" for run, name, reason in rows]


def as_expected(plan: Expected, row: RunRow | None) -> bool:
    """Return whether a planned run is verified, and flagged dead exactly if it crashed."""
    return row is not None and row.state is State.VERIFIED and row.dead is plan.crash


def summarise(plans: Sequence[Expected], rows: Mapping[int, RunRow], files: Sequence[str]) -> Summary:
    """Compare the plans with the journal's rows; ``files`` are the lines of files left out."""
    wrong, remarks = [], list(files)
    for plan in plans:
        row = rows.get(plan.run)
        if not as_expected(plan, row):
            wrong.append(
                f"run {plan.run}: " + ("never seen" if row is None else f"{row.state}: {row.error or 'no error'}")
            )
        elif plan.crash:
            remarks.append(f"run {plan.run}: crashed without a stop line; archived and flagged dead")
    verified = [row for row in rows.values() if row.state is State.VERIFIED]
    waits = sorted(
        row.verified_at - row.stopped_at
        for row in verified
        if row.verified_at is not None and row.stopped_at is not None and not row.dead
    )
    return Summary(
        planned=len(plans),
        verified=len(verified),
        bytes=sum(row.blob_length or 0 for row in verified),
        p50=percentile(waits, 0.50),
        p99=percentile(waits, 0.99),
        wrong=tuple(wrong),
        remarks=tuple(remarks),
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of ascending values; NaN if there are none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
