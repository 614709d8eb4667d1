"""What a pass would do, without doing any of it: `archiverd once --dry-run`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.config.paths import journal_path
from archiverd.core.machine import SET_ASIDE, UNDER_WAY, Event, Stage, State
from archiverd.journal.queries import select_states
from archiverd.journal.reader import reading_if_there
from archiverd.process.work_dir import FirstStart, read_first_start
from archiverd.watch.ages import Timekeeper
from archiverd.watch.directory_scan import scan_records
from archiverd.watch.open_runs import OpenRun, OpenRunReader

if TYPE_CHECKING:
    from archiverd.config.models import Settings
    from archiverd.journal.rows import RunRow


@dataclass(frozen=True, slots=True)
class DryRun:
    """The runs a pass would take up, and those it would not; each ascending."""

    to_import: tuple[int, ...]
    to_upload: tuple[int, ...]
    """Runs that are in artdaqDB, or would be once imported."""
    still_open: tuple[int, ...]
    set_aside: tuple[int, ...]
    """Quarantined and in conflict: they wait for an operator."""


def plan_pass(settings: Settings, *, importing: bool, migrating: bool) -> DryRun:
    """Return what a pass over these stages would do now. Raise ArchiverError if directory or journal cannot be read."""
    rows = _rows(settings)
    found = scan_records(settings).runs
    ended, still_open = _judge(
        settings, rows, {run for run in found if run not in rows or rows[run].state is State.OPEN}
    )
    queued = {row.run for row in rows.values() if _waits(row, Stage.IMPORT)} | ended if importing else set()
    imported = {row.run for row in rows.values() if _waits(row, Stage.MIGRATE)}
    set_aside = {row.run for row in rows.values() if row.state in SET_ASIDE}
    return DryRun(
        tuple(sorted(queued)),
        tuple(sorted(imported | queued)) if migrating else (),
        tuple(sorted(still_open)),
        tuple(sorted(set_aside)),
    )


def _rows(settings: Settings) -> dict[int, RunRow]:
    """Return what the journal knows, if there is one."""
    with reading_if_there(journal_path(settings)) as db:
        return {} if db is None else {row.run: row for row in select_states(db, list(State))}


def _waits(row: RunRow, stage: Stage) -> bool:
    """Return whether a run is to go through ``stage`` next, retries included."""
    return row.state in UNDER_WAY[stage] or (row.state is State.RETRY_WAIT and row.stage is stage)


def _judge(settings: Settings, rows: dict[int, RunRow], runs: set[int]) -> tuple[set[int], set[int]]:
    """Return which of ``runs`` have ended and are taken, and which are still open, all taken as settled."""
    # A pass gives them their time to settle.
    reader = OpenRunReader(settings, Timekeeper(), settle_seconds=0.0)
    first = read_first_start(settings.app.work_dir)
    fresh = FirstStart(0.0) if rows else FirstStart(time.time(), frozenset(runs))
    reader.first_start = fresh if first is None else first
    for row in rows.values():
        if row.started and row.partition is not None:
            reader.latest[row.partition] = max(row.run, reader.latest.get(row.partition, 0))
    taken: set[int] = set()
    passed_over: set[int] = set()
    for run in sorted(runs, reverse=True):
        for end in reader.read([OpenRun(run)]).ended:
            (passed_over if end.event is Event.PASSED_OVER else taken).add(run)
    return taken, runs - taken - passed_over
