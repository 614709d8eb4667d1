"""The journal: the only record of every run's state, durable before and after each effect (I4, I6).

The daemon's queues carry only run numbers picked from here.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, TypeVar

from archiverd import log
from archiverd.core.machine import IN_HAND, Effect, Stage
from archiverd.core.priority import BACKOFF_CAP_SECONDS, Lane, takes_oldest
from archiverd.journal import destinations, queries, scheduling, statements, transitions
from archiverd.journal.destinations import Found, Noted, Side
from archiverd.journal.errors import is_mistake, journal_error
from archiverd.journal.integrity import open_sound
from archiverd.journal.lookups import TAKEN_OVER, Lookups
from archiverd.journal.memories import NotificationMemory, StageFileMemory
from archiverd.journal.proofs import Proofs
from archiverd.journal.writer import GROUP_LIMIT, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from archiverd.journal.destinations import Configured, Site
    from archiverd.journal.first_phase import FirstPhaseStep
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

T = TypeVar("T")

MANY = 1000
"""Most runs that are noted in one commit, so that others do not wait long."""


class Journal(Lookups):
    """A row per run and a bounded story of its events, in SQLite; every method raises ArchiverError if that fails.

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
        """``clock`` gives epoch seconds; at most ``group_limit`` changes share a commit.

        No retry waits longer than ``longest_wait`` seconds: one that is due later was noted before the clock was set
        back, and is due now.
        """
        super().__init__()
        self._path = path
        self._clock = clock
        self._on_effect = on_effect
        self._group_limit = group_limit
        self._longest_wait = longest_wait
        self._picks = dict.fromkeys(Stage, 0)

    async def open(self) -> None:
        """Open or make the journal, check its integrity, bring its tables up to date.

        A damaged one is set aside and a new one made: what was archived is found in the databases. Raise ArchiverError
        if it cannot be written or a newer program wrote it.
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

    async def _write(self, statement: Callable[[sqlite3.Connection], T]) -> T:
        return await self._open_writer.write(statement)

    async def settle(self, configured: Configured) -> Site:
        """Note which destinations are configured, which is ``here`` from now on; return whose journal this is."""
        self.here, site = await self._write(lambda db: destinations.settle(db, configured))
        return site

    async def release_destinations(self, records: str) -> None:
        """Note an operator's word that the configured destinations are meant, and this run-records directory."""
        here = self.here
        await self._write(lambda db: destinations.release(db, here, records))

    async def note_found(self, side: Side, noted: Iterable[Noted]) -> None:
        """Note what the configured database of ``side`` has of runs that were archived elsewhere."""
        here, found, now = side.of(self.here), list(noted), self._clock()
        if here is not None and found:
            await self._write(lambda db: destinations.note_elsewhere(db, here, found, now))

    async def note_lacking(self, expected: Collection[int], held: Collection[int]) -> list[int]:
        """Note which of the ``expected`` runs artdaqDB lacks, by what it ``held``; return those of which that is news.

        Only those that are verified still.
        """
        here, now = self.here.artdaqdb, self._clock()
        if here is None:
            return []
        known = set(await self._write(lambda db: destinations.note_held(db, here, held, now)))
        lacking = await self._read(lambda db: destinations.select_lacking(db, here, expected, held))
        news = [run for run in lacking if run not in known]
        for start in range(0, len(news), MANY):
            await self.note_found(Side.ARTDAQDB, (Noted(run, Found.MISSING) for run in news[start : start + MANY]))
        return news

    async def note_standing(self, run: int, side: Side, blob: BlobIdentity | None = None) -> bool:
        """Note that the configured database of ``side`` has what was archived of ``run``; see ``statements``."""
        here, now = self.here, self._clock()
        return await self._write(lambda db: statements.note_standing(db, run, here, side, blob, now))

    async def see(self, runs: Iterable[int], lane: Lane) -> None:
        """Note runs whose directory was seen for the first time; known ones are left as they are."""
        now, new = self._clock(), list(runs)
        if new:
            await self._write(lambda db: statements.insert_seen(db, new, lane, now))

    async def adopt(self, configurations: Mapping[int, str]) -> None:
        """Note runs that are in artdaqDB, by number with their configuration, and have no directory.

        They wait for the proof that UconDB has them.
        """
        now = self._clock()
        if configurations:
            here = self.here.artdaqdb
            await self._write(lambda db: statements.insert_adopted(db, configurations, here, now))
            self._on_effect(Effect.WAKE_MIGRATE)

    async def record(self, *transitions: Transition) -> list[RunRow]:
        """Apply ``transitions`` in one commit, durable on return; return the rows as they then stand.

        Raise ForbiddenTransitionError, or ArchiverError when the journal cannot be written; then nothing is changed.
        """
        return await self._record(lambda _: transitions)

    async def record_allowed(self, *transitions: Transition) -> list[RunRow]:
        """Apply those of ``transitions`` that are still allowed, in one commit; return the rows of these."""
        return await self._record(lambda db: statements.allowed(db, transitions)) if transitions else []

    async def recover(self, only: Collection[int] | None = None) -> list[RunRow]:
        """Take up every run (or those of ``only``) that is in the middle of an effect and that nobody works on.

        An earlier process left it so, or its outcome could not be written. Return their rows.
        """

        def find(db: sqlite3.Connection) -> list[Transition]:
            left = queries.select_states(db, IN_HAND)
            return [transitions.restarted(row.run) for row in left if only is None or row.run in only]

        return await self._record(find)

    async def _record(self, find: Callable[[sqlite3.Connection], Sequence[Transition]]) -> list[RunRow]:
        """Apply the transitions that ``find`` returns, found and applied in one commit; then report their effects."""
        now = self._clock()
        done = await self._write(lambda db: [statements.apply(db, one, now) for one in find(db)])
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
            waiting = scheduling.select_waiting(db, stage, now, only, oldest=oldest, most=len(in_hand) + 1)
            return next((run for run in waiting if run not in in_hand), None)

        run = await self._read(work)
        if run is not None:
            self._picks[stage] += 1
        return run

    async def hasten(self, only: Collection[int] | None = None) -> None:
        """Make every waiting retry (of ``only``, if given) due now, for a pass that leaves no run out."""
        await self._write(lambda db: statements.hasten(db, only))

    async def wake_due(self, limit: int = 100) -> None:
        """Move retries that are due to the state in which their stage picks them up, at most ``limit`` at a time.

        A run due later than the longest wait allows is made due now, whatever its state.
        """
        now = self._clock()
        ahead = now + self._longest_wait

        def check(db: sqlite3.Connection) -> tuple[bool, bool]:
            return scheduling.is_due_after(db, ahead), bool(scheduling.select_due(db, now, 1))

        set_back, due = await self._read(check)
        if set_back:
            await self._write(lambda db: statements.bring_forward(db, ahead, now))
        elif not due:
            return
        await self._record(lambda db: [transitions.due(run) for run in scheduling.select_due(db, now, limit)])

    async def next_first_phase(self) -> int | None:
        """Return the newest open run that has started and whose first phase is to be tried now, or None."""
        now = self._clock()
        ahead = now + self._longest_wait
        return await self._read(lambda db: scheduling.select_next_first_phase(db, now, ahead))

    async def note_first_phase(self, step: FirstPhaseStep) -> None:
        """Note a step of a run's first phase, durable on return."""
        now = self._clock()
        await self._write(lambda db: statements.apply_first_phase(db, step, now))

    async def note_observed(self, records: Iterable[ObservedRecord]) -> None:
        """Note what the records of open runs show; a run that is no longer open is left alone."""
        shown = list(records)
        if shown:
            await self._write(lambda db: statements.apply_observed(db, shown))

    async def note_looks(self, looks: Iterable[RecordLook]) -> None:
        """Note since when the records of open runs are as they are."""
        taken = list(looks)
        if taken:
            await self._write(lambda db: statements.note_looks(db, taken))

    async def note_compared(self, compared: Iterable[ComparedRun]) -> list[int]:
        """Note what comparisons of directories found; return the runs of which that is news."""
        found, now = list(compared), self._clock()
        return await self._write(lambda db: statements.note_compared(db, found, now)) if found else []

    async def accept(self, run: int, files: Iterable[FileFate], listing: str) -> None:
        """Note that an operator lets stand what was archived of ``run``, as its directory is now."""
        fates, now = list(files), self._clock()
        await self._write(lambda db: statements.accept(db, run, fates, listing, now))

    async def accept_elsewhere(self, run: int) -> bool:
        """Note that ``run`` may stay where it is, whatever the configured databases have; see ``destinations``."""
        here = self.here
        return await self._write(lambda db: destinations.accept(db, run, here))

    async def note_validated(self, run: int, validation: str) -> None:
        """Note what is wrong with the blob of ``run``, which was validated; empty if nothing is."""
        await self._write(lambda db: statements.note_validated(db, run, validation))

    async def note_odd_names(self, count: int, names: Iterable[tuple[str, str]]) -> None:
        """Note the names that look like runs and are none, each with the rule it breaks, and how many there are."""
        odd = list(names)
        await self._write(lambda db: statements.note_odd_names(db, count, odd))

    async def note_lost(self, run: int, lost: Iterable[LostFile]) -> None:
        """Note which files of a verified run are missing, and since when: no others are."""
        missing = list(lost)
        await self._write(lambda db: statements.note_lost(db, run, missing))

    async def note_sweep(self, below: int) -> None:
        """Note that the comparison of the directories goes on with the runs below this number."""
        await self._write(lambda db: statements.note_sweep(db, below))

    async def note_missing(self, missing: MissingDirectories | None) -> None:
        """Note which directories are missing all at once; None if none are."""
        await self._write(lambda db: statements.note_missing(db, missing))

    async def believe_missing(self) -> list[int]:
        """Note that the directories that are missing all at once are gone; return their runs, ascending."""
        now = self._clock()
        return await self._write(lambda db: statements.believe_missing(db, now))

    async def note_clock(self, clock: ClockState) -> None:
        """Note how the wall clock stands to the one that never jumps."""
        await self._write(lambda db: statements.note_clock(db, clock))

    async def note_gone(self, runs: Iterable[int], *, gone: bool) -> None:
        """Note that the directories of ``runs`` are gone, or there again."""
        changed, now = list(runs), self._clock()
        if changed:
            await self._write(lambda db: statements.note_gone(db, changed, gone=gone, now=now))

    async def hold(self, backend: str, hold: Hold | None) -> None:
        """Note why ``backend`` is left alone, for others to read; None if it is not."""
        await self._write(lambda db: statements.put_hold(db, backend, hold))

    async def note_taken_over(self) -> None:
        """Mark this journal as knowing what databases and older files know: nobody needs to ask them again."""
        await self._write(lambda db: statements.mark(db, TAKEN_OVER))

    def notification_memory(self, notifier: str) -> NotificationMemory:
        """Return what the journal remembers for ``notifier``."""
        return NotificationMemory(self._open_writer, notifier)

    @property
    def proofs(self) -> Proofs:
        """The proofs of the verified runs that the configured UconDB has."""
        return Proofs(self._open_writer, self._clock, self.here.ucondb)

    def stage_file_memory(self, stage: Stage) -> StageFileMemory:
        """Return what the journal remembers of the files of ``stage``."""
        return StageFileMemory(self._open_writer, stage)
