"""Late stop lines: those of runs that were archived as dead; artdaqDB gets them whenever they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, Retry
from archiverd.detached import run_detached
from archiverd.journal import transitions
from archiverd.runrecord.completeness import Completeness, CompletionWaits, judge, time_lines
from archiverd.runrecord.snapshot import RecordStamp, record_stamp, take_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from archiverd.config.models import Settings
    from archiverd.journal.journal import Journal
    from archiverd.journal.transitions import Transition

_log = log.get("Import")


class LateStopWatcher:
    """Reads the records of verified dead runs; ``clock`` gives epoch seconds."""

    def __init__(self, settings: Settings, journal: Journal, clock: Callable[[], float]) -> None:
        watch = settings.watch
        self._root = settings.source_files.run_records_dir
        self._every = watch.rescan_seconds
        self._patience = CompletionWaits(watch.settle_seconds, watch.final_wait_seconds, watch.abandon_after_seconds)
        self._journal = journal
        self._clock = clock
        self._stamps: dict[int, RecordStamp] = {}

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
        """Queue every run whose stop line has come for another import. Raise ArchiverError if the journal fails."""
        dead = await self._journal.archived_as_dead()
        for row in await self._journal.record_allowed(*await run_detached(lambda: self._find_stopped(dead))):
            _log.warning("its stop line came after all: artdaqDB is updated, UconDB keeps its version", run=row.run)

    def _find_stopped(self, runs: Iterable[int]) -> list[Transition]:
        """Return the transition of each of ``runs`` whose record is final now. Blocking, for a worker thread."""
        return [late for run in runs if (late := self._read_late_stop(run, self._root / str(run))) is not None]

    def _read_late_stop(self, run: int, directory: Path) -> Transition | None:
        """Return the transition of a run whose stop line has come and whose record has settled, else None."""
        stamp = record_stamp(directory)
        if stamp is None or self._stamps.get(run) == stamp:
            return None
        seen = take_snapshot(directory)
        lines = time_lines(seen.metadata)
        if lines.stopped is None:
            self._stamps[run] = stamp
            return None
        verdict = judge(seen, self._clock(), self._patience, later_started=False, unchanged_since=seen.changed)
        if verdict is not Completeness.FINAL:
            return None
        return transitions.late_stop(run, stop_line=lines.stopped, stopped_at=seen.metadata_mtime)
