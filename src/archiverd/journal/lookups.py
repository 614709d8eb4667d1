"""Lookups by the journal's owner, on the event loop; each sees every change made before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from archiverd.core.machine import Stage, State
from archiverd.core.runset import LAST_RUN
from archiverd.journal import destinations, queries, scheduling
from archiverd.journal.destinations import Here
from archiverd.journal.rows import FirstPhaseRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable

    from archiverd.journal.destinations import Destination, Found, Side, Standing
    from archiverd.journal.rows import (
        ClockState,
        FileFate,
        LostFile,
        MigrationCounts,
        MissingDirectories,
        PassTotals,
        RecordLook,
        RunRow,
        StoryLine,
    )
    from archiverd.journal.writer import Writer

T = TypeVar("T")

TAKEN_OVER = "taken over"
"""The mark of a journal that knows what databases and older files know."""


class Lookups:
    """The lookups in an open journal; each raises ArchiverError if it cannot be read."""

    def __init__(self) -> None:
        """Be closed; the journal's ``open`` sets the writer."""
        self._writer: Writer | None = None
        self.here = Here()
        """The destinations that are configured."""

    @property
    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise RuntimeError("the journal is not open")
        return self._writer

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        return await self._open_writer.read(query)

    async def next_due(self, stage: Stage, only: Collection[int] | None = None) -> float | None:
        """Return the epoch second at which the next waiting retry of ``stage`` (of ``only``, if given) is due, or None.

        One of the other stage must not be waited for: a pass runs the stages one after the other.
        """
        return await self._read(lambda db: scheduling.select_next_due(db, stage, only))

    async def on_their_way(
        self, by: float, only: Collection[int] | None = None, last: int = LAST_RUN
    ) -> dict[State, int]:
        """Return how many runs (of ``only``, if given) up to ``last`` a stage takes up or has in hand, by state.

        One that is to be retried ``by`` that time, in epoch seconds, counts as waiting for its stage.
        """
        return await self._read(lambda db: scheduling.select_on_their_way(db, by, only, last))

    async def outcome(self, since: float, trouble: Iterable[State], only: Collection[int] | None = None) -> PassTotals:
        """Return what became of runs (of ``only``, if given) since then, in epoch seconds."""
        return await self._read(lambda db: queries.select_outcome(db, since, trouble, only))

    async def migrated(self, after: int) -> MigrationCounts:
        """Return what became of the runs that the migration had in hand since event ``after``."""
        return await self._read(lambda db: queries.select_migrated(db, after))

    async def get(self, run: int) -> RunRow | None:
        """Return the row of ``run``, or None."""
        return await self._read(lambda db: queries.select_run(db, run))

    async def story(self, run: int) -> list[StoryLine]:
        """Return the story of ``run``, oldest first; of a long one the first line and the last ones."""
        return await self._read(lambda db: queries.select_story(db, run))

    async def files(self, run: int) -> list[FileFate]:
        """Return the fate of every file of ``run``'s record."""
        return await self._read(lambda db: queries.select_files(db, run))

    async def in_state(self, *states: State) -> list[RunRow]:
        """Return the rows of the runs in ``states``, ascending."""
        return await self._read(lambda db: queries.select_states(db, states))

    async def known(self) -> dict[int, State]:
        """Return the state of every run the journal knows."""
        return await self._read(queries.select_known)

    async def last_run(self) -> int:
        """Return the greatest run that the journal knows, 0 if there is none."""
        _, _, last = await self._read(queries.select_extent)
        return last or 0

    async def open_runs(self) -> frozenset[int]:
        """Return the runs whose end has not been seen."""
        return frozenset(await self._read(lambda db: queries.select_runs_in(db, State.OPEN)))

    async def looks(self) -> dict[int, RecordLook]:
        """Return since when the records of open runs are as they are, by run."""
        return await self._read(queries.select_looks)

    async def count(self, state: State) -> int:
        """Return how many runs are in ``state``."""
        return (await self._read(queries.select_counts)).get(state, 0)

    async def verified_below(self, below: int, most: int) -> list[RunRow]:
        """Return the verified runs below a number that have a directory, descending, at most so many."""
        return await self._read(lambda db: queries.select_verified_below(db, below, most))

    async def verified_since(self, since: float) -> list[RunRow]:
        """Return the runs with a directory that were verified since then, in epoch seconds, and still are."""
        return await self._read(lambda db: queries.select_verified_since(db, since))

    async def lost_files(self, run: int) -> list[LostFile]:
        """Return the files of a verified run that were missing at the last comparison of its directory, by name."""
        return await self._read(lambda db: queries.select_lost_files(db, run))

    async def sweep(self) -> int:
        """Return the number below which the comparison of the directories goes on; 0 to begin anew."""
        return await self._read(queries.select_sweep)

    async def flagged(self) -> list[RunRow]:
        """Return the verified runs whose directory is not what was archived, ascending."""
        return await self._read(queries.select_flagged)

    async def next_unvalidated(self, below: int) -> RunRow | None:
        """Return the greatest verified run below a number whose blob was not validated, or None."""
        return await self._read(lambda db: queries.select_next_unvalidated(db, below))

    async def seen_before(self, at: float) -> int:
        """Return how many runs with a directory were seen before then, in epoch seconds."""
        return await self._read(lambda db: queries.count_seen_before(db, at))

    async def standing(self, side: Side, destination: Destination) -> Standing:
        """Return where the verified runs stand, as seen from ``destination``."""
        return await self._read(lambda db: destinations.select_standing(db, side, destination))

    async def elsewhere(self, side: Side) -> dict[int, Found | None]:
        """Return the verified runs not known to be at the configured database of ``side``, and what was found of them.

        None for one that was not looked up yet.
        """
        here = side.of(self.here)
        return {} if here is None else await self._read(lambda db: destinations.select_elsewhere(db, side, here))

    async def differing(self, side: Side) -> dict[int, str]:
        """Return the runs of which the configured database of ``side`` has other content, and how that was found."""
        here = side.of(self.here)
        return {} if here is None else await self._read(lambda db: destinations.select_notes(db, here))

    async def verified(self) -> set[int]:
        """Return the verified runs."""
        return await self._read(destinations.select_verified)

    async def to_look_up(self, side: Side, before: float, now: float) -> list[int]:
        """Return the verified runs to be looked up in the configured database of ``side``, the newest first.

        Those that were not between ``before`` and ``now``, in epoch seconds.
        """
        here = side.of(self.here)
        if here is None:
            return []
        return await self._read(lambda db: destinations.select_to_look_up(db, side, here, before, now))

    async def archived_here(self, side: Side) -> list[int]:
        """Return the verified runs that were archived in the configured database of ``side``, ascending."""
        here = side.of(self.here)
        return await self._read(lambda db: destinations.select_archived(db, side, here))

    async def is_released(self, side: Side) -> bool:
        """Return whether an operator lets runs go to the configured database of ``side`` that it lacks."""
        here = side.of(self.here)
        return await self._read(lambda db: destinations.is_released(db, here))

    async def has_imported_elsewhere(self) -> bool:
        """Return whether a run was imported into another artdaqDB than the configured one."""
        here = self.here.artdaqdb
        return await self._read(lambda db: destinations.has_imported_elsewhere(db, here))

    async def missing_since(self) -> MissingDirectories | None:
        """Return which directories are missing all at once; None if there is no doubt."""
        return await self._read(queries.select_missing)

    async def clock_state(self) -> ClockState | None:
        """Return how the wall clock stood when last noted; None if it never was."""
        return await self._read(queries.select_clock)

    async def archived_as_dead(self) -> list[int]:
        """Return the verified runs that never got a stop line, ascending."""
        return await self._read(queries.select_archived_as_dead)

    async def verified_starts(self) -> dict[int, str]:
        """Return the start line of each verified run; empty for a record that had none, or was never seen."""
        return await self._read(queries.select_verified_starts)

    async def latest_started(self) -> dict[int, int]:
        """Return, by partition, the greatest run number known to have started."""
        return await self._read(queries.select_latest_started)

    async def listed(self, stage: Stage) -> frozenset[int]:
        """Return the runs in the failure log of ``stage``."""
        return await self._read(lambda db: queries.select_listed(db, stage))

    async def begun_before(self, run: int) -> bool:
        """Return whether the import of ``run`` was begun before the attempt under way, or in a first phase."""
        return await self._read(lambda db: queries.select_begun_before(db, run))

    async def first_phase(self, run: int) -> FirstPhaseRow:
        """Return how far ``run`` is in its first phase."""
        return await self._read(lambda db: queries.select_first_phase(db, run)) or FirstPhaseRow(run, done=False)

    async def gone(self) -> set[int]:
        """Return the runs whose directories were missing at the last scan."""
        return await self._read(queries.select_gone)

    async def has_taken_over(self) -> bool:
        """Return whether this journal is marked as knowing what databases and older files know."""
        return await self._read(lambda db: queries.has_mark(db, TAKEN_OVER))
