"""From settings to working parts: which adapter stands behind each port."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from archiverd import log
from archiverd.app.call_observer import LastContact, observed
from archiverd.artdaqdb.backends import make_artdaqdb
from archiverd.artdaqdb.schema import Schema, load_schema
from archiverd.config.paths import journal_path, lock_path, stage_files
from archiverd.core.environment import Environment
from archiverd.core.errors import ArchiverError, Retry, error_stage
from archiverd.core.machine import Effect, Stage
from archiverd.core.priority import RetrySchedule, longest_wait
from archiverd.detached import run_detached
from archiverd.disk import RealDisk
from archiverd.journal.journal import Journal
from archiverd.journal.state_files import TAGS, StateFiles
from archiverd.journal.summaries import ARTDAQDB, UCONDB
from archiverd.notify.notifications import Notifications, make_notifications
from archiverd.notify.registry import CARBON
from archiverd.pipeline import operator_actions
from archiverd.pipeline.failure_policy import FailurePolicy
from archiverd.pipeline.fault_injection import FaultInjector
from archiverd.pipeline.first_phase import FirstPhase
from archiverd.pipeline.gate import Gate
from archiverd.pipeline.importer import Importer, no_fault
from archiverd.pipeline.migrator import Migrator
from archiverd.pipeline.stage_runner import PAUSE_SECONDS, StageRunner
from archiverd.process import work_dir
from archiverd.process.lock import LockFile, holding
from archiverd.process.shutdown import drain_limit, starting
from archiverd.runrecord.preparation import Cache, unknown_converters
from archiverd.ucondb.client import make_ucondb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from archiverd.app.call_observer import ObservedCall
    from archiverd.artdaqdb.port import ArtdaqDB
    from archiverd.config import Settings
    from archiverd.notify.carbon import CarbonSender
    from archiverd.process.shutdown import Shutdown
    from archiverd.ucondb.port import UconDB

T = TypeVar("T")

_log = log.get()

LOOK_SECONDS = 0.5
"""How often it is looked whether a run has started whose first phase is to be done."""

QUEUE_LIMIT = 8
"""A stage's queue never holds more runs: a drain must finish them (design.md, "Stopping")."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a process is asked to do."""

    importing: bool = True
    migrating: bool = True
    validating: bool = True
    drilling: bool = True
    """Make up failures where ``[app_fuzz]`` says so."""
    until_idle: bool = False
    """Stop as soon as nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """The parts of the way to UconDB."""

    ucondb: UconDB
    gate: Gate
    runner: StageRunner
    first_phase: FirstPhase | None
    """For runs that have only started; None where there is no pending folder."""


@dataclass(slots=True)
class Parts:
    """The opened parts of a daemon or of one pass."""

    settings: Settings
    lock: LockFile
    journal: Journal
    state_files: StateFiles
    artdaqdb: ArtdaqDB
    importing: StageRunner
    migration: Migration | None
    """None when nothing is to be migrated."""
    notifications: Notifications
    contacts: Mapping[str, LastContact] = field(default_factory=dict)
    """When each database was last called, and how that ended."""

    @property
    def runners(self) -> tuple[StageRunner, ...]:
        """The stages there are."""
        return (self.importing,) if self.migration is None else (self.importing, self.migration.runner)

    async def first_phases(self, shutdown: Shutdown, *, once: bool = False) -> None:
        """Take runs that have started through their first phase, until a drain (or, ``once``, while any is due).

        Raise ArchiverError when the journal is damaged, and ``once`` when it cannot be written.
        """
        while self.migration is not None and self.migration.first_phase is not None and not shutdown.asked:
            try:
                run = await self.journal.next_first_phase()
                if run is not None:
                    await self.migration.first_phase(run)
                    continue
            except ArchiverError as error:
                if once or error.retry is not Retry.TRANSIENT:
                    raise
                log.failure(log.get("Migration"), error)
                await shutdown.rest(PAUSE_SECONDS)
            if once:
                return
            await shutdown.rest(LOOK_SECONDS)

    @contextlib.asynccontextmanager
    async def draining_in_time(self, shutdown: Shutdown) -> AsyncIterator[None]:
        """Cut the block short when a drain takes longer than it may, and say what is left to the next start."""
        seconds = self.settings.app.drain_timeout_seconds
        async with drain_limit(shutdown, seconds) as limit:
            yield
        if limit.expired():
            left = sorted(run for runner in self.runners for run in runner.in_hand)
            _log.warning(
                f"the drain took longer than drain_timeout_seconds ({seconds:g} s); "
                f"runs left to the next start: {', '.join(map(str, left)) or 'none'}"
            )

    async def attend(self) -> None:
        """Probe UconDB while it is left alone, until cancelled; the journal tells others how it stands."""
        if self.migration is not None:
            gate = self.migration.gate
            await gate.attend(lambda hold: self.journal.hold(gate.name, hold))


def make_gate(settings: Settings, ucondb: UconDB, on_news: Callable[[], None]) -> Gate:
    """Return the gate before UconDB; it opens once a probe has passed."""

    async def probe(*, login_only: bool) -> None:
        await (ucondb.check_login() if login_only else ucondb.check_server())

    environment = Environment(time.time, time.monotonic, random.uniform)
    return Gate("UconDB", settings.ucon_db.max_concurrent_uploads, probe, environment, log.get("Migration"), on_news)


@contextlib.asynccontextmanager
async def opened(settings: Settings, shutdown: Shutdown, options: RunOptions, patience: float) -> AsyncIterator[Parts]:
    """Take the lock, open everything, give the parts, and close everything in the opposite order.

    A stop gives opening the databases up after ``patience`` seconds. Raise ArchiverError (LockExistsError,
    ConfigurationError, ArtdaqDBError, …) when something cannot be opened.
    """
    work_dir.prepare(settings.app)
    async with starting(shutdown, patience, "reading schema.fcl", "schema.fcl was read"):
        with error_stage("Import"):
            schema = await run_detached(lambda: load_schema(settings.artdaq_db.fcl_conf_dir))
    async with contextlib.AsyncExitStack() as stack:
        lock = LockFile(lock_path(settings))
        stack.enter_context(holding(lock, settings.app.work_dir))
        log.own_file()
        wakes = {Effect.WAKE_IMPORT: asyncio.Event(), Effect.WAKE_MIGRATE: asyncio.Event()}

        def on_effect(effect: Effect) -> None:
            if effect in wakes:
                wakes[effect].set()

        journal = Journal(
            journal_path(settings),
            clock=time.time,
            on_effect=on_effect,
            group_limit=settings.app.batch_size,
            longest_wait=longest_wait(_patience(settings)),
        )
        await journal.open()
        stack.push_async_callback(journal.close)
        for row in await journal.recover():
            _log.info(f"taken up again after a restart as {row.state}", run=row.run)
        contacts, carbon = {ARTDAQDB: LastContact(), UCONDB: LastContact()}, CARBON.if_enabled(settings)
        database = make_artdaqdb(settings.artdaq_db, settings.app.parallel_workers)
        artdaqdb = _noted(database, contacts[ARTDAQDB], carbon)
        async with starting(shutdown, patience, "opening artdaqDB", "artdaqDB was open"):
            with error_stage("Import"):
                await artdaqdb.open()
        stack.push_async_callback(artdaqdb.close)
        maker = _Maker(settings, journal, artdaqdb, shutdown, options)
        importer = maker.importer(schema)
        migration = None
        if options.migrating:
            _warn_of_tls(settings)
            pending = None
            async with starting(shutdown, patience, "making the client of UconDB", "the client of UconDB was made"):
                ucondb = await _connected(stack, _noted(make_ucondb(settings), contacts[UCONDB], carbon))
                if folder := settings.ucon_db.pending_folder_name:
                    client = make_ucondb(settings, folder)
                    pending = await _connected(stack, _noted(client, contacts[UCONDB], carbon))
            migration = maker.migration(ucondb, pending, importer, wakes[Effect.WAKE_MIGRATE])
        importing = maker.runner(Stage.IMPORT, importer, settings.app.parallel_workers, wakes[Effect.WAKE_IMPORT], None)
        state_files = make_state_files(settings, journal)
        gate = None if migration is None else migration.gate
        notifications = make_notifications(settings, journal, carbon, lambda: None if gate is None else not gate.shut)
        yield Parts(settings, lock, journal, state_files, artdaqdb, importing, migration, notifications, contacts)


def _noted(port: T, contact: LastContact, carbon: CarbonSender | None) -> T:
    """Return a database's port, with every call of it noted, and timed where figures are wanted."""
    adapter = type(port).__name__

    def on_call(call: ObservedCall) -> None:
        contact.note(call, time.time())
        subject = call.subject if isinstance(call.subject, (int, str)) else ""
        how = "answered" if call.error is None else f"failed: {type(call.error).__name__}"
        _log.debug(f"{adapter}: {call.method}({subject}) {how}", seconds=f"{call.seconds:.3f}")
        if carbon is not None:
            carbon.put(f"{adapter}.{call.method}.duration_ms", 1000.0 * call.seconds)

    return observed(port, on_call)


