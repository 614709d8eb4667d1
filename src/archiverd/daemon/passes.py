"""Passes in the running daemon: its own stages take the runs through, and the pass waits for them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.app.operations.passes import PassProgress, count_left, summarize
from archiverd.app.state_file_sync import sync
from archiverd.core.errors import ArchiverError, error_stage
from archiverd.core.machine import ON_THEIR_WAY, Stage, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from archiverd.app.operations.results import PassResult, PassScope
    from archiverd.app.wiring import Parts
    from archiverd.process.progress import Progress
    from archiverd.process.shutdown import Shutdown
    from archiverd.watch.late_stops import LateStopWatcher
    from archiverd.watch.watcher import Watcher

CHECK_SECONDS = 0.3
"""Seconds between checks of the runs that a pass waits for."""


@dataclass(frozen=True, slots=True)
class DaemonDriver:
    """Finds the runs of a pass by the daemon's own watch, and waits for its stages."""

    parts: Parts
    watcher: Watcher
    late_stops: LateStopWatcher
    shutdown: Shutdown

    async def find_runs(self, on_progress: Progress) -> None:
        """Scan the run-records directory, and wait until the watch has judged what is there."""
        on_progress(0, 0, "looking at the run records")
        with error_stage("Import"):
            await self.watcher.find_now()

    async def find_late_stops(self) -> None:
        """Send runs archived as dead whose stop line has come on their way again."""
        await self.late_stops.check()

    def wake(self) -> None:
        """Let the stages check which runs wait for them."""
        for runner in self.parts.runners:
            runner.wake.set()

    async def make_pass(self, prepare: Callable[[], Awaitable[PassScope]], on_progress: Progress) -> PassResult:
        """Make one pass over the runs that ``prepare`` returns; return what became of them.

        As in a pass alone, a retry that is near is waited for. Raise ArchiverError if the daemon is paused, for nobody
        knows how long, or stops.
        """
        begun = time.time()
        scope = await prepare()
        self.wake()
        progress = PassProgress(scope.stages)
        while (left := await self._count_left(scope)) or await self._first_phase_is_due(scope):
            on_progress(*progress.update(left))
            self._refuse(sum(left.values()))
            await asyncio.sleep(CHECK_SECONDS)
        await sync(self.parts.state_files)
        return await summarize(self.parts, begun, scope)

    def _refuse(self, left: int) -> None:
        """Raise ArchiverError if the runs that are ``left`` are not taken up."""
        if self.shutdown.asked:
            raise ArchiverError(
                f"The daemon stops: runs wait that it does not take up any more ({left or 1})",
                remedy="nothing is lost: its next start takes them up; `archiverd status` tells when it runs",
            )
        runners = self.parts.runners
        if left and any(one.paused for one in runners) and not any(one.in_hand for one in runners):
            raise ArchiverError(
                f"The daemon is paused: it does not take up the runs that wait ({left})",
                remedy="`archiverd resume` lets it go on",
            )

    async def _count_left(self, scope: PassScope) -> dict[State, int]:
        """Return how many runs of the pass are still waited for, by state: none of those that wait for UconDB."""
        left = await count_left(self.parts, scope)
        if self._ucondb_is_away():
            return {state: runs for state, runs in left.items() if ON_THEIR_WAY[state] is Stage.IMPORT}
        return left

    def _ucondb_is_away(self) -> bool:
        """Return whether more probes of UconDB have failed than a pass waits for."""
        migration, quick = self.parts.migration, self.parts.settings.app.run_process_retries
        return migration is not None and migration.gate.shut and migration.gate.failures > quick

    async def _first_phase_is_due(self, scope: PassScope) -> bool:
        """Return whether a pass over all runs has to wait for a first phase."""
        migration = self.parts.migration
        if scope.runs is not None or Stage.IMPORT not in scope.stages or self._ucondb_is_away():
            return False
        if migration is None or migration.first_phase is None:
            return False
        return await self.parts.journal.next_first_phase() is not None
