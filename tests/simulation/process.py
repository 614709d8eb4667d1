"""One life of the process: the daemon's parts, wired as app/ and daemon/ do, among doubles for what is outside."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from archiverd import log
from archiverd.app.destinations import settle
from archiverd.app.operations import rearchive
from archiverd.artdaqdb.filesystem import store as artdaqdb_store
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.schema import load_schema
from archiverd.audit import directory as directory_comparison
from archiverd.audit import directory_audit, elsewhere, recovery, scrub, scrub_plan
from archiverd.audit.directory_audit import DirectoryAudit
from archiverd.audit.elsewhere import DestinationAudit
from archiverd.audit.scrub import Scrub
from archiverd.audit.scrub_plan import Pace
from archiverd.core.environment import Environment
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import Effect, Stage
from archiverd.core.priority import RetrySchedule
from archiverd.journal import journal as journals
from archiverd.journal.journal import Journal
from archiverd.journal.state_files import StateFiles
from archiverd.pipeline import importer, operator_actions
from archiverd.pipeline.failure_policy import FailurePolicy
from archiverd.pipeline.gate import Gate
from archiverd.pipeline.importer import Importer
from archiverd.pipeline.migrator import Migrator
from archiverd.pipeline.stage_runner import StageRunner
from archiverd.process import mounts
from archiverd.process.shutdown import Shutdown
from archiverd.runrecord import directory, listing, record, snapshot
from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.preparation import ConversionCache
from archiverd.ucondb import client as ucondb_client
from archiverd.ucondb.client import HttpUconDB
from archiverd.watch import directory_scan, late_stops, watcher
from archiverd.watch.ages import Timekeeper
from archiverd.watch.late_stops import LateStopWatcher
from archiverd.watch.open_runs import completion_waits
from archiverd.watch.watcher import CHECK_SECONDS, Watcher
from tests.simulation.doubles import Ledger, Line, Unreliable
from tests.simulation.operators import operate
from tests.simulation.world import Inline, at_once

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.artdaqdb.port import ArtdaqDB
    from tests.simulation.life import Detector
    from tests.simulation.world import World

BOOKS_SECONDS = 7200.0
ROUND_SECONDS = 7200.0
"""Between two rounds of an audit: every few minutes of so many years would take too long."""
LIVELY_SECONDS = 3.0
"""How long after somebody wrote the watch looks every half second, as it always does in a real daemon."""
WAITING_SECONDS, IDLE_SECONDS = 30.0, 3600.0
"""Between two looks while a record with its stop line is waited for, and while there is none."""
SCRUB_SECONDS = 3600.0
"""Longest wait of the scrub between two looks at its plan."""
SCHEMA = load_schema(None)


def surroundings(detector: Detector) -> ExitStack:
    """Put the doubles in the place of the journal's file and thread, of the file server, and of the wire to UconDB."""
    world, files = detector.world, detector.files
    stack = ExitStack()
    opened = mock.Mock(return_value=detector.file)
    stack.enter_context(mock.patch.multiple(journals, open_sound=opened, Writer=functools.partial(Ledger, world)))
    line = mock.Mock(return_value=Line(world, detector.server))
    stack.enter_context(mock.patch.object(ucondb_client, "HttpExchange", line))
    stack.enter_context(mock.patch.object(ucondb_client, "tls_context", mock.Mock(return_value=None)))  # 40 ms a start
    for module in (directory, listing, snapshot, directory_scan, watcher, directory_comparison):
        stack.enter_context(mock.patch.object(module, "os", files.os))
    stack.enter_context(mock.patch.object(record, "os", files.reading_os))
    stack.enter_context(mock.patch.object(mounts, "is_network", mock.Mock(return_value=detector.network)))
    for module in (importer, watcher, late_stops, directory_audit, elsewhere, recovery, rearchive):
        stack.enter_context(mock.patch.object(module, "run_detached", at_once))
    for module, name, seconds in (
        (artdaqdb_store, "SHORTEST_PUBLISH_SECONDS", 30.0),
        (directory_audit, "ROUND_SECONDS", ROUND_SECONDS),
        (elsewhere, "ROUND_SECONDS", ROUND_SECONDS),
        (elsewhere, "AGAIN_SECONDS", 600.0),
        (scrub, "STANDSTILL_WAITS", 2),
    ):
        stack.enter_context(mock.patch.object(module, name, seconds))
    for module in (scrub, scrub_plan):
        stack.enter_context(mock.patch.object(module, "longest_wait", mock.Mock(return_value=SCRUB_SECONDS)))
    return stack


def _audit(journal: Journal, records: Path, world: World) -> DirectoryAudit:
    return DirectoryAudit(journal, records, world.wall, world.uptime, asyncio.sleep, f"boot {world.boot}")


def _scrub(journal: Journal, ucondb: HttpUconDB, gate: Gate, detector: Detector) -> Scrub:
    pace = Pace.of(detector.settings.scrub)
    return Scrub(journal, ucondb, pace, lambda: not gate.shut, detector.world.wall, lambda _: 12.0)


def _elsewhere(
    journal: Journal, artdaqdb: ArtdaqDB, ucondb: HttpUconDB, gate: Gate, detector: Detector
) -> DestinationAudit:
    records = detector.settings.source_files.run_records_dir
    return DestinationAudit(journal, artdaqdb, ucondb, gate, records, clock=detector.world.wall)


