"""The journal: the one truth about every run, durable before and after each effect (I4, I6).

The queues of the daemon carry only run numbers picked from here.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import astuple, replace
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.machine import IN_HAND, Effect, Event, Stage, State
from archiverd.core.priority import BACKOFF_CAP_SECONDS, Lane, takes_oldest
from archiverd.journal import queries, transitions
from archiverd.journal.errors import is_mistake, journal_error
from archiverd.journal.integrity import open_sound
from archiverd.journal.notified import NotificationMemory
from archiverd.journal.rows import FirstPhaseRow, legible
from archiverd.journal.statements import allowed, apply, apply_first_phase, apply_shown
from archiverd.journal.writer import GROUP_LIMIT, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from archiverd.journal.first_phase import FirstPhaseStep
    from archiverd.journal.rows import (
        FileFate,
        Hold,
        MigrationCounts,
        ObservedRecord,
        PassTotals,
        RunRow,
        StageProgress,
        StoryLine,
    )
    from archiverd.journal.transitions import Transition

_TAKEN_OVER = "taken over"


class Journal:
    """A row per run and a bounded story of its events, in SQLite.

    ``on_effect`` is called, on the event loop, with each effect of a committed transition.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float],
        on_effect: Callable[[Effect], None] = lambda _: None,
        group_limit: int = GROUP_LIMIT,
        longest_wait: float = BACKOFF_CAP_SECONDS,
    ) -> None:
        """Name the file; ``clock`` gives epoch seconds; at most ``group_limit`` changes share a commit.

        No retry waits longer than ``longest_wait`` seconds; one that is due later was noted before the clock was set
        back, and is due now.
        """
        self._path = path
        self._clock = clock
        self._on_effect = on_effect
        self._group_limit = group_limit
        self._longest_wait = longest_wait
        self._writer: Writer | None = None
        self._picks = dict.fromkeys(Stage, 0)

    async def open(self) -> None:
        """Open or make the journal, check its integrity, bring its tables up to date.

        A damaged one is set aside and a new one made: directories and databases tell what was archived. Raise
        ArchiverError when it is unwritable or from a newer program.
        """
        try:
            connection = open_sound(self._path)
        except sqlite3.Error as error:
            if is_mistake(error):
                raise
            raise journal_error(error) from error
        self._writer = Writer(connection, self._group_limit)

    async def close(self) -> None:
        """Commit what is queued and close the file."""
        if self._writer is not None:
            await self._writer.close()
            self._writer = None

    @property
    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise RuntimeError("the journal is not open")
        return self._writer

    async def see(self, runs: Iterable[int], lane: Lane) -> None:
        """Note runs whose directory was seen for the first time; known ones are left as they are."""
        now = self._clock()
        rows = [(run, State.OPEN, Stage.IMPORT, int(lane), now, now) for run in runs]
        sql = "INSERT OR IGNORE INTO runs (run, state, stage, lane, seen_at, changed_at) VALUES (?, ?, ?, ?, ?, ?)"
        if rows:
            await self._open_writer.write(lambda db: db.executemany(sql, rows))

    async def record(self, *transitions: Transition) -> list[RunRow]:
        """Apply ``transitions`` in one commit, durable on return; return the rows as they then stand.

        Raise ForbiddenTransitionError, or ArchiverError when the journal cannot be written; then nothing is changed.
        """
        return await self._record(lambda _: transitions)

    async def record_allowed(self, *transitions: Transition) -> list[RunRow]:
        """Apply those of ``transitions`` that are still allowed, in one commit; return the rows of these."""
        return await self._record(lambda db: allowed(db, transitions)) if transitions else []

    async def recover(self, only: Collection[int] | None = None) -> list[RunRow]:
        """Move on every run (or those of ``only``) that stands in the middle of an effect and that nobody works on.

        An earlier process left it so, or its outcome could not be written.
        """

        def find(db: sqlite3.Connection) -> list[Transition]:
            left = queries.select_states(db, IN_HAND)
            return [transitions.restarted(row.run) for row in left if only is None or row.run in only]

        return await self._record(find)

    async def _record(self, find: Callable[[sqlite3.Connection], Sequence[Transition]]) -> list[RunRow]:
        """Apply the transitions that ``find`` returns, found and applied in one commit; then report their effects."""
        now = self._clock()
        done = await self._open_writer.write(lambda db: [apply(db, one, now) for one in find(db)])
        for row, effects in done:
            log.get().debug(f"is now {row.state}", run=row.run)
            for effect in effects:
                self._on_effect(effect)
        return [row for row, _ in done]

    async def pick(self, stage: Stage, in_hand: Collection[int], only: Collection[int] | None = None) -> int | None:
        """Return the run that ``stage`` should take up next (of ``only``, if given), or None.

        Runs ``in_hand`` are passed over.
        """
        now = self._clock()
        oldest = takes_oldest(self._picks[stage])

        def work(db: sqlite3.Connection) -> int | None:
            waiting = queries.select_waiting(db, stage, now, only, oldest=oldest, most=len(in_hand) + 1)
            return next((run for run in waiting if run not in in_hand), None)

        run = await self._open_writer.read(work)
        if run is not None:
            self._picks[stage] += 1
        return run

    async def hasten(self, only: Collection[int] | None = None) -> None:
        """Make every waiting retry (of ``only``, if given) due now: for a pass that leaves no run out."""
        condition, values = queries.among(only)
        sql = f"UPDATE runs SET due = 0 WHERE due IS NOT NULL {condition}"  # noqa: S608 - ours
        await self._open_writer.write(lambda db: db.execute(sql, values))

    async def wake_due(self, limit: int = 100) -> None:
        """Let retries whose time has come wait for their stage again, at most ``limit`` at a time.

        What is due further ahead than anything can have to wait is due now, whatever its state.
        """
        now = self._clock()
        ahead = now + self._longest_wait
        # Here and below a + keeps SQLite from the index on the state, which may hold many that are not due.
        sql = "SELECT run FROM runs WHERE +state = ? AND due <= ? ORDER BY due LIMIT ?"
        values = (State.RETRY_WAIT, now, limit)

        def look(db: sqlite3.Connection) -> tuple[bool, bool]:
            waits = db.execute("SELECT 1 FROM runs WHERE due > ? LIMIT 1", (ahead,)).fetchone()
            return waits is not None, db.execute(sql, values).fetchone() is not None

        set_back, due = await self._open_writer.read(look)
        if set_back:
            hasten = "UPDATE runs SET due = ? WHERE due > ?"
            await self._open_writer.write(lambda db: db.execute(hasten, (now, ahead)))
        elif not due:
            return
        await self._record(lambda db: [transitions.due(row["run"]) for row in db.execute(sql, values)])

    async def next_due(self, stage: Stage, only: Collection[int] | None = None) -> float | None:
        """Return the epoch second at which the next waiting retry of ``stage`` (of ``only``, if given) is due, or None.

        One of the other stage must not be waited for: a pass runs the stages one after the other.
        """
        condition, runs = queries.among(only)
        sql = f"SELECT min(due) AS due FROM runs WHERE due IS NOT NULL AND +state IN (?, ?) AND stage = ? {condition}"  # noqa: S608 - ours
        values = (State.RETRY_WAIT, State.UPLOAD_UNKNOWN, stage, *runs)
        due: float | None = await self._open_writer.read(lambda db: db.execute(sql, values).fetchone()["due"])
        return due

    async def get(self, run: int) -> RunRow | None:
        """Return the row of ``run``, or None."""
        return await self._open_writer.read(lambda db: queries.select_run(db, run))

    async def story(self, run: int) -> list[StoryLine]:
        """Return the story of ``run``, oldest first; of a long one the first line and the last."""
        return await self._open_writer.read(lambda db: queries.select_story(db, run))

    async def files(self, run: int) -> list[FileFate]:
        """Return the fate of every file of ``run``'s record."""
        return await self._open_writer.read(lambda db: queries.select_files(db, run))

    async def in_state(self, *states: State) -> list[RunRow]:
        """Return the rows of the runs in ``states``, ascending."""
        return await self._open_writer.read(lambda db: queries.select_states(db, states))

    async def archived_as_dead(self) -> list[int]:
        """Return the verified runs that never got a stop line, ascending."""
        sql = "SELECT run FROM runs WHERE dead AND NOT superseded AND state = ? ORDER BY run"
        return await self._open_writer.read(lambda db: [row["run"] for row in db.execute(sql, (State.VERIFIED,))])

    async def verified_starts(self) -> dict[int, str]:
        """Return the start line of each verified run; empty for a record that had none, or was never seen."""
        sql = "SELECT run, start_line FROM runs WHERE state = ?"
        return await self._open_writer.read(lambda db: dict(map(tuple, db.execute(sql, (State.VERIFIED,)))))

    async def on_their_way(self, by: float, only: Collection[int] | None = None) -> dict[State, int]:
        """Return how many runs (of ``only``, if given) a stage takes up or has in hand, by state.

        Those are among them that are to be retried ``by`` that time, in epoch seconds.
        """
        return await self._open_writer.read(lambda db: queries.select_on_their_way(db, by, only))

    async def outcome(self, since: float, trouble: Iterable[State], only: Collection[int] | None = None) -> PassTotals:
        """Return what became of runs (of ``only``, if given) since then, in epoch seconds."""
        return await self._open_writer.read(lambda db: queries.select_outcome(db, since, trouble, only))

    async def hold(self, backend: str, hold: Hold | None) -> None:
        """Note why ``backend`` is left alone, for others to read; None if it is not."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM holds WHERE backend = ?", (backend,))
            if hold is not None:
                row = replace(hold, cause=legible(hold.cause), remedy=legible(hold.remedy))
                db.execute("INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(row))

        await self._open_writer.write(work)

    async def adopt(self, runs: Iterable[int], configuration: Mapping[int, str]) -> None:
        """Note runs that are in artdaqDB and have no directory: they wait for the proof that UconDB has them."""
        now = self._clock()
        rows = [
            (run, State.IMPORTED, Stage.MIGRATE, int(Lane.BACKLOG), 1, configuration[run], now, now, now)
            for run in runs
        ]
        sql = (
            "INSERT OR IGNORE INTO runs (run, state, stage, lane, source_gone, configuration, seen_at, imported_at, "
            "changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        if rows:
            await self._open_writer.write(lambda db: db.executemany(sql, rows))
            self._on_effect(Effect.WAKE_MIGRATE)

    async def begun_before(self, run: int) -> bool:
        """Tell whether we began to import ``run`` before the attempt under way, or while it was running."""
        sql = (
            "SELECT (SELECT count(*) FROM events WHERE run = :run AND event = :begins) > 1 "
            "OR :run IN (SELECT run FROM pending)"
        )
        values = {"run": run, "begins": str(Event.IMPORT_BEGINS)}
        return await self._open_writer.read(lambda db: bool(db.execute(sql, values).fetchone()[0]))

    async def next_first_phase(self) -> int | None:
        """Return the newest open run that has started and whose first phase is to be tried now, or None."""
        sql = (
            "SELECT runs.run FROM runs LEFT JOIN pending USING (run) WHERE runs.state = :state AND runs.started "
            "AND NOT coalesce(pending.done, 0) "
            "AND (pending.due IS NULL OR pending.due <= :now OR pending.due > :ahead) ORDER BY run DESC LIMIT 1"
        )
        now = self._clock()
        values = {"state": State.OPEN, "now": now, "ahead": now + self._longest_wait}

        def work(db: sqlite3.Connection) -> int | None:
            row = db.execute(sql, values).fetchone()
            return None if row is None else int(row["run"])

        return await self._open_writer.read(work)

    async def first_phase(self, run: int) -> FirstPhaseRow:
        """Return how far ``run`` is in its first phase."""
        return await self._open_writer.read(lambda db: queries.select_first_phase(db, run)) or FirstPhaseRow(
            run, done=False
        )

    async def note_first_phase(self, step: FirstPhaseStep) -> None:
        """Note a step of a run's first phase, durable on return."""
        now = self._clock()
        await self._open_writer.write(lambda db: apply_first_phase(db, step, now))

    async def note_shown(self, records: Iterable[ObservedRecord]) -> None:
        """Note what the records of open runs show."""
        shown = list(records)
        if shown:
            await self._open_writer.write(lambda db: apply_shown(db, shown))

    async def note_gone(self, runs: Iterable[int], *, gone: bool) -> None:
        """Note that the directories of ``runs`` are gone, or there again."""
        rows = [(int(gone), run) for run in runs]
        if rows:
            await self._open_writer.write(
                lambda db: db.executemany("UPDATE runs SET source_gone = ? WHERE run = ?", rows)
            )

    async def gone(self) -> set[int]:
        """Return the runs whose directories were not there when last looked for."""
        sql = "SELECT run FROM runs WHERE source_gone"
        return await self._open_writer.read(lambda db: {row["run"] for row in db.execute(sql)})

    async def listed(self, stage: Stage) -> frozenset[int]:
        """Return the runs that stand in the failure log of ``stage``."""
        sql = "SELECT run FROM runs WHERE listed AND stage = ?"
        return await self._open_writer.read(lambda db: frozenset(row["run"] for row in db.execute(sql, (stage,))))

    async def unlist(self, stage: Stage, runs: Collection[int]) -> None:
        """Take ``runs`` out of the failure log of ``stage`` until they fail again."""
        rows = [(run, stage) for run in runs]
        sql = "UPDATE runs SET listed = 0 WHERE run = ? AND stage = ?"
        await self._open_writer.write(lambda db: db.executemany(sql, rows))

    async def logged(self, stage: Stage) -> frozenset[int] | None:
        """Return what the failure log of ``stage`` said when it was last written; None if it never was."""

        def work(db: sqlite3.Connection) -> frozenset[int] | None:
            row = db.execute("SELECT runs FROM logs WHERE name = ?", (stage,)).fetchone()
            return None if row is None else frozenset(json.loads(row["runs"]))

        return await self._open_writer.read(work)

    async def note_logged(self, stage: Stage, runs: Collection[int]) -> None:
        """Note what the failure log of ``stage`` says now."""
        row = (stage, json.dumps(sorted(runs)))
        await self._open_writer.write(lambda db: db.execute("INSERT OR REPLACE INTO logs VALUES (?, ?)", row))

    async def state_texts(self, stage: Stage) -> tuple[str, ...] | None:
        """Return what the state file of ``stage`` may say if only we wrote it; None if we never did."""

        def work(db: sqlite3.Connection) -> tuple[str, ...] | None:
            row = db.execute("SELECT texts FROM state_files WHERE stage = ?", (stage,)).fetchone()
            return None if row is None else tuple(json.loads(row["texts"]))

        return await self._open_writer.read(work)

    async def note_state_texts(self, stage: Stage, texts: Collection[str]) -> None:
        """Note what the state file of ``stage`` says or is about to say; durable before it is written."""
        row = (stage, json.dumps(list(texts)))
        await self._open_writer.write(lambda db: db.execute("INSERT OR REPLACE INTO state_files VALUES (?, ?)", row))

    async def progress(self, stage: Stage) -> StageProgress:
        """Return how far ``stage`` has come, over the runs there are."""
        return await self._open_writer.read(lambda db: queries.select_progress(db, stage))

    def notification_memory(self, teller: str) -> NotificationMemory:
        """Return what ``teller`` has told people of, and what is news to it."""
        return NotificationMemory(self._open_writer, teller)

    async def migrated(self, after: int) -> MigrationCounts:
        """Return what became of the runs that the migration had in hand since event ``after``."""
        return await self._open_writer.read(lambda db: queries.select_migrated(db, after))

    async def latest_started(self) -> dict[int, int]:
        """Return, by partition, the greatest run number known to have started."""
        sql = "SELECT partition, max(run) AS run FROM runs WHERE started AND partition IS NOT NULL GROUP BY partition"
        return await self._open_writer.read(lambda db: {row["partition"]: row["run"] for row in db.execute(sql)})

    async def has_taken_over(self) -> bool:
        """Tell whether it was noted that this journal knows what databases and older files know."""
        sql = "SELECT 1 FROM marks WHERE name = ?"
        return await self._open_writer.read(lambda db: db.execute(sql, (_TAKEN_OVER,)).fetchone() is not None)

    async def note_taken_over(self) -> None:
        """Note that this journal knows what databases and older files know: nobody needs to ask them again."""
        await self._open_writer.write(lambda db: db.execute("INSERT OR IGNORE INTO marks VALUES (?)", (_TAKEN_OVER,)))

    async def open_runs(self) -> frozenset[int]:
        """Return the runs whose end has not been seen."""
        sql = "SELECT run FROM runs WHERE state = ?"
        return await self._open_writer.read(lambda db: frozenset(row["run"] for row in db.execute(sql, (State.OPEN,))))

    async def known(self) -> dict[int, State]:
        """Return the state of every run the journal knows."""
        return await self._open_writer.read(
            lambda db: {row["run"]: State(row["state"]) for row in db.execute("SELECT run, state FROM runs")}
        )
