"""Everything that changes the journal, as functions for the writer's transaction; none returns a cursor."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, replace
from typing import TYPE_CHECKING

from archiverd.core import runset
from archiverd.core.machine import TABLE, Effect, Position, Stage, State, step
from archiverd.core.priority import Lane
from archiverd.core.proofs import next_proof_at
from archiverd.journal import destinations
from archiverd.journal.queries import among, select_missing, select_run
from archiverd.journal.rows import Differences, legible
from archiverd.journal.schema import EVENTS_KEPT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping

    from archiverd.journal.destinations import Here
    from archiverd.journal.first_phase import FirstPhaseStep
    from archiverd.journal.news import Failed
    from archiverd.journal.rows import (
        ClockState,
        ComparedRun,
        FileFate,
        Hold,
        LostFile,
        MissingDirectories,
        ObservedRecord,
        RecordLook,
        RunRow,
    )
    from archiverd.journal.transitions import BlobIdentity, Transition


def insert_seen(db: sqlite3.Connection, runs: Iterable[int], lane: Lane, now: float) -> None:
    """Note runs whose directory was seen for the first time, as open; known ones are left as they are."""
    sql = "INSERT OR IGNORE INTO runs (run, state, stage, lane, seen_at, changed_at) VALUES (?, ?, ?, ?, ?, ?)"
    db.executemany(sql, [(run, State.OPEN, Stage.IMPORT, lane, now, now) for run in runs])


def insert_adopted(
    db: sqlite3.Connection, configurations: Mapping[int, str], destination: int | None, now: float
) -> None:
    """Note runs, by number with their configuration, that are in the artdaqDB of that number, without a directory."""
    sql = (
        "INSERT OR IGNORE INTO runs (run, state, stage, lane, source_gone, configuration, seen_at, imported_at, "
        "changed_at, imported_to) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    rows = (
        (run, State.IMPORTED, Stage.MIGRATE, Lane.BACKLOG, 1, configuration, now, now, now, destination)
        for run, configuration in configurations.items()
    )
    db.executemany(sql, rows)


def allowed(db: sqlite3.Connection, transitions: Iterable[Transition]) -> list[Transition]:
    """Return those of ``transitions`` that may happen now: somebody else may have moved a run on."""
    rows = ((one, select_run(db, one.run)) for one in transitions)
    return [one for one, row in rows if row is not None and (row.state, one.event) in TABLE]


def apply(db: sqlite3.Connection, transition: Transition, now: float) -> tuple[RunRow, tuple[Effect, ...]]:
    """Apply one transition; return the changed row and the effects of entering its state.

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
    for proven in (transition.changes.get("imported_to"), transition.changes.get("proven_to")):
        destinations.forget(db, transition.run, proven)
    if transition.files is not None:
        _put_manifest(db, transition.run, transition.files)
    if row.state is State.OPEN:
        db.execute("DELETE FROM looks WHERE run = ?", (transition.run,))
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
        tell(db, step.run, step.event, step.note, now)


def apply_observed(db: sqlite3.Connection, records: Iterable[ObservedRecord]) -> None:
    """Note what the records of open runs show; a run that is open no longer is left alone."""
    rows = [
        {
            **asdict(shown),
            **{name: legible(getattr(shown, name)) for name in ("error", "remedy", "waits_for")},
            "open": State.OPEN,
        }
        for shown in records
    ]
    sql = (
        "UPDATE runs SET partition = coalesce(:partition, partition), "
        "started = started OR :start_line IS NOT NULL, start_line = coalesce(:start_line, start_line), "
        "stop_line = coalesce(:stop_line, stop_line), error = :error, remedy = :remedy, waits_for = :waits_for "
        "WHERE run = :run AND state = :open"
    )
    db.executemany(sql, rows)


