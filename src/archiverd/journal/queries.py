"""Queries about runs, backends and the files of a stage, for the journal's owner and for readers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from archiverd.core import runset
from archiverd.core.machine import (
    ON_THEIR_WAY,
    RELEASABLE,
    RETRIABLE,
    TROUBLE,
    WAIVABLE,
    Event,
    Stage,
    State,
)
from archiverd.journal.rows import (
    ClockState,
    FileFate,
    FirstPhaseRow,
    Hold,
    LostFile,
    MigrationCounts,
    MissingDirectories,
    PassTotals,
    RecordLook,
    RunRow,
    StoryLine,
    StuckRun,
    Throughput,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Sequence

Candidates = Literal["any", "archived", "failed", "waivable", "releasable"]
"""Kinds of runs that a command can be given."""


def listing(values: Iterable[State]) -> str:
    """Return ``values`` as an SQL list; they are our own constants."""
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


def among(only: Collection[int] | None) -> tuple[str, tuple[str, ...]]:
    """Return the SQL that narrows a query to ``only``, and its values."""
    return ("", ()) if only is None else ("AND run IN (SELECT value FROM json_each(?))", (json.dumps(list(only)),))


_CANDIDATES: dict[Candidates, str] = {
    "any": "TRUE",
    "archived": "imported_at IS NOT NULL",
    "failed": f"state IN {listing(RETRIABLE)}",
    "waivable": f"state IN {listing(WAIVABLE)}",
    "releasable": (
        f"state IN {listing(RELEASABLE)} AND (state <> '{State.VERIFIED}' OR superseded OR blob_fault IS NOT NULL)"
    ),
}
"""By kind, the SQL condition."""


def select_run(db: sqlite3.Connection, run: int) -> RunRow | None:
    """Return the row of ``run``, or None."""
    row = db.execute("SELECT * FROM runs WHERE run = ?", (run,)).fetchone()
    return None if row is None else RunRow.of(row)


def select_states(db: sqlite3.Connection, states: Sequence[State]) -> list[RunRow]:
    """Return the rows of the runs in ``states``, ascending by run."""
    sql = f"SELECT * FROM runs WHERE state IN {listing(states)} ORDER BY run"  # noqa: S608 - members of State
    return [RunRow.of(row) for row in db.execute(sql)]


def select_runs_in(db: sqlite3.Connection, state: State) -> list[int]:
    """Return the runs in ``state``, ascending."""
    return [run for (run,) in db.execute("SELECT run FROM runs WHERE state = ? ORDER BY run", (state,))]


def select_known(db: sqlite3.Connection) -> dict[int, State]:
    """Return the state of every run."""
    return {run: State(state) for run, state in db.execute("SELECT run, state FROM runs")}


def select_counts(db: sqlite3.Connection) -> dict[State, int]:
    """Return how many runs are in each state; states without a run are left out."""
    return {State(row["state"]): row["n"] for row in db.execute("SELECT state, count(*) AS n FROM runs GROUP BY state")}


def select_extent(db: sqlite3.Connection) -> tuple[int, int | None, int | None]:
    """Return how many runs there are, the first and the last of them; None for these if there is none."""
    number, first, last = db.execute("SELECT count(*), min(run), max(run) FROM runs").fetchone()
    return number, first, last


def select_candidates(db: sqlite3.Connection, kind: Candidates, digits: str, most: int) -> list[tuple[int, State]]:
    """Return the newest runs of ``kind`` whose numbers begin with ``digits``, with their states; at most ``most``."""
    sql = (
        f"SELECT run, state FROM runs WHERE {_CANDIDATES[kind]} AND CAST(run AS TEXT) LIKE ? || '%' "  # noqa: S608 - ours
        "ORDER BY run DESC LIMIT ?"
    )
    return [(run, State(state)) for run, state in db.execute(sql, (digits, most))]


def select_imported(db: sqlite3.Connection) -> list[int]:
    """Return the runs that were imported once, ascending."""
    return [run for (run,) in db.execute("SELECT run FROM runs WHERE imported_at IS NOT NULL ORDER BY run")]


def select_archived_as_dead(db: sqlite3.Connection) -> list[int]:
    """Return the verified runs that never got a stop line, ascending."""
    sql = "SELECT run FROM runs WHERE dead AND NOT superseded AND state = ? ORDER BY run"
    return [run for (run,) in db.execute(sql, (State.VERIFIED,))]


def select_verified_starts(db: sqlite3.Connection) -> dict[int, str]:
    """Return the start line of each verified run; empty for a record that had none, or was never seen."""
    return dict(map(tuple, db.execute("SELECT run, start_line FROM runs WHERE state = ?", (State.VERIFIED,))))


def select_latest_started(db: sqlite3.Connection) -> dict[int, int]:
    """Return, by partition, the greatest run number known to have started."""
    sql = "SELECT partition, max(run) FROM runs WHERE started AND partition IS NOT NULL GROUP BY partition"
    return dict(map(tuple, db.execute(sql)))


def select_gone(db: sqlite3.Connection) -> set[int]:
    """Return the runs whose directories were missing at the last scan."""
    return {run for (run,) in db.execute("SELECT run FROM runs WHERE source_gone")}


def select_listed(db: sqlite3.Connection, stage: Stage) -> frozenset[int]:
    """Return the runs in the failure log of ``stage``."""
    return frozenset(run for (run,) in db.execute("SELECT run FROM runs WHERE listed AND stage = ?", (stage,)))


def select_story(db: sqlite3.Connection, run: int) -> list[StoryLine]:
    """Return the story of ``run``, oldest first; of a long one the first line and the last ones."""
    rows = db.execute("SELECT at, event, state, note FROM events WHERE run = ? ORDER BY id", (run,))
    return [StoryLine(**dict(row)) for row in rows]


def select_files(db: sqlite3.Connection, run: int) -> list[FileFate]:
    """Return the fate of every file of ``run``'s record, by name."""
    row = db.execute("SELECT contents FROM manifests WHERE run = ?", (run,)).fetchone()
    spans = [] if row is None else runset.unpack(row["contents"])
    sql = "SELECT name, entity, reason, size, hex(sha256) AS sha256 FROM contents WHERE id BETWEEN ? AND ?"
    found = (dict(content) for span in spans for content in db.execute(sql, span))
    fates = (FileFate(**{**content, "sha256": content["sha256"].lower()}) for content in found)
    return sorted(fates, key=lambda fate: (fate.name, fate.entity))