@dataclass(eq=False)
class Process:
    """One life of the daemon; ``until`` it is to end at the latest, in seconds of the world."""

    detector: Detector
    until: float
    at_work: bool = False
    """Whether it has come so far that nothing but a kill may end it."""
    _news: asyncio.Event = field(init=False)
    _heard: float = -1e12
    """When somebody wrote a record last."""
    _looked: float = -1e12
    """When the watch looked last."""

    async def run(self) -> None:
        """Live until killed."""
        detector, world = self.detector, self.detector.world
        self._news = asyncio.Event()
        wakes = {Effect.WAKE_IMPORT: asyncio.Event(), Effect.WAKE_MIGRATE: asyncio.Event()}
        journal = Journal(
            detector.root / "journal",
            clock=world.wall,
            on_effect=lambda effect: effect in wakes and wakes[effect].set(),
        )
        await journal.open()
        await settle(journal, detector.settings)
        await journal.recover()
        artdaqdb = FileSystemDB(
            f"filesystemdb://{detector.root}/artdaqdb",
            disk=detector.disk,
            clock=lambda: datetime.fromtimestamp(world.time(), UTC),
            new_oid=lambda: f"{world.dice.getrandbits(96):024x}",
        )
        artdaqdb._writer = artdaqdb._tree._writers = Inline(1)
        try:
            await artdaqdb.open()
            await self._work(journal, artdaqdb, wakes)
        finally:
            artdaqdb._tree._release_lock()  # a dead process holds no lock

    async def _work(self, journal: Journal, artdaqdb: FileSystemDB, wakes: dict[Effect, asyncio.Event]) -> None:
        """Run the stages and let things happen."""
        detector, world, settings = self.detector, self.detector.world, self.detector.settings
        timekeeper = Timekeeper(world.wall, world.uptime, lambda: f"boot {world.boot}")
        shutdown = Shutdown(world.time)
        watcher = Watcher(settings, journal, shutdown, timekeeper)
        await watcher.find_all()
        self.at_work = True
        failing = FailurePolicy(RetrySchedule(2, 3.0), world.wall, world.dice.uniform)
        ucondb = HttpUconDB(settings.ucon_db, rereads=2, cnonce=lambda: "0" * 16)
        await ucondb.open()
        gate = self._gate(ucondb, wakes[Effect.WAKE_MIGRATE])
        unreliable = cast("ArtdaqDB", Unreliable(world, artdaqdb, detector.demand_intent))
        waits = completion_waits(settings)
        records = settings.source_files.run_records_dir
        importer = Importer(
            journal, unreliable, failing, SCHEMA, records, BY_DEFAULT, "archive", ConversionCache(), waits
        )
        migrator = Migrator(journal, unreliable, ucondb, gate, failing, None, world.time)

        def runner(stage: Stage, work: Any, wake: Effect, before: Gate | None) -> StageRunner:
            return StageRunner(
                stage, journal, work, 2, 4, world.wall, shutdown, log.get(), gate=before, wake=wakes[wake]
            )

        async with asyncio.TaskGroup() as group:
            group.create_task(runner(Stage.IMPORT, importer, Effect.WAKE_IMPORT, None).run())
            group.create_task(runner(Stage.MIGRATE, migrator, Effect.WAKE_MIGRATE, gate).run())
            group.create_task(gate.attend(lambda hold: journal.hold("UconDB", hold)))
            group.create_task(self._watch(watcher))
            group.create_task(LateStopWatcher(settings, journal, timekeeper).watch())
            group.create_task(_audit(journal, records, world).watch())
            group.create_task(self._keep_state_files(journal))
            group.create_task(_scrub(journal, ucondb, gate, self.detector).watch(shutdown))
            group.create_task(_elsewhere(journal, unreliable, ucondb, gate, self.detector).watch(shutdown))
            group.create_task(operate(detector, journal, unreliable))
            group.create_task(detector.agenda.pass_by(functools.partial(self._look, watcher), self._hear))

    def _hear(self) -> None:
        self._heard = self.detector.world.time()
        self._news.set()

    async def _look(self, watcher: Watcher) -> None:
        """Look as the watch would have done a moment ago."""
        if self.detector.world.time() - self._looked > CHECK_SECONDS:
            await self._tick(watcher)

    async def _tick(self, watcher: Watcher) -> None:
        self._looked = self.detector.world.time()
        await watcher._tick(hinted=False)

    async def _watch(self, watcher: Watcher) -> None:
        """Look as the watch does, and seldom while nobody writes."""
        world = self.detector.world
        while True:
            waiting = any(seen.kept is None and seen.look is not None for seen in watcher._open.values())
            wait = WAITING_SECONDS if waiting else IDLE_SECONDS
            if world.time() - self._heard < LIVELY_SECONDS or watcher._check_in < CHECK_SECONDS:
                wait = watcher._check_in
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), wait)
                await asyncio.sleep(world.dice.uniform(0.0, CHECK_SECONDS))
            await self._tick(watcher)

    def _gate(self, ucondb: HttpUconDB, wake: asyncio.Event) -> Gate:
        async def probe(*, login_only: bool) -> None:
            await (ucondb.check_login() if login_only else ucondb.check_server())

        world = self.detector.world
        environment = Environment(world.wall, world.time, world.dice.uniform)
        return Gate("UconDB", 2, probe, environment, log.get(), wake.set)

    async def _keep_state_files(self, journal: Journal) -> None:
        """Keep state files and failure logs, which operators edit and editors damage."""
        detector = self.detector

        async def retry(run: int, stage: Stage) -> None:
            await operator_actions.retry(journal, run, stage, log.get())

        state_files = StateFiles(journal, detector.disk, tuple(detector.state_files.values()), retry)
        while True:
            with contextlib.suppress(ArchiverError, OSError):  # said once in the log, and tried again
                await state_files.synchronise()
            await asyncio.sleep(BOOKS_SECONDS)
            detector.edit_state_files()