def note_looks(db: sqlite3.Connection, looks: Iterable[RecordLook]) -> None:
    """Note since when the records of open runs are as they are."""
    sql = (
        "INSERT OR REPLACE INTO looks SELECT ?, ?, ?, ?, ?, ?, ? WHERE EXISTS "
        "(SELECT 1 FROM runs WHERE run = ? AND state = ?)"
    )
    db.executemany(sql, [(*astuple(look), look.run, State.OPEN) for look in looks])


def note_compared(db: sqlite3.Connection, compared: Iterable[ComparedRun], now: float) -> list[int]:
    """Note what comparisons of directories found; return the runs of which that is news, and tell it in their story."""
    news = []
    for one in compared:
        row = select_run(db, one.run)
        if row is None or row.state is not State.VERIFIED:
            continue
        changes = {"changed": one.changed, "reused": one.reused, **({"listing": one.listing} if one.listing else {})}
        db.execute(*_update("runs", changes, one.run))
        if (row.changed, row.reused) != (one.changed, one.reused):
            news.append(one.run)
            event = "reused" if one.reused else "changed" if one.changed else "unchanged"
            tell(db, one.run, event, f"started {one.reused}" if one.reused else str(one.changed), now)
    return news


def accept(db: sqlite3.Connection, run: int, files: Iterable[FileFate], listing: str, now: float) -> None:
    """Note that an operator lets stand what was archived of a run, as its directory is now."""
    _put_manifest(db, run, files)
    changes = {"changed": "", "incomplete": 0, "no_end": 0, "listing": listing}
    db.execute(*_update("runs", changes, run))
    tell(db, run, "accepted", "an operator lets stand what was archived", now)


def note_standing(
    db: sqlite3.Connection, run: int, here: Here, side: destinations.Side, blob: BlobIdentity | None, now: float
) -> bool:
    """Note that the configured database of ``side`` has what was archived of a verified run; return whether it is news.

    With ``blob`` its bytes are those from now on: the same record, packed at another time.
    """
    row, number = select_run(db, run), side.of(here)
    if row is None or row.state is not State.VERIFIED or number is None:
        return False
    changes: dict[str, object] = {str(side): number}
    if side is destinations.Side.UCONDB:
        changes |= {"proven_at": now, "checked_at": now, "proofs": row.proofs + 1, "blob_fault": None}
        changes["recheck_at"] = next_proof_at(row.verified_at or now, now)
    if blob is not None:
        changes |= {"packed_on": blob.packed_on, "blob_length": blob.length, "blob_sha256": blob.sha256}
        changes["blob_adler32"] = blob.adler32
    db.execute(*_update("runs", changes, run))
    destinations.forget(db, run, number)
    note = f"{side.label} that is configured now has it" + ("" if blob is None else f", packed on {blob.packed_on}")
    tell(db, run, "found_here", note, now)
    return True


def note_validated(db: sqlite3.Connection, run: int, validation: str) -> None:
    """Note the result of the validation of a verified run's blob."""
    sql = "UPDATE runs SET validated = 1, validation = ? WHERE run = ? AND state = ?"
    db.execute(sql, (legible(validation), run, State.VERIFIED))


def note_odd_names(db: sqlite3.Connection, count: int, names: Iterable[tuple[str, str]]) -> None:
    """Note the names that look like runs and are none, each with the rule it breaks, and how many there are in all."""
    db.execute("DELETE FROM odd_names")
    db.executemany("INSERT OR REPLACE INTO odd_names VALUES (?, ?)", [(legible(name), rule) for name, rule in names])
    db.execute("INSERT OR REPLACE INTO odd_count VALUES (0, ?)", (count,))


def note_sweep(db: sqlite3.Connection, below: int) -> None:
    """Note that the comparison of the directories goes on with the runs below this number."""
    db.execute("INSERT OR REPLACE INTO sweep VALUES (0, ?)", (below,))


def note_lost(db: sqlite3.Connection, run: int, lost: Iterable[LostFile]) -> None:
    """Note which files of a verified run are missing, and since when."""
    db.execute("DELETE FROM lost_files WHERE run = ?", (run,))
    db.executemany("INSERT INTO lost_files VALUES (?, ?, ?, ?, ?)", [(run, *astuple(one)) for one in lost])


