"""What can be asked of the journal, by its owner or read-only by others."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from archiverd.core.machine import ON_THEIR_WAY, TROUBLE, WAITING, Event, Stage, State
from archiverd.journal.rows import (
    FileFate,
    FirstPhaseRow,
    Hold,
    MigrationCounts,
    PassTotals,
    RunRow,
    StageProgress,
    StoryLine,
    StuckRun,
    Throughput,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Sequence

_PROGRESS = {
    Stage.IMPORT: (
        "imported_at IS NOT NULL OR state IN ('verified', 'waived', 'ignored')",
        "imported_at IS NOT NULL OR state = 'importing' OR (stage = 'import' AND (attempts > 0 OR error <> ''))",
    ),
    Stage.MIGRATE: ("state IN ('verified', 'waived', 'ignored')", "puts > 0 OR verified_at IS NOT NULL"),
}
"""By stage, as SQL conditions: a run is through it; a run was taken up by it. Indexes have them in the same words."""


def select_run(db: sqlite3.Connection, run: int) -> RunRow | None:
    """Return the row of ``run``, or None."""
    row = db.execute("SELECT * FROM runs WHERE run = ?", (run,)).fetchone()
    return None if row is None else RunRow.of(row)


def select_states(db: sqlite3.Connection, states: Sequence[State]) -> list[RunRow]:
    """Return the rows of the runs in ``states``, ascending by run."""
    sql = f"SELECT * FROM runs WHERE state IN {listing(states)} ORDER BY run"  # noqa: S608 - members of State
    return [RunRow.of(row) for row in db.execute(sql)]


def select_waiting(
    db: sqlite3.Connection, stage: Stage, now: float, only: Collection[int] | None, *, oldest: bool, most: int
) -> list[int]:
    """Return the runs (of ``only``, if given) that ``stage`` should take up next, at most ``most`` of them.

    The states are those of every stage, for an index's sake: a run's stage tells which of them it can be in. For its
    sake too ``only`` does not narrow as ``among`` does: the index has the runs in order, those named would be sorted.
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


def select_counts(db: sqlite3.Connection) -> dict[State, int]:
    """Return how many runs are in each state; states without a run are left out."""
    return {State(row["state"]): row["n"] for row in db.execute("SELECT state, count(*) AS n FROM runs GROUP BY state")}


_RETRIED = (State.RETRY_WAIT, State.UPLOAD_UNKNOWN)
_AT_ONCE = tuple(state for state in ON_THEIR_WAY if state not in _RETRIED)
_WAITS_AS = {(State.RETRY_WAIT, Stage.IMPORT): State.QUEUED, (State.RETRY_WAIT, Stage.MIGRATE): State.IMPORTED}
"""What a run that is to be retried soon is as good as."""


def select_on_their_way(db: sqlite3.Connection, by: float, only: Collection[int] | None = None) -> dict[State, int]:
    """Return how many runs (of ``only``, if given) a stage takes up or has in hand, by state.

    One that is to be retried ``by`` that time, in epoch seconds, counts as waiting for its stage; later ones do not.
    """
    condition, values = among(only)
    at_once = f"SELECT state, count(*) AS n FROM runs WHERE state IN {listing(_AT_ONCE)} {condition} GROUP BY state"  # noqa: S608
    found = Counter({State(row["state"]): row["n"] for row in db.execute(at_once, values)})
    # The + keeps SQLite from the index on the state, which may hold many that are not due.
    soon = (
        "SELECT state, stage, count(*) AS n FROM runs WHERE due IS NOT NULL AND due <= ? "  # noqa: S608 - ours
        f"AND +state IN {listing(_RETRIED)} {condition} GROUP BY +state, stage"
    )
    for row in db.execute(soon, (by, *values)):
        found[_WAITS_AS.get((row["state"], row["stage"]), State.UPLOAD_UNKNOWN)] += row["n"]
    undated = f"SELECT count(*) FROM runs WHERE state = ? AND due IS NULL {condition}"  # noqa: S608 - ours
    (left,) = db.execute(undated, (State.UPLOAD_UNKNOWN, *values)).fetchone()
    found[State.UPLOAD_UNKNOWN] += left
    return {state: number for state, number in found.items() if number}


def select_outcome(
    db: sqlite3.Connection, since: float, trouble: Iterable[State], only: Collection[int] | None = None
) -> PassTotals:
    """Return what became of runs (of ``only``, if given) since then, in epoch seconds; ``trouble`` is to be stuck."""
    condition, values = among(only)
    sums = (
        "SELECT count(*) FILTER (WHERE imported_at >= ?), count(*) FILTER (WHERE verified_at >= ?), "  # noqa: S608 - ours
        f"count(*) FILTER (WHERE state = ?) FROM runs WHERE TRUE {condition}"
    )
    imported, verified, still_open = db.execute(sums, (since, since, State.OPEN, *values)).fetchone()
    sql = f"SELECT run, state, error FROM runs WHERE state IN {listing(trouble)} {condition} ORDER BY run"  # noqa: S608 - ours
    stuck = tuple(StuckRun(row["run"], State(row["state"]), row["error"]) for row in db.execute(sql, values))
    return PassTotals(imported, verified, still_open, stuck)


