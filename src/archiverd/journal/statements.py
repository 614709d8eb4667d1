"""What changes the journal, inside the writer's transaction."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from archiverd.core.machine import TABLE, Effect, Position, State, step
from archiverd.journal.queries import select_run
from archiverd.journal.rows import legible
from archiverd.journal.schema import EVENTS_KEPT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping

    from archiverd.journal.first_phase import FirstPhaseStep
    from archiverd.journal.rows import ObservedRecord, RunRow
    from archiverd.journal.transitions import Transition


def allowed(db: sqlite3.Connection, transitions: Iterable[Transition]) -> list[Transition]:
    """Return those of ``transitions`` that may happen now: somebody else may have moved a run on."""
    rows = ((one, select_run(db, one.run)) for one in transitions)
    return [one for one, row in rows if row is not None and (row.state, one.event) in TABLE]


def apply(db: sqlite3.Connection, transition: Transition, now: float) -> tuple[RunRow, tuple[Effect, ...]]:
    """Apply one transition; return the row as it then stands, and what that calls for.

    Raise ForbiddenTransitionError if it cannot happen now.
    """
    row = select_run(db, transition.run)
    if row is None:
        raise RuntimeError(f"run {transition.run} is not in the journal")
    after, effects = step(Position(row.state, row.stage), transition.event)
    changes = {
        **transition.changes,
        **_listing(row, effects),
        "state": str(after.state),
        "stage": str(after.stage),
        "changed_at": now,
    }
    db.execute(*_update("runs", changes, transition.run))
    insert = "INSERT INTO events (run, at, event, state, note) VALUES (?, ?, ?, ?, ?)"
    db.execute(insert, (transition.run, now, str(transition.event), str(after.state), legible(transition.note)))
    trim_story(db, transition.run)
    if transition.files is not None:
        db.execute("DELETE FROM files WHERE run = ?", (transition.run,))
        fates = [(transition.run, *map(legible, (fate.name, fate.entity, fate.reason))) for fate in transition.files]
        db.executemany("INSERT OR REPLACE INTO files (run, name, entity, reason) VALUES (?, ?, ?, ?)", fates)
    changed = select_run(db, transition.run)
    if changed is None:
        raise RuntimeError(f"run {transition.run} vanished from the journal inside a transaction")
    return changed, effects


def apply_first_phase(db: sqlite3.Connection, step: FirstPhaseStep, now: float) -> None:
    """Note one step of a run's first phase."""
    db.execute("INSERT OR IGNORE INTO pending (run) VALUES (?)", (step.run,))
    if step.changes:
        db.execute(*_update("pending", step.changes, step.run))
    if step.event:
        sql = "INSERT INTO events (run, at, event, state, note) SELECT run, ?, ?, state, ? FROM runs WHERE run = ?"
        db.execute(sql, (now, step.event, legible(step.note), step.run))
        trim_story(db, step.run)


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


def _update(table: str, changes: Mapping[str, object], run: int) -> tuple[str, tuple[object, ...]]:
    """Return the statement that sets the columns ``changes`` of one run in ``table``, and its values."""
    columns = ", ".join(f"{name} = ?" for name in changes)
    values = (legible(value) if isinstance(value, str) else value for value in changes.values())
    return f"UPDATE {table} SET {columns} WHERE run = ?", (*values, run)  # noqa: S608 - keys of our own types


def _listing(row: RunRow, effects: Collection[Effect]) -> dict[str, object]:
    """Return how a transition changes whether the run stands in its stage's failure log."""
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
