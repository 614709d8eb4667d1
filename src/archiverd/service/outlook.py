"""What a pass would do, without doing any of it: `archiverd once --dry-run`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.machine import Stage, State
from archiverd.journal.queries import select_states
from archiverd.journal.reader import is_there, reading
from archiverd.runrecord.completeness import Patience, judge, time_lines
from archiverd.runrecord.sighting import Sighting, sight
from archiverd.service.places import journal_path
from archiverd.service.watch import ENDED, scan

if TYPE_CHECKING:
    from archiverd.config import Settings
    from archiverd.journal.rows import RunRow

_TO_IMPORT = (State.QUEUED, State.IMPORTING)
_TO_UPLOAD = (State.IMPORTED, State.UPLOADING, State.UPLOAD_UNKNOWN)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The runs a pass would take up, and those it would not; each ascending."""

    to_import: tuple[int, ...]
    to_upload: tuple[int, ...]
    """Runs that are in artdaqDB, or would be once imported."""
    still_open: tuple[int, ...]
    set_aside: tuple[int, ...]
    """Quarantined and in conflict: they wait for an operator."""


def look_ahead(settings: Settings, *, importing: bool, migrating: bool) -> Outlook:
    """Tell what a pass over these stages would do now. Raise ArchiverError if directory or journal cannot be read."""
    rows = _rows(settings)
    found = scan(settings.source_files.run_records_dir).runs
    ended, still_open = _judge(settings, {run for run in found if run not in rows or rows[run].state is State.OPEN})
    queued = {row.run for row in rows.values() if _waits(row, Stage.IMPORT, _TO_IMPORT)} | ended if importing else set()
    imported = {row.run for row in rows.values() if _waits(row, Stage.MIGRATE, _TO_UPLOAD)}
    set_aside = {row.run for row in rows.values() if row.state in (State.QUARANTINED, State.CONFLICT)}
    return Outlook(
        tuple(sorted(queued)),
        tuple(sorted(imported | queued)) if migrating else (),
        tuple(sorted(still_open)),
        tuple(sorted(set_aside)),
    )


def _rows(settings: Settings) -> dict[int, RunRow]:
    """Return what the journal knows, if there is one."""
    path = journal_path(settings)
    if not is_there(path):
        return {}
    with reading(path) as db:
        return {row.run: row for row in select_states(db, list(State))}


def _waits(row: RunRow, stage: Stage, states: tuple[State, ...]) -> bool:
    """Tell whether a run is to go through ``stage`` next, retries included."""
    return row.state in states or (row.state is State.RETRY_WAIT and row.stage is stage)


def _judge(settings: Settings, runs: set[int]) -> tuple[set[int], set[int]]:
    """Return which of ``runs`` have ended and which are still open, taking them as settled."""
    root, watch = settings.source_files.run_records_dir, settings.watch
    sightings = {run: sight(root / str(run)) for run in runs}
    latest: dict[int, int] = {}
    for run, seen in sightings.items():
        if seen.partition is not None and time_lines(seen.metadata).started is not None:
            latest[seen.partition] = max(run, latest.get(seen.partition, 0))
    patience = Patience(watch.settle_seconds, watch.final_wait_seconds, watch.abandon_after_seconds)

    def has_ended(run: int, seen: Sighting) -> bool:
        later = seen.partition is not None and latest.get(seen.partition, 0) > run
        now = time.time()
        since = min(seen.changed, now - patience.settle)  # a pass gives a run its time to settle
        return judge(seen, now, patience, later_started=later, unchanged_since=since) in ENDED

    ended = {run for run, seen in sightings.items() if has_ended(run, seen)}
    return ended, runs - ended