def note_missing(db: sqlite3.Connection, missing: MissingDirectories | None) -> None:
    """Note which directories are missing all at once; None if none are."""
    db.execute("DELETE FROM missing")
    if missing is not None:
        db.execute("INSERT INTO missing VALUES (0, ?, ?)", astuple(missing))


def believe_missing(db: sqlite3.Connection, now: float) -> list[int]:
    """Note that the directories that are missing all at once are gone; return their runs, ascending."""
    missing = select_missing(db)
    runs = [] if missing is None else sorted(runset.numbers(runset.unpack(missing.runs)))
    note_gone(db, runs, gone=True, now=now)
    note_missing(db, None)
    return runs


def note_clock(db: sqlite3.Connection, clock: ClockState) -> None:
    """Note how the wall clock stands to the one that never jumps."""
    db.execute("INSERT OR REPLACE INTO clock VALUES (0, ?, ?, ?)", astuple(clock))


def note_gone(db: sqlite3.Connection, runs: Collection[int], *, gone: bool, now: float) -> None:
    """Note that the directories of ``runs`` are gone, or there again.

    One that is gone holds neither changes nor another run; if it comes back it is compared anew.
    """
    db.executemany("UPDATE runs SET source_gone = ? WHERE run = ?", [(gone, run) for run in runs])
    if gone:
        flagged = {run for (run,) in db.execute("SELECT run FROM runs WHERE changed <> '' OR reused <> ''")}
        for run in sorted(flagged.intersection(runs)):
            db.execute(*_update("runs", {"changed": "", "reused": ""}, run))
            tell(db, run, "unchanged", "its directory is no longer there", now)


def hasten(db: sqlite3.Connection, only: Collection[int] | None) -> None:
    """Make every waiting retry (of ``only``, if given) due now."""
    condition, values = among(only)
    db.execute(f"UPDATE runs SET due = 0 WHERE due IS NOT NULL {condition}", values)  # noqa: S608 - ours


def bring_forward(db: sqlite3.Connection, after: float, now: float) -> None:
    """Make whatever is due later than ``after`` due ``now``."""
    db.execute("UPDATE runs SET due = ? WHERE due > ?", (now, after))