def among(only: Collection[int] | None) -> tuple[str, tuple[str, ...]]:
    """Return the SQL that narrows a query to ``only``, and its values."""
    return ("", ()) if only is None else ("AND run IN (SELECT value FROM json_each(?))", (json.dumps(list(only)),))


def select_progress(db: sqlite3.Connection, stage: Stage) -> StageProgress:
    """Return how far ``stage`` has come: what its state file says."""
    finished, begun = _PROGRESS[stage]
    first_left = f"SELECT min(run) FROM runs WHERE NOT ({finished})"  # noqa: S608 - ours
    last = f"SELECT coalesce(max(run), 0) FROM runs WHERE run < coalesce(({first_left}), 9e18)"  # noqa: S608 - ours
    (contiguous,) = db.execute(last).fetchone()
    # What is wrong with an open run is its record, which no stage has taken up.
    last_begun = f"SELECT coalesce(max(run), 0) FROM runs WHERE ({begun}) AND state <> 'open'"  # noqa: S608 - ours
    (attempted,) = db.execute(last_begun).fetchone()
    return StageProgress(contiguous, attempted)


def select_first_phase(db: sqlite3.Connection, run: int) -> FirstPhaseRow | None:
    """Return how far ``run`` is in its first phase; None if that was never begun."""
    row = db.execute("SELECT * FROM pending WHERE run = ?", (run,)).fetchone()
    if row is None:
        return None
    facts = dict(row)
    return FirstPhaseRow(**{**facts, "done": bool(facts["done"])})


def select_holds(db: sqlite3.Connection) -> list[Hold]:
    """Return why backends are left alone, as far as any are."""
    return [Hold(**dict(row)) for row in db.execute("SELECT * FROM holds ORDER BY backend")]


def select_pace(db: sqlite3.Connection, now: float) -> Throughput:
    """Return how fast runs got verified in the last ten minutes, and how many are on their way."""
    states = (State.QUEUED, State.IMPORTING, State.IMPORTED, State.UPLOADING, State.UPLOAD_UNKNOWN, State.RETRY_WAIT)
    counts = select_counts(db)
    waiting = sum(counts.get(state, 0) for state in states)
    recent = "SELECT verified_at FROM runs WHERE verified_at > ? ORDER BY verified_at DESC LIMIT 100"
    times = [row["verified_at"] for row in db.execute(recent, (now - 600.0,))]
    (last,) = db.execute("SELECT max(verified_at) FROM runs").fetchone()
    span = now - times[-1] if len(times) > 1 else 0.0
    return Throughput(waiting, len(times) / span if span > 0 else None, last)


def select_migrated(db: sqlite3.Connection, after: int) -> MigrationCounts:
    """Return what became of the runs that the migration had in hand since event ``after``."""
    (event,) = db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
    happened = "SELECT DISTINCT events.run FROM events JOIN runs USING (run) WHERE events.id > ?"
    proven = f"SELECT count(*) FROM ({happened} AND events.event = ? AND runs.state = ?)"  # noqa: S608 - ours
    (successful,) = db.execute(proven, (after, Event.UPLOAD_PROVEN, State.VERIFIED)).fetchone()
    states = listing(TROUBLE)
    left = f"SELECT count(*) FROM ({happened} AND runs.stage = ? AND runs.state IN {states})"  # noqa: S608 - ours
    (failed,) = db.execute(left, (after, Stage.MIGRATE)).fetchone()
    row = db.execute("SELECT run FROM runs WHERE verified_at IS NOT NULL ORDER BY verified_at DESC LIMIT 1").fetchone()
    return MigrationCounts(successful, failed, None if row is None else row["run"], event)


def select_story(db: sqlite3.Connection, run: int) -> list[StoryLine]:
    """Return the story of ``run``, oldest first."""
    rows = db.execute("SELECT at, event, state, note FROM events WHERE run = ? ORDER BY id", (run,))
    return [StoryLine(**dict(row)) for row in rows]


def select_files(db: sqlite3.Connection, run: int) -> list[FileFate]:
    """Return the fate of every file of ``run``'s record, by name."""
    rows = db.execute("SELECT name, entity, reason FROM files WHERE run = ? ORDER BY name, entity", (run,))
    return [FileFate(**dict(row)) for row in rows]


def listing(values: Iterable[State]) -> str:
    """Return ``values`` as an SQL list; they are our own constants."""
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"