def select_left_out(db: sqlite3.Connection) -> list[tuple[int, str, str]]:
    """Return every file that was not archived, as (run, name, reason)."""
    runs = [run for (run,) in db.execute("SELECT run FROM manifests ORDER BY run").fetchall()]
    return [(run, fate.name, fate.reason) for run in runs for fate in select_files(db, run) if not fate.entity]


def select_begun_before(db: sqlite3.Connection, run: int) -> bool:
    """Return whether the import of ``run`` was begun before the attempt under way, or in a first phase."""
    sql = (
        "SELECT (SELECT count(*) FROM events WHERE run = :run AND event = :begins) > 1 "
        "OR :run IN (SELECT run FROM pending)"
    )
    (begun,) = db.execute(sql, {"run": run, "begins": str(Event.IMPORT_BEGINS)}).fetchone()
    return bool(begun)


def select_first_phase(db: sqlite3.Connection, run: int) -> FirstPhaseRow | None:
    """Return how far ``run`` is in its first phase; None if that was never begun."""
    row = db.execute("SELECT * FROM pending WHERE run = ?", (run,)).fetchone()
    if row is None:
        return None
    facts = dict(row)
    return FirstPhaseRow(**{**facts, "done": bool(facts["done"])})


def select_outcome(
    db: sqlite3.Connection, since: float, trouble: Iterable[State], only: Collection[int] | None = None
) -> PassTotals:
    """Return what became of runs (of ``only``, if given) since then, in epoch seconds.

    A run in one of the states ``trouble`` counts as stuck.
    """
    condition, values = among(only)
    sums = (
        "SELECT count(*) FILTER (WHERE imported_at >= ?), count(*) FILTER (WHERE verified_at >= ?), "  # noqa: S608 - ours
        f"count(*) FILTER (WHERE state = ?) FROM runs WHERE TRUE {condition}"
    )
    imported, verified, still_open = db.execute(sums, (since, since, State.OPEN, *values)).fetchone()
    sql = f"SELECT run, state, error FROM runs WHERE state IN {listing(trouble)} {condition} ORDER BY run"  # noqa: S608 - ours
    stuck = tuple(StuckRun(row["run"], State(row["state"]), row["error"]) for row in db.execute(sql, values))
    return PassTotals(imported, verified, still_open, stuck)


def select_holds(db: sqlite3.Connection) -> list[Hold]:
    """Return the backends that are left alone for now, and why."""
    return [Hold(**dict(row)) for row in db.execute("SELECT * FROM holds ORDER BY backend")]


def select_throughput(db: sqlite3.Connection, now: float) -> Throughput:
    """Return how fast runs got verified in the last ten minutes, and how many are on their way."""
    counts = select_counts(db)
    waiting = sum(counts.get(state, 0) for state in (*ON_THEIR_WAY, State.RETRY_WAIT))
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


