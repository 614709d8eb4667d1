"""Opens the parts of a process, from the settings: which adapter stands behind each port."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from archiverd import log
from archiverd.app.call_observer import LastContact, observed
from archiverd.app.destinations import settle
from archiverd.app.life import living
from archiverd.app.stages import StageMaker, retry_schedule
from archiverd.artdaqdb.backends import make_artdaqdb
from archiverd.artdaqdb.schema import load_schema
from archiverd.audit.elsewhere import LISTING_SECONDS, MOST_A_PASS, DestinationAudit, let_go
from archiverd.audit.scrub import Scrub
from archiverd.audit.scrub_plan import Pace
from archiverd.config.paths import journal_path, lock_path, stage_files
from archiverd.core.errors import ArchiverError, ArtdaqDBError, Retry, UconDBError, error_stage
from archiverd.core.machine import Effect, Stage
from archiverd.core.priority import longest_wait
from archiverd.detached import run_detached
from archiverd.disk import RealDisk
from archiverd.journal.journal import Journal
from archiverd.journal.state_files import TAGS, StateFiles
from archiverd.journal.summaries import ARTDAQDB, UCONDB
from archiverd.notify.notifications import Notifications, make_notifications
from archiverd.notify.registry import CARBON
from archiverd.pipeline import operator_actions
from archiverd.pipeline.stage_runner import PAUSE_SECONDS, StageRunner
from archiverd.process import work_dir
from archiverd.process.lock import LockFile, holding
from archiverd.process.shutdown import drain_limit, startup_step
from archiverd.ucondb.client import make_ucondb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from archiverd.app.call_observer import ObservedCall
    from archiverd.app.stages import Migration, RunOptions
    from archiverd.artdaqdb.port import ArtdaqDB
    from archiverd.config.models import Settings
    from archiverd.notify.carbon import CarbonSender
    from archiverd.process.shutdown import Shutdown
    from archiverd.ucondb.port import UconDB

T = TypeVar("T")

_log = log.get()

FIRST_PHASE_SECONDS = 0.5
"""Seconds between checks for runs whose first phase is due."""


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
    """None in a process that does not migrate."""
    notifications: Notifications
    contacts: Mapping[str, LastContact] = field(default_factory=dict)
    """When each database was last called, and how that ended."""

    @property
    def elsewhere(self) -> DestinationAudit:
        """What looks up and compares runs that were archived in other databases than the configured ones."""
        migration = self.migration
        return DestinationAudit(
            self.journal,
            self.artdaqdb,
            None if migration is None else migration.ucondb,
            None if migration is None else migration.gate,
            self.settings.source_files.run_records_dir,
            is_busy=lambda: any(runner.in_hand for runner in self.runners),
            is_paused=lambda: any(runner.paused for runner in self.runners),
        )

    async def look_elsewhere(self, shutdown: Shutdown) -> bool:
        """Look up some runs that were archived elsewhere; return whether some were let go. Raise ArchiverError."""
        try:
            before = time.time() - LISTING_SECONDS
            await self.elsewhere.look(shutdown, before=before, most=MOST_A_PASS)
        except (UconDBError, ArtdaqDBError) as error:
            log.failure(_log, error)
        gone = await let_go(self.journal, self.settings.source_files.run_records_dir, asked=False)
        return bool(gone.imported or gone.sent)

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
            await shutdown.rest(FIRST_PHASE_SECONDS)

    async def validate_others(self, shutdown: Shutdown, *, once: bool = False) -> None:
        """Validate the blobs that were proven without it, until a drain, or ``once``. Raise ArchiverError."""
        validator = None if self.migration is None else self.migration.validator
        if validator is None:
            return
        if once:
            await validator.make_up(shutdown)
        else:
            await validator.watch(shutdown)

    async def prove_again(self, shutdown: Shutdown) -> None:
        """Prove verified runs again, until a drain. Raise ArchiverError if the journal is damaged."""
        migration = self.migration
        if migration is None:
            return

        def may_read() -> bool:
            return not migration.gate.shut and not migration.runner.paused

        pace = Pace.of(self.settings.scrub)
        await Scrub(self.journal, migration.ucondb, pace, may_read, time.time).watch(shutdown)

    @contextlib.asynccontextmanager
    async def draining_in_time(self, shutdown: Shutdown) -> AsyncIterator[None]:
        """Cut the block short when a drain takes longer than it may, and log what is left to the next start."""
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
        """Probe UconDB while it is left alone, until cancelled; its hold is written to the journal for readers."""
        if self.migration is not None:
            gate = self.migration.gate
            await gate.attend(lambda hold: self.journal.hold(gate.name, hold))


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, shutdown: Shutdown, options: RunOptions, drain_seconds: float
) -> AsyncIterator[Parts]:
    """Take the lock, open everything, give the parts, and close everything in the opposite order.

    After a stop, opening is abandoned in ``drain_seconds``. Raise ArchiverError (LockExistsError,
    ConfigurationError, ArtdaqDBError, …) when something cannot be opened.
    """
    work_dir.prepare(settings.app)
    async with startup_step(shutdown, drain_seconds, "reading schema.fcl", "schema.fcl was read"):
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
            longest_wait=longest_wait(retry_schedule(settings)),
        )
        await journal.open()
        stack.push_async_callback(journal.close)
        await settle(journal, settings)
        hands = await stack.enter_async_context(living(settings, journal, shutdown))
        contacts, carbon = {ARTDAQDB: LastContact(), UCONDB: LastContact()}, CARBON.if_enabled(settings)
        database = make_artdaqdb(settings.artdaq_db, settings.app.parallel_workers)
        artdaqdb = _noted(database, contacts[ARTDAQDB], carbon)
        async with startup_step(shutdown, drain_seconds, "opening artdaqDB", "artdaqDB was open"):
            with error_stage("Import"):
                await artdaqdb.open()
        stack.push_async_callback(artdaqdb.close)
        maker = StageMaker(settings, journal, artdaqdb, shutdown, options, hands)
        importer = maker.importer(schema)
        migration = None
        if options.migrating:
            _warn_of_tls(settings)
            pending = None
            async with startup_step(
                shutdown, drain_seconds, "making the client of UconDB", "the client of UconDB was made"
            ):
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
    """Return a database's port whose calls are noted in ``contact`` and timed for ``carbon``, if that is there."""
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


def make_state_files(settings: Settings, journal: Journal) -> StateFiles:
    """Return the state files and failure logs of both stages."""

    async def retry(run: int, stage: Stage) -> None:
        await operator_actions.retry(journal, run, stage, log.get(TAGS[stage]))

    return StateFiles(journal, RealDisk(), stage_files(settings), retry)


def _warn_of_tls(settings: Settings) -> None:
    """Log a warning that anybody on the way to UconDB may read and change what goes there."""
    if not settings.ucon_db.verify_tls and settings.ucon_db.server_url.startswith("https:"):
        log.get("Migration").warning(
            "TLS IS NOT VERIFIED: ucon_db.verify_tls = false, so nobody knows which server gets the runs and the "
            "password (remove that line; ucon_db.ca_file names the certificates of a private authority)"
        )
