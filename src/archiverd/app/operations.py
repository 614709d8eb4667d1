"""Passes that end by themselves: `archiverd once`, `retry` and `recover`, while no daemon runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.app.state_file_sync import begin, finish
from archiverd.app.wiring import Parts, RunOptions, opened
from archiverd.audit import reconcile as partition
from archiverd.audit.reconcile import ComparedSources
from archiverd.audit.recovery import adopt_archived, find_anomalies, find_missing, import_again
from archiverd.core.errors import ConfigurationError, UconDBError
from archiverd.core.machine import ON_THEIR_WAY, RETRIABLE, TROUBLE, Stage, State
from archiverd.detached import run_detached
from archiverd.journal.state_files import TAGS
from archiverd.pipeline import operator_actions
from archiverd.process.exit_deadline import exit_in_time
from archiverd.process.lock import drain_when_removed
from archiverd.process.progress import silent
from archiverd.process.shutdown import Shutdown, ShutdownReason, given_up, signals
from archiverd.watch.late_stops import LateStopWatcher
from archiverd.watch.watcher import Watcher, scan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from archiverd.audit.anomalies import Anomaly
    from archiverd.audit.reconcile import Partition
    from archiverd.config import Settings
    from archiverd.journal.rows import Hold, StuckRun
    from archiverd.pipeline.operator_actions import SkippedRun
    from archiverd.process.progress import Progress

PROGRESS_SECONDS = 0.3
"""How often progress is told."""


@dataclass(frozen=True, slots=True)
class HeldRuns:
    """How many runs a database holds, and how many of them are verified already."""

    runs: int
    verified: int


@dataclass(frozen=True, slots=True)
class PassScope:
    """What a pass, or a command to the daemon, is about, and what was found before its runs were taken up."""

    runs: frozenset[int] | None = None
    """The runs it is confined to; None for all."""
    amiss: Sequence[Anomaly] = ()
    skipped: Sequence[SkippedRun] = ()
    """Those of them that are not taken up."""
    held: HeldRuns | None = None
    """What a database holds, where it was asked for that."""


@dataclass(frozen=True, slots=True)
class PassResult:
    """What one pass did."""

    imported: int
    """Runs this pass imported, those verified since included."""
    verified: int
    """Runs verified by this pass."""
    open: int
    """Runs that have not ended yet."""
    failed: tuple[StuckRun, ...]
    """Runs that could not be archived, or wait for UconDB."""
    hold: Hold | None
    """Why UconDB is left alone, if it is."""
    task: PassScope
    stopped: ShutdownReason | None
    """Why the pass ended before its time; None if it did not."""

    @property
    def exit_code(self) -> int:
        """0 if all is well, 130 if interrupted, else 1: a run failed, is amiss or unknown, or the lock file is gone."""
        if self.stopped is not None:
            return self.stopped.value
        return 1 if self.failed or self.task.amiss or any(one.failed for one in self.task.skipped) else 0

    def to_json(self) -> dict[str, object]:
        """Return the pass as JSON has it (`once --json`)."""
        return {
            "version": 1,
            "imported": self.imported,
            "verified": self.verified,
            "open": self.open,
            "failed": [{"run": row.run, "state": str(row.state), "error": row.error} for row in self.failed],
            "amiss": [one.to_json() for one in self.task.amiss],
            "skipped": [one.to_json() for one in self.task.skipped],
            "held": None if self.task.held is None else asdict(self.task.held),
            "hold": None if self.hold is None else {"cause": self.hold.cause, "remedy": self.hold.remedy},
            "exit_code": self.exit_code,
        }


async def once(
    settings: Settings, options: RunOptions, *, incremental: bool, on_progress: Progress = silent
) -> PassResult:
    """Take every ended run through the stages of ``options``, quick retries included.

    The databases are asked what they hold, unless ``incremental``: then the journal is trusted. Raise ArchiverError
    when the pass cannot start.
    """

    async def prepare(parts: Parts, watcher: Watcher) -> PassScope:
        await parts.journal.hasten()
        await watcher.look_once(on_progress)
        await watcher.look_again()
        await LateStopWatcher(settings, parts.journal, time.time).look()
        await begin(parts)
        if incremental:
            return PassScope()
        on_progress(0, 0, "asking artdaqDB and UconDB what they hold")
        return await ask_around(parts)

    return await _pass("once", settings, options, prepare, on_progress)


async def retry(
    settings: Settings, options: RunOptions, stage: Stage, runs: Collection[int], on_progress: Progress = silent
) -> PassResult:
    """Take the runs of the failure log of ``stage``, or ``runs``, up again. Raise ArchiverError as ``once``."""

    async def prepare(parts: Parts, _: Watcher) -> PassScope:
        await begin(parts)
        return await take_up(parts, stage, runs)

    return await _pass("retry", settings, options, prepare, on_progress)


async def take_up(parts: Parts, stage: Stage, named: Collection[int]) -> PassScope:
    """Take up the runs ``named``, or those of the failure log of ``stage``, again; the task says which were not."""
    chosen = frozenset(named) or await parts.journal.listed(stage)
    answers = [await _take_up(parts, stage, run) for run in sorted(chosen)]
    await parts.journal.hasten(chosen)
    return PassScope(chosen, skipped=[answer for answer in answers if answer is not None])


async def _take_up(parts: Parts, stage: Stage, run: int) -> SkippedRun | None:
    """Take up ``run`` again: from its directory, if ``stage`` is the import and artdaqDB has lost it."""
    if stage is Stage.IMPORT:
        records = parts.settings.source_files.run_records_dir
        answer = await import_again(parts.journal, parts.artdaqdb, records, run)
        if answer is not False:
            return None if answer is True else answer
    return await operator_actions.retry(parts.journal, run, stage, log.get(TAGS[stage]))


async def recover(settings: Settings, options: RunOptions, stage: Stage, on_progress: Progress = silent) -> PassResult:
    """Make journal, state file and failure log of ``stage`` anew from what its database holds.

    Every run that the database has and that is not verified goes through the stage again, which finds and proves it.
    Those that are verified are left as they are; ``reconcile`` proves them again. Raise ArchiverError as ``once``,
    UconDBError or ArtdaqDBError when the database cannot tell.
    """

    async def prepare(parts: Parts, watcher: Watcher) -> PassScope:
        await watcher.look_once()
        await begin(parts)
        on_progress(0, 0, "asking the databases what they hold")
        return await take_in_held(parts, stage)

    return await _pass("recover", settings, options, prepare, on_progress)


async def take_in_held(parts: Parts, stage: Stage) -> PassScope:
    """Take in what the database of ``stage`` holds; the task has its runs, the failed ones are to be tried again.

    Raise UconDBError or ArtdaqDBError when it cannot tell.
    """
    held = frozenset(await parts.artdaqdb.list_runs())
    await adopt_archived(parts.journal, parts.artdaqdb)
    missing: frozenset[int] = frozenset()
    if stage is Stage.MIGRATE and parts.migration is not None:
        held = frozenset(partition.numbered(await parts.migration.ucondb.list_keys()))
        missing = await find_missing(parts.journal, parts.migration.ucondb)
    known = await parts.journal.known()
    verified = sum(known.get(run) is State.VERIFIED for run in held)
    logger = log.get(f"Recovery-{TAGS[stage]}")
    logger.info(f"{len(held)} runs are held", runs=len(held))
    for row in await parts.journal.in_state(*RETRIABLE):
        if row.run in held and row.stage is stage:
            await operator_actions.retry(parts.journal, row.run, stage, logger)
    return PassScope(held | missing, held=HeldRuns(len(held), verified))


async def reconcile(settings: Settings, *, deep: bool, on_progress: Progress) -> Partition:
    """Compare run records, artdaqDB and UconDB, while no daemon runs.

    Raise ArchiverError when one cannot tell, and when it is stopped: then with the exit code of the reason.
    """
    async with _passing(settings, RunOptions(until_idle=True), patience=0.0) as (parts, shutdown):
        async with given_up(shutdown, 0.0, "every run was compared"):
            found = await compare(parts, deep=deep, on_progress=on_progress)
        return found  # noqa: RET504 - the block may have been given up


async def compare(parts: Parts, *, deep: bool, on_progress: Progress) -> Partition:
    """Compare what the opened parts know. Raise ArchiverError as ``reconcile``."""
    if parts.migration is None:
        raise ConfigurationError("[ucon_db] is not configured: there is nothing to compare with")
    on_progress(0, 0, "asking artdaqDB and UconDB what they hold")
    records = parts.settings.source_files.run_records_dir
    found = await run_detached(lambda: scan(records))
    sources = ComparedSources(parts.journal, parts.artdaqdb, parts.migration.ucondb, records, found.runs)
    return await partition.reconcile(sources, deep=deep, on_progress=on_progress)


@contextlib.asynccontextmanager
async def _passing(
    settings: Settings, options: RunOptions, patience: float, command: str = ""
) -> AsyncIterator[tuple[Parts, Shutdown]]:
    """Open what a pass needs, for at most ``patience`` seconds once it is stopped; drain it when its lock file goes."""
    shutdown = Shutdown(time.monotonic)
    with signals(shutdown):
        async with (
            exit_in_time(settings, command, shutdown, patience),
            opened(settings, shutdown, options, patience) as parts,
        ):
            lock_watch = asyncio.create_task(drain_when_removed(parts.lock, shutdown), name="lock")
            try:
                yield parts, shutdown
            finally:
                lock_watch.cancel()
                await asyncio.wait([lock_watch])


async def _pass(
    command: str,
    settings: Settings,
    options: RunOptions,
    prepare: Callable[[Parts, Watcher], Awaitable[PassScope]],
    on_progress: Progress,
) -> PassResult:
    """Make one pass over the runs that ``prepare`` names, and say what became of them."""
    task = PassScope(frozenset())
    patience = settings.app.drain_timeout_seconds
    async with _passing(settings, options, patience, command) as (parts, shutdown):
        begun = time.time()
        async with parts.notifications.of_pass(shutdown):
            async with parts.draining_in_time(shutdown):
                task = await prepare(parts, Watcher(settings, parts.journal, shutdown, clock=time.time))
                begun = time.time()
                await _run(parts, options, shutdown, only=task.runs, on_progress=on_progress)
            await finish(parts)
        return await sum_up(parts, begun, task, shutdown.reason)


async def ask_around(parts: Parts) -> PassScope:
    """Ask directories, artdaqDB and UconDB what became of the runs that are verified.

    Raise ArtdaqDBError when it cannot tell.
    """
    await adopt_archived(parts.journal, parts.artdaqdb)
    amiss = await find_anomalies(parts.journal, parts.artdaqdb, parts.settings.source_files.run_records_dir)
    await _find_missing(parts)
    return PassScope(amiss=amiss)


async def _find_missing(parts: Parts) -> None:
    """Look for verified runs that UconDB has lost; one that is away, or does not answer, stops nothing."""
    if parts.migration is None or parts.migration.gate.failures:
        return
    try:
        await find_missing(parts.journal, parts.migration.ucondb)
    except UconDBError as error:
        log.failure(log.get("Migration"), error)


async def _run(
    parts: Parts, options: RunOptions, shutdown: Shutdown, *, only: frozenset[int] | None, on_progress: Progress
) -> None:
    """Run the stages until nothing is left to do."""
    async with asyncio.TaskGroup() as group:
        if parts.migration is not None:
            await parts.migration.gate.probe()
        attending = [
            group.create_task(parts.attend(), name="gate"),
            group.create_task(_tell_progress(parts, only, shutdown, on_progress), name="progress"),
        ]
        if only is None and options.importing:
            await parts.first_phases(shutdown, once=True)
        for runner in parts.runners:
            runner.only = only
            if runner.stage is not Stage.IMPORT or options.importing:
                await runner.run()
        for task in attending:
            task.cancel()


async def on_their_way(parts: Parts, only: Collection[int] | None) -> dict[State, int]:
    """Return how many runs (of ``only``, if given) a pass waits for, by state: those in hand and quick retries too."""
    return await parts.journal.on_their_way(time.time() + parts.settings.app.retry_delay_seconds, only)


async def _tell_progress(parts: Parts, only: Collection[int] | None, shutdown: Shutdown, on_progress: Progress) -> None:
    """Tell how far the runs (of ``only``, if given) are, until cancelled."""
    distance = Distance()
    while True:
        done, of, what = distance.of(await on_their_way(parts, only))
        on_progress(done, of, f"finishing what is in hand: {what}" if shutdown.asked else what)
        await asyncio.sleep(PROGRESS_SECONDS)


@dataclass(slots=True)
class Distance:
    """How far runs have come on their way through the stages; each stage of a run counts for itself."""

    most: int = 0

    def of(self, runs: Mapping[State, int]) -> tuple[int, int, str]:
        """Return how many stages of how many are done if ``runs`` are still on their way, and what happens to these."""
        left = sum(number * (2 if ON_THEIR_WAY[state] is Stage.IMPORT else 1) for state, number in runs.items())
        self.most = max(self.most, left)
        what = ", ".join(f"{runs[state]} {state}" for state in State if state in runs)
        return self.most - left, self.most, what


async def sum_up(parts: Parts, begun: float, task: PassScope, stopped: ShutdownReason | None = None) -> PassResult:
    """Say what became of the runs of ``task`` since ``begun``, in epoch seconds."""
    gate = None if parts.migration is None else parts.migration.gate
    waiting = gate is not None and gate.shut
    found = await parts.journal.outcome(begun, (*TROUBLE, State.IMPORTED) if waiting else TROUBLE, task.runs)
    return PassResult(
        imported=found.imported,
        verified=found.verified,
        open=found.open,
        failed=found.stuck,
        hold=gate.hold if gate is not None and waiting else None,
        task=task,
        stopped=stopped,
    )