def select_written_failures(db: sqlite3.Connection, stage: Stage) -> frozenset[int] | None:
    """Return the runs that the failure log of ``stage`` had when it was last written; None if it never was."""
    row = db.execute("SELECT runs FROM logs WHERE name = ?", (stage,)).fetchone()
    return None if row is None else frozenset(json.loads(row["runs"]))


def select_state_texts(db: sqlite3.Connection, stage: Stage) -> tuple[str, ...] | None:
    """Return what the state file of ``stage`` may say if only we wrote it; None if we never did."""
    row = db.execute("SELECT texts FROM state_files WHERE stage = ?", (stage,)).fetchone()
    return None if row is None else tuple(json.loads(row["texts"]))


def select_looks(db: sqlite3.Connection) -> dict[int, RecordLook]:
    """Return since when the records of open runs are as they are, by run."""
    return {row["run"]: RecordLook(**dict(row)) for row in db.execute("SELECT * FROM looks")}


def select_lost_files(db: sqlite3.Connection, run: int) -> list[LostFile]:
    """Return the files of a verified run that were missing at the last comparison, by name."""
    sql = "SELECT name, wall, uptime, boot FROM lost_files WHERE run = ? ORDER BY name"
    return [LostFile(*row) for row in db.execute(sql, (run,))]


def select_clock(db: sqlite3.Connection) -> ClockState | None:
    """Return how the wall clock stood when last noted; None if it never was."""
    row = db.execute("SELECT boot, ahead, jumped FROM clock").fetchone()
    return None if row is None else ClockState(**dict(row))


def select_verified_below(db: sqlite3.Connection, below: int, most: int) -> list[RunRow]:
    """Return the verified runs below a number that have a directory, descending, at most so many."""
    sql = "SELECT * FROM runs WHERE run < ? AND state = ? AND NOT source_gone ORDER BY run DESC LIMIT ?"
    return [RunRow.of(row) for row in db.execute(sql, (below, State.VERIFIED, most))]


def select_verified_since(db: sqlite3.Connection, since: float) -> list[RunRow]:
    """Return the runs with a directory that were verified since then, in epoch seconds, and still are; descending."""
    sql = "SELECT * FROM runs INDEXED BY runs_verified WHERE verified_at >= ? AND state = ? AND NOT source_gone"
    found = (RunRow.of(row) for row in db.execute(sql, (since, State.VERIFIED)))
    return sorted(found, key=lambda row: -row.run)


def select_sweep(db: sqlite3.Connection) -> int:
    """Return the number below which the comparison of the directories goes on; 0 to begin anew."""
    row = db.execute("SELECT below FROM sweep").fetchone()
    return 0 if row is None else int(row[0])


def select_flagged(db: sqlite3.Connection) -> list[RunRow]:
    """Return the verified runs whose directory is not what was archived, ascending."""
    sql = "SELECT * FROM runs WHERE (changed <> '' OR reused <> '') AND +state = ? ORDER BY run"
    return [RunRow.of(row) for row in db.execute(sql, (State.VERIFIED,))]


def select_next_unvalidated(db: sqlite3.Connection, below: int) -> RunRow | None:
    """Return the greatest verified run below a number whose blob was not validated, or None."""
    sql = (
        "SELECT * FROM runs INDEXED BY runs_unvalidated WHERE state = 'verified' AND NOT validated AND run < ? "
        "ORDER BY run DESC LIMIT 1"
    )
    row = db.execute(sql, (below,)).fetchone()
    return None if row is None else RunRow.of(row)


def select_odd_names(db: sqlite3.Connection) -> tuple[int, list[tuple[str, str]]]:
    """Return how many names look like runs and are none, and the first of them, each with the rule it breaks."""
    row = db.execute("SELECT count FROM odd_count").fetchone()
    names = db.execute("SELECT name, rule FROM odd_names ORDER BY name").fetchall()
    return (0 if row is None else int(row[0])), [(name, rule) for name, rule in names]


def count_seen_before(db: sqlite3.Connection, at: float) -> int:
    """Return how many runs with a directory were seen before then, in epoch seconds."""
    return int(db.execute("SELECT count(*) FROM runs WHERE seen_at < ? AND NOT source_gone", (at,)).fetchone()[0])


def select_missing(db: sqlite3.Connection) -> MissingDirectories | None:
    """Return which directories are missing all at once; None if there is no doubt."""
    row = db.execute("SELECT runs, at FROM missing").fetchone()
    return None if row is None else MissingDirectories(**dict(row))


def has_mark(db: sqlite3.Connection, name: str) -> bool:
    """Return whether ``name`` is marked as done once for all."""
    return db.execute("SELECT 1 FROM marks WHERE name = ?", (name,)).fetchone() is not None
