"""A detector's life, day after day: runs end, the process is killed and started again, UconDB comes and goes.

Afterwards the world is peaceful, what is left is finished, and everything is held against what must be so: every run
in both databases, once, its bytes those that were proven; no put without an intent before it (I4); nothing called
verified that is not there (I1); and no human was needed (I6).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from pydantic import SecretStr

from archiverd import log
from archiverd.artdaqdb.filesystem import store as artdaqdb_store
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.schema import load_schema
from archiverd.config.models import UconDb
from archiverd.config.paths import StageFiles
from archiverd.core.environment import Environment
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import Effect, Event, Stage, State
from archiverd.core.priority import Lane, RetrySchedule
from archiverd.journal import journal as journals
from archiverd.journal.journal import Journal
from archiverd.journal.queries import select_states
from archiverd.journal.schema import upgrade
from archiverd.journal.state_files import StateFiles
from archiverd.journal.transitions import Transition
from archiverd.pipeline import importer, operator_actions
from archiverd.pipeline.failure_policy import FailurePolicy
from archiverd.pipeline.gate import Gate
from archiverd.pipeline.importer import Importer
from archiverd.pipeline.migrator import Migrator
from archiverd.pipeline.stage_runner import StageRunner
from archiverd.process.shutdown import Shutdown
from archiverd.runrecord.completeness import CompletionWaits
from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.preparation import ConversionCache
from archiverd.ucondb import client as ucondb_client
from archiverd.ucondb.client import HttpUconDB
from tests.simulation.disk import ForgetfulDisk
from tests.simulation.doubles import Ledger, Line, Server, Unreliable, sha256
from tests.simulation.promises import check_end, check_verified
from tests.simulation.world import DAY, Inline, World, at_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archiverd.artdaqdb.port import ArtdaqDB
    from archiverd.journal.rows import RunRow

FINISHING_DAYS = 2.0
BOOKS_SECONDS = 7200.0
FOREIGN = b"what somebody else stored under this key"
SCHEMA = load_schema(None)
UCON_DB = UconDb(
    server_url="http://ucon/sim/app",
    folder_name="sim",
    object_name="o",
    writer_user="writer",
    writer_password=SecretStr("secret"),
)
WAITS = CompletionWaits()
METADATA = "Config name: sim\nDAQInterface start time: {start}\nDAQInterface stop time: {stop}\n"


@dataclass
class Rates:
    """How much happens a day."""

    runs: float = 3.0
    kills: float = 1.0
    outages: float = 0.3
    foreign: float = 0.02
    """Runs whose key somebody else takes first."""


WILD = Rates(runs=20.0, kills=6.0, outages=2.0, foreign=0.1)
"""Days on which hardly anything works."""


class BrokenPromiseError(AssertionError):
    """Something that must be so is not."""


@dataclass
class Detector:
    """One detector with its archive; ``root`` is an empty directory."""

    world: World
    root: Path
    rates: Rates = field(default_factory=Rates)

    def __post_init__(self) -> None:
        self.records = self.root / "records"
        self.records.mkdir()
        self.disk = ForgetfulDisk(self.world)
        self.server = Server(self.world, watch=self._on_put)
        self.file = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.file.row_factory = sqlite3.Row
        upgrade(self.file)
        self.synced = sqlite3.connect(":memory:", isolation_level=None)
        """The journal as it was when the present life began."""
        self.ended: dict[int, int] = {}
        """What the record of each ended run holds that no other does."""
        self.at_work = False
        """Whether the process has come so far that nothing but a kill may end it."""
        self.foreign: set[int] = set()
        self.next_run = 1000
        self.state_files = {
            stage: StageFiles(stage, self.root / f"{stage}_state.json", self.root / f"{stage}_failures.log")
            for stage in Stage
        }

    def close(self) -> None:
        """Put everything away."""
        self.file.close()
        self.synced.close()
        shutil.rmtree(self.root)

    def rows(self) -> dict[int, RunRow]:
        """Return what the journal holds, as it would after a crash now."""
        return {row.run: row for row in select_states(self.file, list(State))}

    def demand(self, what: str, *, so: bool) -> None:
        """Raise BrokenPromiseError unless it is so."""
        if not so:
            raise BrokenPromiseError(what)

    def _on_put(self, key: str, data: bytes) -> None:
        """A put arrives: its intent must have been durable before (I4)."""
        row = self.rows().get(int(key))
        told = row is not None and row.puts > 0 and row.blob_sha256 == sha256(data)
        self.demand(f"run {key} was sent without an intent that names its bytes", so=told)

    def _intended(self, run: int) -> None:
        """Something is to be stored in artdaqDB: its intent must be durable (I4)."""
        row = self.rows().get(run)
        told = row is not None and row.state is State.IMPORTING
        self.demand(f"run {run} went to artdaqDB without an intent", so=told)

    def play(self, days: int) -> None:
        """Let so many days pass, with faults; then finish in peace and check."""
        dice, world = self.world.dice, self.world
        end = world.now + days * DAY
        with self._surroundings():
            while world.now < end:
                until = min(end, world.now + dice.expovariate(self.rates.kills / DAY))
                world.kill_at = dice.randrange(1, 400) if dice.random() < 0.7 else None
                self.at_work = False
                self.file.backup(self.synced)
                try:
                    world.live(self._process(until), until)
                except ArchiverError as error:  # it could not start, said so, and is started again
                    self.demand(f"the daemon ended by itself: {error}", so=not self.at_work)
                self._power_may_go()
                check_verified(self)
                world.now += dice.uniform(0.0, 3600.0)
            world.peaceful = True
            world.kill_at = None
            world.live(self._process(world.now), world.now + FINISHING_DAYS * DAY)
        check_end(self)

    def _power_may_go(self) -> None:
        """Let the process have been killed alone, or with everything; what was acknowledged stays."""
        before = {run for run, row in self.rows().items() if row.state is State.VERIFIED}
        if self.world.dice.random() < 0.5:
            self.power_cut()
        after = {run for run, row in self.rows().items() if row.state is State.VERIFIED}
        self.demand(f"runs {before - after} were acknowledged and are forgotten", so=before <= after)

    def power_cut(self) -> None:
        """Let the power go: the disk forgets. SQLite has synced what it committed."""
        self.disk.power_cut()

    def _surroundings(self) -> Any:
        """Put the doubles in the place of the journal's file and thread, and of the wire to UconDB."""
        opened = mock.Mock(return_value=self.file)
        stack = mock.patch.multiple(journals, open_sound=opened, Writer=functools.partial(Ledger, self.world))
        wire = mock.patch.object(ucondb_client, "HttpExchange", mock.Mock(return_value=Line(self.world, self.server)))
        publish = mock.patch.object(artdaqdb_store, "SHORTEST_PUBLISH_SECONDS", 30.0)
        return _Together(stack, wire, publish, mock.patch.object(importer, "run_detached", at_once))

    async def _process(self, until: float) -> None:
        """One life of the process, with the world around it."""
        world = self.world
        wakes = {Effect.WAKE_IMPORT: asyncio.Event(), Effect.WAKE_MIGRATE: asyncio.Event()}
        journal = Journal(
            self.root / "journal", clock=world.time, on_effect=lambda effect: effect in wakes and wakes[effect].set()
        )
        await journal.open()
        await journal.recover()
        artdaqdb = FileSystemDB(
            f"filesystemdb://{self.root}/artdaqdb",
            disk=self.disk,
            clock=lambda: datetime.fromtimestamp(world.time(), UTC),
            new_oid=lambda: f"{world.dice.getrandbits(96):024x}",
        )
        artdaqdb._writer = artdaqdb._tree._writers = Inline(1)
        try:
            await artdaqdb.open()
            await self._work(journal, artdaqdb, wakes, until)
        finally:
            artdaqdb._tree._release_lock()  # a dead process holds no lock

    async def _work(
        self, journal: Journal, artdaqdb: FileSystemDB, wakes: dict[Effect, asyncio.Event], until: float
    ) -> None:
        """Run the stages and let things happen."""
        world = self.world
        self.at_work, self.news = True, asyncio.Event()
        failing = FailurePolicy(RetrySchedule(2, 3.0), world.time, world.dice.uniform)
        ucondb = HttpUconDB(UCON_DB, rereads=2, cnonce=lambda: "0" * 16)
        await ucondb.open()
        gate = self._gate(ucondb, wakes[Effect.WAKE_MIGRATE])
        unreliable = cast("ArtdaqDB", Unreliable(world, artdaqdb, self._intended))
        importer = Importer(
            journal, unreliable, failing, SCHEMA, self.records, BY_DEFAULT, "archive", ConversionCache(), WAITS
        )
        migrator = Migrator(journal, unreliable, ucondb, gate, failing, None, world.time)
        shutdown = Shutdown(world.time)

        def runner(stage: Stage, work: Any, wake: Effect, before: Gate | None) -> StageRunner:
            return StageRunner(
                stage, journal, work, 2, 4, world.time, shutdown, log.get(), gate=before, wake=wakes[wake]
            )

        async with asyncio.TaskGroup() as group:
            group.create_task(runner(Stage.IMPORT, importer, Effect.WAKE_IMPORT, None).run())
            group.create_task(runner(Stage.MIGRATE, migrator, Effect.WAKE_MIGRATE, gate).run())
            group.create_task(gate.attend(lambda hold: journal.hold("UconDB", hold)))
            group.create_task(self._watch(journal))
            group.create_task(self._runs_end(until))
            group.create_task(self._keep_state_files(journal))
            group.create_task(self._outages(until))

    def _gate(self, ucondb: HttpUconDB, wake: asyncio.Event) -> Gate:
        async def probe(*, login_only: bool) -> None:
            await (ucondb.check_login() if login_only else ucondb.check_server())

        environment = Environment(self.world.time, self.world.time, self.world.dice.uniform)
        return Gate("UconDB", 2, probe, environment, log.get(), wake.set)

    async def _watch(self, journal: Journal) -> None:
        """Tell the journal of the runs that ended, as the watch does: what cannot be written is tried again."""
        lane = Lane.BACKLOG
        while True:
            self.news.clear()
            try:
                await self._see(journal, lane)
            except ArchiverError:
                await asyncio.sleep(0.5)
                continue
            lane = Lane.FRESH
            await self.news.wait()

    async def _see(self, journal: Journal, lane: Lane) -> None:
        known = await journal.known()
        new = [run for run in self.ended if run not in known]
        await journal.see(new, lane)
        still_open = [run for run in self.ended if known.get(run, State.OPEN) is State.OPEN]
        await journal.record(*(Transition(run, Event.ENDED) for run in still_open))

    async def _runs_end(self, until: float) -> None:
        """Let runs end, now and then."""
        world = self.world
        while world.time() < until:
            await asyncio.sleep(world.dice.expovariate(self.rates.runs / DAY))
            if world.time() >= until:
                return
            self._run_ends()
            self.news.set()

    def _run_ends(self) -> int:
        """Write the record of a run that has ended; its number leaves gaps."""
        run = self.next_run
        self.next_run += self.world.dice.choice((1, 1, 1, 2, 7))
        directory = self.records / str(run)
        directory.mkdir()
        self.ended[run] = 10 * self.world.dice.randrange(10**7, 10**8) + 7
        start, stop = (datetime.fromtimestamp(self.world.time() - ago, UTC).ctime() for ago in (3600, 5))
        (directory / "metadata.txt").write_text(METADATA.format(start=start, stop=stop))
        (directory / "component01.fcl").write_text(f"a: {run}\nb: [ 1, 2, {{ c: {self.ended[run]} }} ]\n")
        if self.world.chance(self.rates.foreign):
            self.foreign.add(run)
            self.server.put(str(run), FOREIGN)
        return run

    async def _keep_state_files(self, journal: Journal) -> None:
        """Keep state files and failure logs, which operators edit and editors damage."""
        state_files = StateFiles(
            journal, self.disk, tuple(self.state_files.values()), functools.partial(_retry, journal)
        )
        while True:
            with contextlib.suppress(ArchiverError, OSError):  # said once in the log, and tried again
                await state_files.synchronise()
            await asyncio.sleep(BOOKS_SECONDS)
            self._operators_edit()

    def _operators_edit(self) -> None:
        """Let somebody empty a failure log, add a number, damage a file, or think the state file means something."""
        world = self.world
        files = world.dice.choice(list(self.state_files.values()))
        for share, path, text in (
            (0.02, files.failures, ""),
            (0.02, files.failures, f"{world.dice.choice([*self.ended, 1])}\n"),
            (0.01, files.failures, "12a4\n"),
            (0.01, files.state, '{"last_contiguous_run": 0, "last_attempted_run": 0}'),
            (0.01, files.state, '{"last_conti'),
        ):
            if world.chance(share):
                path.write_text(text)

    async def _outages(self, until: float) -> None:
        """Let UconDB go away for minutes or days."""
        world = self.world
        while world.time() < until:
            await asyncio.sleep(world.dice.expovariate(self.rates.outages / DAY))
            self.server.away_until = world.time() + world.dice.expovariate(1 / 7200.0)


class _Together:
    """Several patches as one."""

    def __init__(self, *patches: Any) -> None:
        self._patches = patches

    def __enter__(self) -> None:
        for one in self._patches:
            one.__enter__()

    def __exit__(self, *ended: object) -> None:
        for one in reversed(self._patches):
            one.__exit__(*ended)


async def _retry(journal: Journal, run: int, stage: Stage) -> None:
    await operator_actions.retry(journal, run, stage, log.get())


def play(seed: int, days: int, root: Path, rates: Rates | None = None) -> Iterator[str]:
    """Let one detector live for so many days; yield what happened, in words. Raise BrokenPromiseError."""
    world = World(seed)
    detector = Detector(world, root, rates or Rates())
    try:
        detector.play(days)
        effects, faults = sum(world.effects.values()), sum(world.faults.values())
        yield f"{len(detector.ended)} runs, {len(detector.foreign)} keys taken, {effects} effects, {faults} faults"
    finally:
        detector.close()
