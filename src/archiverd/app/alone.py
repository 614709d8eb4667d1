"""Operations while no daemon runs: this process takes the lock, opens the parts, and runs the stages to their end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from archiverd.app.destinations import settle
from archiverd.app.operations import decisions
from archiverd.app.operations.destination import release_destination
from archiverd.app.operations.passes import (
    PassProgress,
    count_left,
    prepare_once,
    prepare_recover,
    prepare_retry,
    summarize,
)
from archiverd.app.operations.rearchive import prepare_rearchive
from archiverd.app.operations.reconcile import reconcile
from archiverd.app.operations.results import PassScope
from archiverd.app.stages import RunOptions
from archiverd.app.state_file_sync import sync
from archiverd.app.wiring import Parts, make_state_files, opened
from archiverd.config.paths import journal_path, lock_path
from archiverd.config.ucondb import missing_for_migration
from archiverd.core.machine import Stage
from archiverd.journal.journal import Journal
from archiverd.journal.reader import is_there, no_journal
from archiverd.process import work_dir
from archiverd.process.exit_deadline import exit_in_time
from archiverd.process.lock import LockFile, drain_when_removed, holding
from archiverd.process.shutdown import Shutdown, abandon_on_shutdown, handle_signals
from archiverd.watch.ages import Timekeeper
from archiverd.watch.late_stops import LateStopWatcher
from archiverd.watch.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from archiverd.app.operations.requests import (
        DestinationRequest,
        OnceRequest,
        RearchiveRequest,
        ReconcileRequest,
        RecoverRequest,
        ReleaseRequest,
        RetryRequest,
        WaiveMissingRequest,
        WaiveRequest,
    )
    from archiverd.app.operations.results import Decision, PassResult, Released, WaivedDirectories
    from archiverd.audit.partition import Partition
    from archiverd.config.models import Settings
    from archiverd.process.progress import Progress

D = TypeVar("D")

PROGRESS_SECONDS = 0.3
"""Seconds between reports of progress."""


@dataclass(frozen=True, slots=True)
class OwnOperations:
    """The operations of a process that has the work directory of ``settings`` to itself.

    Each raises ArchiverError when it cannot start, LockExistsError if another process holds the lock.
    """

    settings: Settings
    on_progress: Progress

    async def once(self, request: OnceRequest) -> PassResult:
        """Take every ended run through the requested stages, quick retries included."""
        options = RunOptions(
            migrating=request.migrating,
            validating=request.validating,
            drilling=not request.incremental,
            until_idle=True,
        )
        return await self._pass("once", options, lambda driver: prepare_once(driver, request, self.on_progress))

    async def retry(self, request: RetryRequest) -> PassResult:
        """Take the requested runs up again; on to UconDB if that is configured."""
        options = RunOptions(
            migrating=not missing_for_migration(self.settings.ucon_db), drilling=False, until_idle=True
        )
        return await self._pass("retry", options, lambda driver: prepare_retry(driver, request, self.on_progress))

    async def rearchive(self, request: RearchiveRequest) -> PassResult:
        """Archive verified runs again whose directories have changed."""
        migrating = not missing_for_migration(self.settings.ucon_db)
        options = RunOptions(migrating=migrating, drilling=False, until_idle=True)
        return await self._pass(
            "rearchive", options, lambda driver: prepare_rearchive(driver, request, self.on_progress)
        )

    async def recover(self, request: RecoverRequest) -> PassResult:
        """Make journal, state file and failure log of a stage anew from its database.

        Raise UconDBError or ArtdaqDBError when the database does not answer.
        """
        options = RunOptions(migrating=request.stage is Stage.MIGRATE, drilling=False, until_idle=True)
        return await self._pass("recover", options, lambda driver: prepare_recover(driver, request, self.on_progress))

    async def reconcile(self, request: ReconcileRequest) -> Partition:
        """Compare run records, artdaqDB and UconDB.

        Raise ArchiverError when one does not answer, and when it is stopped: then with the exit code of the reason.
        """
        async with _opened(self.settings, RunOptions(until_idle=True), drain_seconds=0.0) as (parts, shutdown):
            async with abandon_on_shutdown(shutdown, 0.0, "every run was compared"):
                found = await reconcile(parts, request, self.on_progress)
            return found  # noqa: RET504 - the block may have been given up

    async def waive(self, request: WaiveRequest) -> Decision:
        """Leave a run out for good. Raise ArchiverError if it cannot be."""
        return await self._decide(lambda journal: decisions.waive(journal, request))

    async def waive_missing(self, request: WaiveMissingRequest) -> WaivedDirectories:
        """Take the run directories that are missing all at once as gone. Raise ArchiverError if none are."""
        return await self._decide(lambda journal: decisions.waive_missing(journal, request))

    async def release(self, request: ReleaseRequest) -> Decision:
        """Put a run back to where it failed. Raise ArchiverError if that cannot be done."""
        return await self._decide(lambda journal: decisions.release(journal, request))

    async def release_destination(self, _: DestinationRequest) -> Released:
        """Let runs that were archived elsewhere go to the databases that are configured. Raise ArchiverError."""
        return await self._decide(lambda journal: release_destination(journal, self.settings))

    async def _decide(self, decide: Callable[[Journal], Awaitable[D]]) -> D:
        """Record a decision as the only writer of the journal, and write failure logs and state files accordingly.

        A run that a killed process left in the middle of an effect is moved on first: nobody works on it. Raise
        ArchiverError if there is no journal yet.
        """
        path = journal_path(self.settings)
        if not await asyncio.to_thread(is_there, path):
            raise no_journal(path)
        work_dir.prepare(self.settings.app)
        with holding(LockFile(lock_path(self.settings)), self.settings.app.work_dir):
            journal = Journal(path, clock=time.time)
            try:
                await journal.open()
                await settle(journal, self.settings)
                await journal.recover()
                # One made anew knows nothing yet: the files are left to the next pass, which takes them over.
                files = make_state_files(self.settings, journal) if await journal.has_taken_over() else None
                if files is not None:
                    await sync(files)
                decision = await decide(journal)
                if files is not None:
                    await sync(files)
            finally:
                await journal.close()
        return decision

    async def _pass(
        self, command: str, options: RunOptions, prepare: Callable[[_Driver], Awaitable[PassScope]]
    ) -> PassResult:
        """Make one pass over the runs that ``prepare`` returns; return what became of them."""
        scope, settings = PassScope(runs=frozenset()), self.settings
        drain_seconds = settings.app.drain_timeout_seconds
        async with _opened(settings, options, drain_seconds, command) as (parts, shutdown):
            begun = time.time()
            async with parts.notifications.of_pass(shutdown):
                async with parts.draining_in_time(shutdown):
                    scope = await prepare(_Driver(parts, Watcher(settings, parts.journal, shutdown, Timekeeper())))
                    await _run_stages(parts, scope, shutdown, self.on_progress)
                await sync(parts.state_files)
            return await summarize(parts, begun, scope, shutdown.reason)


@dataclass(frozen=True, slots=True)
class _Driver:
    """Finds the runs of a pass that has the run-records directory to itself."""

    parts: Parts
    watcher: Watcher

    async def find_runs(self, on_progress: Progress) -> None:
        await self.watcher.find_all(on_progress)
        await self.watcher.settle()

    async def find_late_stops(self) -> None:
        await LateStopWatcher(self.parts.settings, self.parts.journal, Timekeeper()).check()


@contextlib.asynccontextmanager
async def _opened(
    settings: Settings, options: RunOptions, drain_seconds: float, command: str = ""
) -> AsyncIterator[tuple[Parts, Shutdown]]:
    """Open the parts, for at most ``drain_seconds`` once the process is stopped; drain when the lock file goes."""
    shutdown = Shutdown(time.monotonic)
    with handle_signals(shutdown):
        async with (
            exit_in_time(settings, command, shutdown, drain_seconds),
            opened(settings, shutdown, options, drain_seconds) as parts,
        ):
            lock_watch = asyncio.create_task(drain_when_removed(parts.lock, shutdown), name="lock")
            try:
                yield parts, shutdown
            finally:
                lock_watch.cancel()
                await asyncio.wait([lock_watch])


async def _run_stages(parts: Parts, scope: PassScope, shutdown: Shutdown, on_progress: Progress) -> None:
    """Run the stages, one after the other, until nothing is left to do."""
    async with asyncio.TaskGroup() as group:
        attending = [
            group.create_task(parts.attend(), name="gate"),
            group.create_task(_report_progress(parts, scope, shutdown, on_progress), name="progress"),
        ]
        if scope.runs is None and Stage.IMPORT in scope.stages:
            await parts.first_phases(shutdown, once=True)
        for runner in parts.runners:
            runner.only = scope.runs
            if runner.stage in scope.stages:
                await runner.run()
        if scope.runs is None and Stage.MIGRATE in scope.stages:
            await parts.validate_others(shutdown, once=True)
        if scope.thorough and await parts.look_elsewhere(shutdown):
            for runner in parts.runners:
                if runner.stage in scope.stages:
                    await runner.run()
        for task in attending:
            task.cancel()


async def _report_progress(parts: Parts, scope: PassScope, shutdown: Shutdown, on_progress: Progress) -> None:
    """Report the progress of the runs, until cancelled."""
    progress = PassProgress(scope.stages)
    while True:
        done, of, what = progress.update(await count_left(parts, scope))
        on_progress(done, of, f"finishing what is in hand: {what}" if shutdown.asked else what)
        await asyncio.sleep(PROGRESS_SECONDS)