async def _connected(stack: contextlib.AsyncExitStack, ucondb: UconDB) -> UconDB:
    """Open a client until the stack is unwound."""
    with error_stage("Migration"):
        await ucondb.open()
    stack.push_async_callback(ucondb.close)
    return ucondb


def _patience(settings: Settings) -> RetrySchedule:
    """Return how failures are waited out."""
    return RetrySchedule(settings.app.run_process_retries, settings.app.retry_delay_seconds)


def make_state_files(settings: Settings, journal: Journal) -> StateFiles:
    """Return the keeper of the state files and failure logs."""

    async def retry(run: int, stage: Stage) -> None:
        await operator_actions.retry(journal, run, stage, log.get(TAGS[stage]))

    return StateFiles(journal, RealDisk(), stage_files(settings), retry)


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the runners of the stages."""

    settings: Settings
    journal: Journal
    artdaqdb: ArtdaqDB
    shutdown: Shutdown
    options: RunOptions

    @property
    def failing(self) -> FailurePolicy:
        return FailurePolicy(_patience(self.settings), time.time, random.uniform)

    def importer(self, schema: Schema) -> Importer:
        """Make the import stage."""
        settings = self.settings
        for name in unknown_converters(settings.fhiclize_generate):
            log.get("Import").warning(
                f"No converter found for configured file: {name} "
                "(take it out of fhiclize_generate; the file is treated like any other)"
            )
        return Importer(
            journal=self.journal,
            artdaqdb=self.artdaqdb,
            failing=self.failing,
            schema=schema,
            records=settings.source_files.run_records_dir,
            converted=settings.fhiclize_generate,
            unmatched=settings.artdaq_db.unmatched,
            cache=Cache(),
            drill=FaultInjector(settings.app_fuzz, random.uniform) if self.options.drilling else no_fault,
        )

    def migration(self, ucondb: UconDB, pending: UconDB | None, importer: Importer, wake: asyncio.Event) -> Migration:
        """Make the parts of the migration stage."""
        settings = self.settings
        gate = make_gate(settings, ucondb, wake.set)
        migrator = Migrator(
            journal=self.journal,
            artdaqdb=self.artdaqdb,
            ucondb=ucondb,
            gate=gate,
            failing=self.failing,
            required=settings.validation.required if self.options.validating else None,
            monotonic=time.monotonic,
        )
        workers = settings.ucon_db.max_concurrent_uploads + 1  # one gets its blob ready while the others upload
        runner = self.runner(Stage.MIGRATE, migrator, workers, wake, gate)
        first = None if pending is None else FirstPhase(self.journal, importer, pending, gate, self.failing)
        return Migration(ucondb, gate, runner, first)

    def runner(
        self, stage: Stage, work: Importer | Migrator, workers: int, wake: asyncio.Event, gate: Gate | None
    ) -> StageRunner:
        """Make the runner of a stage."""
        app = self.settings.app
        return StageRunner(
            stage=stage,
            journal=self.journal,
            work=work,
            workers=workers,
            capacity=min(app.batch_size, QUEUE_LIMIT),
            clock=time.time,
            shutdown=self.shutdown,
            logger=log.get(TAGS[stage]),
            gate=gate,
            until_idle=self.options.until_idle,
            patience_seconds=app.retry_delay_seconds,
            quick_retries=app.run_process_retries,
            wake=wake,
        )


def _warn_of_tls(settings: Settings) -> None:
    """Say loudly that anybody on the way to UconDB may read and change what goes there."""
    if not settings.ucon_db.verify_tls and settings.ucon_db.server_url.startswith("https:"):
        log.get("Migration").warning(
            "TLS IS NOT VERIFIED: ucon_db.verify_tls = false, so nobody knows which server gets the runs and the "
            "password (remove that line; ucon_db.ca_file names the certificates of a private authority)"
        )
