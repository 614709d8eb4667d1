"""What a move, and what an open run shows, changes in the journal, inside the writer's transaction."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from archiverd.core.machine import TABLE, Effect, Position, State, step
from archiverd.journal.queries import select_run
from archiverd.journal.rows import legible
from archiverd.journal.schema import EVENTS_KEPT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable

    from archiverd.journal.rows import Move, ObservedRecord, RunRow


def allowed(db: sqlite3.Connection, moves: Iterable[Move]) -> list[Move]:
    """Return those of ``moves`` that may happen to their runs now: somebody else may have moved one on."""
    rows = ((move, select_run(db, move.run)) for move in moves)
    return [move for move, row in rows if row is not None and (row.state, move.event) in TABLE]


def apply(db: sqlite3.Connection, move: Move, now: float) -> tuple[RunRow, tuple[Effect, ...]]:
    """Apply one move; return the row as it then stands, and what that calls for.

    Raise ForbiddenTransitionError if it cannot happen now.
    """
    row = select_run(db, move.run)
    if row is None:
        raise RuntimeError(f"run {move.run} is not in the journal")
    after, effects = step(Position(row.state, row.stage), move.event)
    changes = {
        **move.changes,
        **_listing(row, effects),
        "state": str(after.state),
        "stage": str(after.stage),
        "changed_at": now,
    }
    columns = ", ".join(f"{name} = ?" for name in changes)
    values = (*(legible(value) if isinstance(value, str) else value for value in changes.values()), move.run)
    db.execute(f"UPDATE runs SET {columns} WHERE run = ?", values)  # noqa: S608 - our column names
    insert = "INSERT INTO events (run, at, event, state, note) VALUES (?, ?, ?, ?, ?)"
    db.execute(insert, (move.run, now, str(move.event), str(after.state), legible(move.note)))
    trim_story(db, move.run)
    if move.files is not None:
        db.execute("DELETE FROM files WHERE run = ?", (move.run,))
        fates = [(move.run, *map(legible, (fate.name, fate.entity, fate.reason))) for fate in move.files]
        db.executemany("INSERT OR REPLACE INTO files (run, name, entity, reason) VALUES (?, ?, ?, ?)", fates)
    changed = select_run(db, move.run)
    if changed is None:
        raise RuntimeError(f"run {move.run} vanished from the journal inside a transaction")
    return changed, effects


def apply_shown(db: sqlite3.Connection, records: Iterable[ObservedRecord]) -> None:
    """Note what the records of open runs show; a run that is open no longer is left alone."""
    rows = [
        {**asdict(shown), "error": legible(shown.error), "remedy": legible(shown.remedy), "open": State.OPEN}
        for shown in records
    ]
    sql = (
        "UPDATE runs SET partition = coalesce(:partition, partition), "
        "started = started OR :start_line IS NOT NULL, start_line = coalesce(:start_line, start_line), "
        "stop_line = coalesce(:stop_line, stop_line), error = :error, remedy = :remedy "
        "WHERE run = :run AND state = :open"
    )
    db.executemany(sql, rows)


def _listing(row: RunRow, effects: Collection[Effect]) -> dict[str, object]:
    """Return how a move changes whether the run stands in its stage's failure log."""
    if Effect.NOTE_FAILURE in effects and not row.listed:
        return {"listed": 1}
    if Effect.CLEAR_FAILURE in effects and row.listed:
        return {"listed": 0}
    return {}


def trim_story(db: sqlite3.Connection, run: int) -> None:
    """Keep a run's story bounded: its first line and the last ones."""
    (count,) = db.execute("SELECT count(*) FROM events WHERE run = ?", (run,)).fetchone()
    if count > EVENTS_KEPT:
        sql = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE run = ? ORDER BY id LIMIT ? OFFSET 1)"
        db.execute(sql, (run, count - EVENTS_KEPT))
