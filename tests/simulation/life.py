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
from archiverd.journal.queries import select_run, select_states
from archiverd.journal.schema import upgrade
from tests.simulation.agenda import Agenda
from tests.simulation.disk import ForgetfulDisk
from tests.simulation.doubles import Server, sha256
from tests.simulation.edits import Editors
from tests.simulation.process import Process, surroundings
from tests.simulation.promises import check_end, check_verified
from tests.simulation.records import Record, Scribe
from tests.simulation.tree import FileServer
from tests.simulation.world import DAY, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archiverd.journal.rows import RunRow

FINISHING_DAYS = 2.0
FOREIGN = b"what somebody else stored under this key"


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


WILD = Rates(runs=20.0, kills=6.0, outages=2.0, foreign=0.1, edits=6.0)
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
        self.settings = _settings(self.root)
        self.network = world.dice.random() < 0.5
        """Whether the run records are on a network file system."""
        self.files = FileServer(self.root / "records", world.server_time)
        self.agenda = Agenda(world)
        self.scribe = Scribe(world, self.agenda, self.files, lambda: self.watched)
        self.disk = ForgetfulDisk(world)
        self.server = Server(world, watch=self._on_put)
        self.file = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.file.row_factory = sqlite3.Row
        upgrade(self.file)
        self.synced = sqlite3.connect(":memory:", isolation_level=None)
        """The journal as it was when the present life began."""
        self.records: dict[int, Record] = {}
        """By run, the record that its directory holds."""
        self.replaced: dict[int, list[Record]] = {}
        """By run, the records that its directory held before, of runs with the same number."""
        self._watched = 0.0
        self.foreign: set[int] = set()
        self.next_run = 1000
        self.state_files = {
            stage: StageFiles(stage, self.root / f"{stage}_state.json", self.root / f"{stage}_failures.log")
            for stage in Stage
        }
        self.editors = Editors(self)
        self.files.on_read = self.editors.disturb_reader

    @property
    def watched(self) -> float:
        """The seconds in which a process could have seen the run records."""
        alive = self.world.loop is not None and self.files.mounted
        return self._watched + (self.world.time() - self.world.now if alive else 0.0)

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

    def _on_put(self, key: str, data: bytes) -> None:
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
        self.agenda.after(dice.expovariate(self.rates.outages / DAY), self._ucondb_goes)
        self.editors.begin()
        with surroundings(self):
            while world.now < end:
                until = min(end, world.now + dice.expovariate(self.rates.kills / DAY))
                world.kill_at = dice.randrange(1, 400) if dice.random() < 0.7 else None
                self.file.backup(self.synced)
                self._live(until)
                self._power_may_go()
                check_verified(self)
                self.agenda.catch_up(world.now + dice.uniform(0.0, 3600.0))
            world.peaceful = True
            world.kill_at = None
            self._live(world.now + FINISHING_DAYS * DAY)
        check_end(self)

    def _live(self, until: float) -> None:
        """Let one process live."""
        world, begun = self.world, self.world.now
        process = Process(self, until)
        try:
            world.live(process.run(), until)
        except ArchiverError as error:  # it could not start, said so, and is started again
            self.demand(f"the daemon ended by itself: {error}", so=not process.at_work)
        self._watched += world.now - begun

    def _power_may_go(self) -> None:
        """Let the process have been killed alone, or with everything; what was acknowledged stays."""
        before = {run for run, row in self.rows().items() if row.state is State.VERIFIED}
        if self.world.dice.random() < 0.5:
            self.power_cut()
            self.world.reboot()
        after = {run for run, row in self.rows().items() if row.state is State.VERIFIED}
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
        if self.world.chance(self.rates.foreign) and self.server.put(str(record.run), FOREIGN):
            self.foreign.add(record.run)

    def replace(self, record: Record) -> None:
        """Let another run be written under the number of one that is archived."""
        self.files.drop(str(record.run))
        self.replaced.setdefault(record.run, []).append(record)
        self.records[record.run] = self.scribe.begin(record.run, lambda _: None)

    def _ucondb_goes(self) -> None:
        """Let UconDB go away for minutes or days."""
        world = self.world
        self.server.away_until = world.time() + world.dice.expovariate(1 / 7200.0)
        if not world.peaceful:
            self.agenda.after(world.dice.expovariate(self.rates.outages / DAY), self._ucondb_goes)

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


def _settings(root: Path) -> Settings:
    """Return the settings of a detector below ``root``."""
    return Settings.model_validate(
        {
            "app": {"work_dir": root},
            "source_files": {"run_records_dir": root / "records"},
            "artdaq_db": {"database_uri": f"filesystemdb://{root}/artdaqdb"},
            "watch": {"mode": "poll", "rescan_seconds": 3600.0, "poll_seconds": 60.0},
            "ucon_db": {
                "server_url": "http://ucon/sim/app",
                "folder_name": "sim",
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
