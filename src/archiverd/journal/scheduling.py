"""Queries for the stages: which run is next, which retries are due, how far a stage has come.

A ``+`` before a column keeps SQLite from its index: the one on ``state`` may hold many runs that are not due.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from archiverd.core.machine import FINISHED, MAY_BE_DUE, ON_THEIR_WAY, WAITING, Stage, State
from archiverd.core.runset import LAST_RUN
from archiverd.journal.queries import among, listing
from archiverd.journal.rows import StageProgress

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

_FINISHED_IMPORT = f"imported_at IS NOT NULL OR state IN {listing(FINISHED)}"
_BEGUN_IMPORT = (
    f"imported_at IS NOT NULL OR state = '{State.IMPORTING}' "
    f"OR (stage = '{Stage.IMPORT}' AND (attempts > 0 OR error <> ''))"
)
_FINISHED_MIGRATION = f"state IN {listing(FINISHED)}"
_BEGUN_MIGRATION = "puts > 0 OR verified_at IS NOT NULL"
_PROGRESS = {
    Stage.IMPORT: (_FINISHED_IMPORT, _BEGUN_IMPORT),
    Stage.MIGRATE: (_FINISHED_MIGRATION, _BEGUN_MIGRATION),
}
"""By stage, the SQL conditions for a run through it and for one that it took up; indexes have them in these words."""

_AT_ONCE = tuple(state for state in ON_THEIR_WAY if state not in MAY_BE_DUE)
_WAITS_AS = {(State.RETRY_WAIT, Stage.IMPORT): State.QUEUED, (State.RETRY_WAIT, Stage.MIGRATE): State.IMPORTED}
"""The state that a run to be retried soon is counted under."""


def select_waiting(
    db: sqlite3.Connection, stage: Stage, now: float, only: Collection[int] | None, *, oldest: bool, most: int
) -> list[int]:
    """Return the runs (of ``only``, if given) that ``stage`` should take up next, at most ``most`` of them.

    The states are those of every stage, as in the index; a run's stage decides which of them it can be in. ``only``
    does not narrow as ``among`` does: the index yields the runs in order, those named would have to be sorted.
    """
    order = "run ASC" if oldest else "lane ASC, run DESC"
    states = listing(chain.from_iterable(WAITING.values()))
    sql = (
        f"SELECT run FROM runs WHERE stage = ? AND state IN {states} "  # noqa: S608 - constants
        f"AND (due IS NULL OR due <= ?) AND (? IS NULL OR run IN (SELECT value FROM json_each(?))) "
        f"ORDER BY {order} LIMIT ?"
    )
    wanted = None if only is None else json.dumps(sorted(only))
    return [row["run"] for row in db.execute(sql, (stage, now, wanted, wanted, most))]


def select_due(db: sqlite3.Connection, now: float, most: int) -> list[int]:
    """Return the retries whose time has come, the longest overdue first, at most ``most`` of them."""
    sql = "SELECT run FROM runs WHERE +state = ? AND due <= ? ORDER BY due LIMIT ?"
    return [run for (run,) in db.execute(sql, (State.RETRY_WAIT, now, most))]


def is_due_after(db: sqlite3.Connection, moment: float) -> bool:
    """Return whether a run is due later than ``moment``, in epoch seconds."""
    return db.execute("SELECT 1 FROM runs WHERE due > ? LIMIT 1", (moment,)).fetchone() is not None


def select_next_due(db: sqlite3.Connection, stage: Stage, only: Collection[int] | None) -> float | None:
    """Return the epoch second at which the next retry of ``stage`` (of ``only``, if given) is due, or None."""
    condition, runs = among(only)
    states = listing(MAY_BE_DUE)
    sql = f"SELECT min(due) FROM runs WHERE due IS NOT NULL AND +state IN {states} AND stage = ? {condition}"  # noqa: S608 - ours
    due: float | None = db.execute(sql, (stage, *runs)).fetchone()[0]
    return due


def select_on_their_way(
    db: sqlite3.Connection, by: float, only: Collection[int] | None = None, last: int = LAST_RUN
) -> dict[State, int]:
    """Return how many runs (of ``only``, if given) with numbers up to ``last`` a stage has in hand or takes up.

    They are counted by state. One that is to be retried ``by`` that time, in epoch seconds, counts as waiting for its
    stage; later ones do not.
    """
    narrowed, runs = among(only)
    condition, values = f"AND +run <= ? {narrowed}", (last, *runs)  # the + keeps the indexes of the states in use
    at_once = f"SELECT state, count(*) AS n FROM runs WHERE state IN {listing(_AT_ONCE)} {condition} GROUP BY state"  # noqa: S608
    found = Counter({State(row["state"]): row["n"] for row in db.execute(at_once, values)})
    soon = (
        "SELECT state, stage, count(*) AS n FROM runs WHERE due IS NOT NULL AND due <= ? "  # noqa: S608 - ours
        f"AND +state IN {listing(MAY_BE_DUE)} {condition} GROUP BY +state, stage"
    )
    for row in db.execute(soon, (by, *values)):
        found[_WAITS_AS.get((row["state"], row["stage"]), State.UPLOAD_UNKNOWN)] += row["n"]
    undated = f"SELECT count(*) FROM runs WHERE state = ? AND due IS NULL {condition}"  # noqa: S608 - ours
    (left,) = db.execute(undated, (State.UPLOAD_UNKNOWN, *values)).fetchone()
    found[State.UPLOAD_UNKNOWN] += left
    return {state: number for state, number in found.items() if number}


def select_next_first_phase(db: sqlite3.Connection, now: float, ahead: float) -> int | None:
    """Return the newest open run that has started and whose first phase is due ``now``, or None.

    One due later than ``ahead`` is due now: nothing can have to wait that long.
    """
    sql = (
        "SELECT runs.run FROM runs LEFT JOIN pending USING (run) WHERE runs.state = :state AND runs.started "
        "AND NOT coalesce(pending.done, 0) "
        "AND (pending.due IS NULL OR pending.due <= :now OR pending.due > :ahead) ORDER BY run DESC LIMIT 1"
    )
    row = db.execute(sql, {"state": State.OPEN, "now": now, "ahead": ahead}).fetchone()
    return None if row is None else int(row["run"])


def select_progress(db: sqlite3.Connection, stage: Stage) -> StageProgress:
    """Return how far ``stage`` has come: what its state file says."""
    finished, begun = _PROGRESS[stage]
    first_left = f"SELECT min(run) FROM runs WHERE NOT ({finished})"  # noqa: S608 - ours
    last = f"SELECT coalesce(max(run), 0) FROM runs WHERE run < coalesce(({first_left}), 9e18)"  # noqa: S608 - ours
    (contiguous,) = db.execute(last).fetchone()
    # What is wrong with an open run is its record, which no stage has taken up.
    last_begun = f"SELECT coalesce(max(run), 0) FROM runs WHERE ({begun}) AND state <> '{State.OPEN}'"  # noqa: S608 - ours
    (attempted,) = db.execute(last_begun).fetchone()
    return StageProgress(contiguous, attempted)
