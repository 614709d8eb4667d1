"""Late stop lines: those of runs that were archived as dead; artdaqDB gets them whenever they come."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, Retry
from archiverd.detached import run_detached
from archiverd.journal import transitions
from archiverd.runrecord.completeness import Completeness, Stillness, judge, time_lines
from archiverd.runrecord.look import Look, compare
from archiverd.runrecord.snapshot import RecordStamp, record_stamp, take_snapshot
from archiverd.watch.ages import Timekeeper, age_by_files
from archiverd.watch.open_runs import completion_waits

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from archiverd.config.models import Settings
    from archiverd.journal.journal import Journal
    from archiverd.journal.transitions import Transition

_log = log.get("Import")


@dataclass(frozen=True, slots=True)
class _Seen:
    """A record as it was when last looked at; ``look`` is None while it has no stop line."""

    stamp: RecordStamp
    look: Look | None


class LateStopWatcher:
    """Looks at the records of verified dead runs."""

    def __init__(self, settings: Settings, journal: Journal, timekeeper: Timekeeper) -> None:
        self._root = settings.source_files.run_records_dir
        self._every = settings.watch.rescan_seconds
        # What such a record lacks was found out when it was archived.
        self._waits = replace(completion_waits(settings), promised=False)
        self._journal = journal
        self._time = timekeeper
        self._seen: dict[int, _Seen] = {}

    async def watch(self) -> None:
        """Check every ``watch.rescan_seconds`` until cancelled. Raise ArchiverError if the journal is damaged."""
        while True:
            try:
                await self.check()
            except ArchiverError as error:
                if error.retry is not Retry.TRANSIENT:
                    raise
                log.failure(_log, error)
            await asyncio.sleep(self._every)

    async def check(self) -> None:
        """Queue every run whose stop line has come for another import. Raise ArchiverError if the journal fails.

        A record that has its stop line is looked at twice, with the time to settle in between.
        """
        dead = await self._journal.archived_as_dead()
        late = await run_detached(lambda: self._find_stopped(dead))
        unsettled = [run for run in dead if (seen := self._seen.get(run)) is not None and seen.look is not None]
        if unsettled:
            await asyncio.sleep(self._waits.settle)
            late += await run_detached(lambda: self._find_stopped(unsettled))
        for row in await self._journal.record_allowed(*late):
            _log.warning("its stop line came after all: artdaqDB is updated, UconDB keeps its version", run=row.run)

    def _find_stopped(self, runs: Iterable[int]) -> list[Transition]:
        """Return the transition of each of ``runs`` whose record is final now. Blocking, for a worker thread."""
        return [late for run in runs if (late := self._read_late_stop(run, self._root / str(run))) is not None]

    def _read_late_stop(self, run: int, directory: Path) -> Transition | None:
        """Return the transition of a run whose stop line has come and whose record has settled, else None."""
        stamp, before = record_stamp(directory), self._seen.get(run)
        if stamp is None or (before is not None and before.look is None and before.stamp == stamp):
            return None
        snapshot, now = take_snapshot(directory), self._time.now()
        lines = time_lines(snapshot.metadata)
        if lines.stopped is None:
            self._seen[run] = _Seen(stamp, None)
            return None
        look = compare(snapshot, None if before is None else before.look, wall=now.wall, now=now.uptime)
        self._seen[run] = _Seen(stamp, look)
        age = age_by_files(snapshot.changed, now)
        still = Stillness(look.at - look.copied_since, now.uptime - look.appended_since, age)
        if judge(snapshot, still, self._waits) is not Completeness.FINAL:
            return None
        del self._seen[run]
        return transitions.late_stop(
            run, stop_line=lines.stopped, stopped_at=snapshot.metadata_mtime, listing=snapshot.digest
        )