def put_hold(db: sqlite3.Connection, backend: str, hold: Hold | None) -> None:
    """Note why ``backend`` is left alone; None if it is not."""
    db.execute("DELETE FROM holds WHERE backend = ?", (backend,))
    if hold is not None:
        row = replace(hold, cause=legible(hold.cause), remedy=legible(hold.remedy))
        db.execute("INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(row))


def unlist(db: sqlite3.Connection, stage: Stage, runs: Iterable[int]) -> None:
    """Take ``runs`` out of the failure log of ``stage``."""
    db.executemany("UPDATE runs SET listed = 0 WHERE run = ? AND stage = ?", [(run, stage) for run in runs])


def note_written_failures(db: sqlite3.Connection, stage: Stage, runs: Iterable[int]) -> None:
    """Note the runs that the failure log of ``stage`` lists now."""
    db.execute("INSERT OR REPLACE INTO logs VALUES (?, ?)", (stage, json.dumps(sorted(runs))))


def note_state_texts(db: sqlite3.Connection, stage: Stage, texts: Iterable[str]) -> None:
    """Note what the state file of ``stage`` says or is about to say."""
    db.execute("INSERT OR REPLACE INTO state_files VALUES (?, ?)", (stage, json.dumps(list(texts))))


def note_notified(db: sqlite3.Connection, notifier: str, runs: Iterable[Failed]) -> None:
    """Note that ``notifier`` has notified people of the failure of ``runs`` (table ``told``)."""
    rows = [(notifier, one.run, one.stage, one.lasting, one.event) for one in runs]
    db.executemany("INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?)", rows)


def forget_notified(db: sqlite3.Connection, notifier: str, runs: Iterable[int]) -> None:
    """Note that ``runs`` are failed no more for the readers of ``notifier``."""
    db.executemany("DELETE FROM told WHERE teller = ? AND run = ?", [(notifier, run) for run in runs])


def note_hold(db: sqlite3.Connection, notifier: str, hold: Hold) -> None:
    """Note that ``notifier`` has notified people of a backend that is left alone."""
    db.execute("INSERT OR REPLACE INTO told_holds VALUES (?, ?, ?)", (notifier, hold.backend, hold.since))


def forget_hold(db: sqlite3.Connection, notifier: str, backend: str) -> None:
    """Note that ``backend`` works again for the readers of ``notifier``."""
    db.execute("DELETE FROM told_holds WHERE teller = ? AND backend = ?", (notifier, backend))


def mark(db: sqlite3.Connection, name: str) -> None:
    """Mark ``name`` as done once for all."""
    db.execute("INSERT OR IGNORE INTO marks VALUES (?)", (name,))


def _put_manifest(db: sqlite3.Connection, run: int, fates: Iterable[FileFate]) -> None:
    """Note the fate of every file of a run; equal ones are shared with other runs.

    Content that no run has any more stays: it is little, and soon another run's.
    """
    # the words of the index contents_same come first; nobody else writes between the look and the insertion
    known = (
        "SELECT id FROM contents WHERE substr(sha256, 1, 8) = substr(:sha256, 1, 8) AND name = :name "
        "AND sha256 = :sha256 AND entity = :entity AND reason = :reason AND size IS :size"
    )
    new = "INSERT INTO contents (name, entity, reason, size, sha256) VALUES (:name, :entity, :reason, :size, :sha256)"
    numbers: set[int] = set()
    for fate in fates:
        values = {column: legible(getattr(fate, column)) for column in ("name", "entity", "reason")}
        content = {**values, "size": fate.size, "sha256": bytes.fromhex(fate.sha256)}
        found = db.execute(known, content).fetchone()
        if found is None:
            db.execute(new, content)
            found = db.execute("SELECT last_insert_rowid()").fetchone()
        numbers.add(found[0])
    db.execute("INSERT OR REPLACE INTO manifests VALUES (?, ?)", (run, runset.pack(numbers)))


def _update(table: str, changes: Mapping[str, object], run: int) -> tuple[str, tuple[object, ...]]:
    """Return the statement that sets the columns ``changes`` of one run in ``table``, and its values."""
    columns = ", ".join(f"{name} = ?" for name in changes)
    values = (_stored(value) for value in changes.values())
    return f"UPDATE {table} SET {columns} WHERE run = ?", (*values, run)  # noqa: S608 - keys of our own types


def _stored(value: object) -> object:
    """Return a value as its column has it."""
    if isinstance(value, tuple):
        return json.dumps(value)
    if isinstance(value, Differences):
        return value.to_text()
    return legible(value) if isinstance(value, str) else value


def _listing(row: RunRow, effects: Collection[Effect]) -> dict[str, object]:
    """Return the change of the column ``listed``: whether the run is in its stage's failure log."""
    if Effect.NOTE_FAILURE in effects and not row.listed:
        return {"listed": 1}
    if Effect.CLEAR_FAILURE in effects and row.listed:
        return {"listed": 0}
    return {}


def tell(db: sqlite3.Connection, run: int, event: str, note: str, now: float) -> None:
    """Add a line to a run's story that leaves its state as it is."""
    sql = "INSERT INTO events (run, at, event, state, note) SELECT run, ?, ?, state, ? FROM runs WHERE run = ?"
    db.execute(sql, (now, event, legible(note), run))
    trim_story(db, run)


def trim_story(db: sqlite3.Connection, run: int) -> None:
    """Keep a run's story bounded: its first line and the last ones."""
    (count,) = db.execute("SELECT count(*) FROM events WHERE run = ?", (run,)).fetchone()
    if count > EVENTS_KEPT:
        sql = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE run = ? ORDER BY id LIMIT ? OFFSET 1)"
        db.execute(sql, (run, count - EVENTS_KEPT))
