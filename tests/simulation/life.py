"""A detector's life, day after day: runs are written, the process is killed and started again, everything fails.

Afterwards the world is peaceful, what is left is finished, and everything is held against what must be so: see
``promises``. No put and no import may happen without an intent before it (I4), and no human may be needed (I6).
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd.config.models import Settings
from archiverd.config.paths import StageFiles
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import Stage, State
from archiverd.journal.proofs import select_standstill
from archiverd.journal.queries import select_run, select_runs_in, select_states
from archiverd.journal.schema import upgrade
from tests.simulation.agenda import Agenda
from tests.simulation.disk import ForgetfulDisk
from tests.simulation.doubles import sha256
from tests.simulation.edits import Editors
from tests.simulation.process import Process, surroundings
from tests.simulation.promises import check_end, check_running, check_verified
from tests.simulation.records import Record, Scribe
from tests.simulation.server import FOREIGN, Server
from tests.simulation.shelf import Shelf
from tests.simulation.tree import FileServer
from tests.simulation.weather import Weather
from tests.simulation.world import DAY, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archiverd.journal.rows import RunRow

FINISHING_DAYS = 2.0


@dataclass
class Rates:
    """How much happens a day."""

    runs: float = 3.0
    kills: float = 1.0
    outages: float = 0.3
    foreign: float = 0.02
    """Runs whose key somebody else takes first."""
    edits: float = 0.7
    """What befalls directories of runs that have ended."""
    harm: float = 0.15
    """What befalls versions in UconDB."""
    jumps: float = 0.05
    """Of each clock."""
    mounts: float = 0.05
    switches: float = 0.04
    """Of the folder that is configured."""


WILD = Rates(runs=20.0, kills=6.0, outages=2.0, foreign=0.1, edits=6.0, harm=1.5, jumps=0.5, mounts=0.3, switches=0.3)
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
        world = self.world
        self.next_folder = "sim"
        """The folder that the configuration names at the next start."""
        self.settings = _settings(self.root, self.next_folder)
        self.network = world.dice.random() < 0.5
        """Whether the run records are on a network file system."""
        self.files = FileServer(self.root / "records", world.server_time)
        self.agenda = Agenda(world)
        self.scribe = Scribe(world, self.agenda, self.files, lambda: self.watched)
        self.disk = ForgetfulDisk(world)
        self.server = Server(world)
        self.server.watch = self._on_put  # type: ignore[method-assign]
        self.file = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.file.row_factory = sqlite3.Row
        upgrade(self.file)
        self.synced = sqlite3.connect(":memory:", isolation_level=None)
        """The journal as it was when the present life began."""
        self.records: dict[int, Record] = {}
        """By run, the record that its directory holds."""
        self.replaced: dict[int, list[Record]] = {}
        """By run, the records that its directory held before, of runs with the same number."""
        self._watched = self._lived = 0.0
        self._seen_since: float | None = None
        """Since when a process has lived that can see the run records."""
        self.configured: str | None = None
        """The folder that the journal was last told is configured; None if that is not certain."""
        self.foreign: set[int] = set()
        self.next_run = 1000
        self.state_files = {
            stage: StageFiles(stage, self.root / f"{stage}_state.json", self.root / f"{stage}_failures.log")
            for stage in Stage
        }
        self.editors, self.shelf, self.weather = Editors(self), Shelf(self), Weather(self)
        self.files.on_read = self.editors.disturb_reader

    @property
    def watched(self) -> float:
        """The seconds in which a process could have seen the run records."""
        return self._watched + (0.0 if self._seen_since is None else self.world.time() - self._seen_since)

    @property
    def lived(self) -> float:
        """The seconds in which a process could prove runs again: one that lived, and did not stand still."""
        return self._lived + (self.world.time() - self.world.now)

    def unmount(self, trouble: int) -> None:
        """Let the run records be gone: an error for every access, 0 for an empty mount point."""
        self._watched, self._seen_since = self.watched, None
        if trouble:
            self.files.trouble = trouble
        else:
            self.files.unmount()

    def mount(self) -> None:
        """Let the run records be there again."""
        self.files.mount()
        if self.world.loop is not None and self._seen_since is None:
            self._seen_since = self.world.time()

    def close(self) -> None:
        """Put everything away."""
        self.file.close()
        self.synced.close()
        shutil.rmtree(self.root)

    def rows(self) -> dict[int, RunRow]:
        """Return what the journal holds, as it would after a crash now."""
        return {row.run: row for row in select_states(self.file, list(State))}

    def is_verified(self, run: int) -> bool:
        """Tell whether the journal calls a run verified."""
        row = select_run(self.file, run)
        return row is not None and row.state is State.VERIFIED

    def is_imported_first(self, run: int) -> bool:
        """Tell whether a run is just being imported, for the first time."""
        row = select_run(self.file, run)
        return row is not None and row.state is State.IMPORTING and row.imported_at is None

    def demand(self, what: str, *, so: bool) -> None:
        """Raise BrokenPromiseError unless it is so."""
        if not so:
            raise BrokenPromiseError(what)

    def _on_put(self, _folder: str, key: str, data: bytes) -> None:
        """A put arrives: its intent must have been durable before (I4)."""
        row = select_run(self.file, int(key))
        told = row is not None and row.puts > 0 and row.blob_sha256 == sha256(data)
        self.demand(f"run {key} was sent without an intent that names its bytes", so=told)

    def demand_intent(self, run: int) -> None:
        """Something is to be stored in artdaqDB: its intent must be durable (I4)."""
        row = select_run(self.file, run)
        told = row is not None and row.state is State.IMPORTING
        self.demand(f"run {run} went to artdaqDB without an intent", so=told)

    def play(self, days: int) -> None:
        """Let so many days pass, with faults; then finish in peace and check."""
        dice, world = self.world.dice, self.world
        end = world.now + days * DAY
        self.agenda.after(dice.expovariate(self.rates.runs / DAY), self._run_begins)
        for faults in (self.editors, self.shelf, self.weather):
            faults.begin()
        with surroundings(self):
            while world.now < end:
                until = min(end, world.now + dice.expovariate(self.rates.kills / DAY))
                world.kill_at = dice.randrange(1, 400) if dice.random() < 0.7 else None
                self.file.backup(self.synced)
                self._live(until)
                self._power_may_go()
                check_running(self)
                check_verified(self)
                self.agenda.catch_up(world.now + dice.uniform(0.0, 3600.0))
            world.peaceful = True
            world.kill_at = None
            self.weather.clear()
            self._live(world.now + FINISHING_DAYS * DAY)
        check_end(self)

    def _live(self, until: float) -> None:
        """Let one process live."""
        world, begun = self.world, self.world.now
        self.settings = _settings(self.root, self.next_folder)
        process = Process(self, until)
        stood = select_standstill(self.file) is not None
        self._seen_since = begun if self.files.mounted else None
        try:
            world.live(process.run(), until)
        except ArchiverError as error:  # it could not start, said so, and is started again
            self.demand(f"the daemon ended by itself: {error}", so=not process.at_work)
        self.configured = self.settings.ucon_db.folder_name if process.at_work else None
        self._watched, self._seen_since = self.watched, None
        if not stood and select_standstill(self.file) is None:
            self._lived += world.now - begun

    def _power_may_go(self) -> None:
        """Let the process have been killed alone, or with everything; what was acknowledged stays."""
        before = set(select_runs_in(self.file, State.VERIFIED))
        if self.world.dice.random() < 0.5:
            self.power_cut()
            self.world.reboot()
        after = set(select_runs_in(self.file, State.VERIFIED))
        self.demand(f"runs {before - after} were acknowledged and are forgotten", so=before <= after)

    def power_cut(self) -> None:
        """Let the power go: the disk forgets. SQLite has synced what it committed."""
        self.disk.power_cut()

    def _run_begins(self) -> None:
        """Let somebody write the record of a run; its number leaves gaps."""
        dice = self.world.dice
        if self.world.peaceful:
            return
        run = self.next_run
        self.next_run += dice.choice((1, 1, 1, 2, 7))
        self.records[run] = self.scribe.begin(run, self._run_ended)
        self.agenda.after(dice.expovariate(self.rates.runs / DAY), self._run_begins)

    def _run_ended(self, record: Record) -> None:
        """The record of a run is whole; somebody else may have taken its key."""
        if self.world.chance(self.rates.foreign) and self.server.put(str(record.run), FOREIGN, self.next_folder):
            self.foreign.add(record.run)

    def replace(self, record: Record) -> None:
        """Let another run be written under the number of one that is archived."""
        self.files.drop(str(record.run))
        self.replaced.setdefault(record.run, []).append(record)
        self.records[record.run] = self.scribe.begin(record.run, lambda _: None)

    def edit_state_files(self) -> None:
        """Let somebody empty a failure log, add a number, damage a file, or think the state file means something."""
        world = self.world
        files = world.dice.choice(list(self.state_files.values()))
        for share, path, text in (
            (0.02, files.failures, ""),
            (0.02, files.failures, f"{world.dice.choice([*self.records, 1])}\n"),
            (0.01, files.failures, "12a4\n"),
            (0.01, files.state, '{"last_contiguous_run": 0, "last_attempted_run": 0}'),
            (0.01, files.state, '{"last_conti'),
        ):
            if world.chance(share):
                path.write_text(text)


def _settings(root: Path, folder: str) -> Settings:
    """Return the settings of a detector below ``root``."""
    return Settings.model_validate(
        {
            "app": {"work_dir": root},
            "source_files": {"run_records_dir": root / "records"},
            "artdaq_db": {"database_uri": f"filesystemdb://{root}/artdaqdb"},
            "watch": {"mode": "poll", "rescan_seconds": 3600.0, "poll_seconds": 60.0},
            "ucon_db": {
                "server_url": "http://ucon/sim/app",
                "folder_name": folder,
                "object_name": "o",
                "writer_user": "writer",
                "writer_password": "secret",
            },
        }
    )


def play(seed: int, days: int, root: Path, rates: Rates | None = None) -> Iterator[str]:
    """Let one detector live for so many days; yield what happened, in words. Raise BrokenPromiseError."""
    world = World(seed)
    detector = Detector(world, root, rates or Rates())
    try:
        detector.play(days)
        effects, faults = sum(world.effects.values()), sum(world.faults.values())
        yield f"{len(detector.records)} runs, {len(detector.foreign)} keys taken, {effects} effects, {faults} faults"
    finally:
        detector.close()
