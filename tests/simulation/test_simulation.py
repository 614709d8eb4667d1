"""A detector's life on virtual time, with seeded faults on every port: no promise is broken, and mutants are caught.

`make simulate` plays ten thousand days.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from archiverd.artdaqdb.filesystem.redo import Redo
from archiverd.audit import directory_audit
from archiverd.audit.directory import Comparison, Verdict, look_at
from archiverd.core.errors import ArchiverError
from archiverd.journal import destinations
from archiverd.pipeline import importer as importing
from archiverd.pipeline.importer import Importer
from archiverd.pipeline.migrator import Migrator
from archiverd.runrecord import record as reading
from archiverd.runrecord.listing import digest_of, list_files
from archiverd.runrecord.record import RecordFile, RunRecord
from archiverd.ucondb import upload
from archiverd.ucondb.port import StoreOutcome
from archiverd.watch import open_runs
from tests.simulation.disk import ForgetfulDisk
from tests.simulation.life import WILD, BrokenPromiseError, Detector, play
from tests.simulation.world import World

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from archiverd.journal.destinations import Destination
    from archiverd.runrecord.look import Look
    from archiverd.runrecord.snapshot import RecordSnapshot
    from tests.simulation.life import Rates

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""A process that is killed closes no file."""

FAULTS = (
    *(f"journal {call} fails" for call in ("read", "write")),
    *(f"{call} fails {when}" for call in ("insert", "update", "export") for when in ("before", "after")),
    *(f"{call} fails" for call in ("create", "append", "truncate", "publish", "rename", "directory sync", "unlink")),
    *("write fails half-way", "sync fails", "document garbled"),
    *("ucondb away", "version cut", "GET answer cut"),
    *(
        f"{method} {how}"
        for method in ("GET", "POST")
        for how in ("lost on the way", "busy", "timed out", "answer lost")
    ),
    *(f"written by {how}" for how in ("daq", "rsync", "cp")),
    *(
        "run crashes",
        "copy stalls",
        "changed while it was read",
        "file added",
        "file edited",
        "file edited in secret",
        "number reused",
    ),
    *("late Total events", "stop time corrected", "chmod -R", "file touched"),
    *("file unreadable", "directory unreadable", "file removed"),
    *("bit rot", "blob lost", "version deleted", "version overridden", "backup restored"),
    *("clock jumps", "file server's clock jumps", "run records not mounted", "another folder"),
    *("release --override", "rearchive --accept", "rearchive --override"),
)
"""What must have gone wrong somewhere; artdaqDB's list_runs and find are not on a run's way when all is well."""


def live(seed: int, days: int, tmp_path: Path, rates: Rates | None = None) -> str:
    """Play one life; return what happened in it."""
    root = tmp_path / str(seed)
    root.mkdir()
    return " ".join(play(seed, days, root, rates))


@pytest.mark.parametrize("seed", range(101, 106))
def test_no_promise_is_broken_in_a_detectors_life(tmp_path: Path, seed: int) -> None:
    """Killed at any effect, its disk forgetting what was not synced, UconDB failing in every way: all runs are safe."""
    assert "runs" in live(seed, 20, tmp_path)


def test_a_seed_plays_the_same_life_again(tmp_path: Path) -> None:
    """A broken promise can be looked at again by its seed."""
    first, again = tmp_path / "first", tmp_path / "again"
    first.mkdir()
    again.mkdir()
    assert live(7, 10, first) == live(7, 10, again)


def caught(tmp_path: Path, lives: int = 12) -> bool:
    """Tell whether a mutant breaks a promise within so many wild lives."""
    for seed in range(1, lives + 1):
        try:
            live(seed, 3, tmp_path, WILD)
        except (BrokenPromiseError, ArchiverError, BaseExceptionGroup):
            return True
    return False


def test_the_wild_lives_break_nothing_without_a_mutant(tmp_path: Path) -> None:
    """What the mutants are caught with is fair."""
    assert not caught(tmp_path, 4)


def test_every_port_call_fails_somewhere_in_these_lives(tmp_path: Path) -> None:
    """A fault that is never thrown proves nothing: each kind befalls somebody, on the disk, in either database."""
    befallen: Counter[str] = Counter()
    for seed in (4, 6, 9):  # three in which it all happens
        root = tmp_path / str(seed)
        root.mkdir()
        world = World(seed, haste=10.0)
        detector = Detector(
            world, root, replace(WILD, foreign=0.01, edits=20.0, harm=6.0, switches=1.0)
        )  # haste makes ten times as many
        detector.play(3)
        detector.close()
        befallen += world.faults
    assert set(FAULTS) - befallen.keys() == set()


async def hasty_upload(self: Migrator, row: Any, exported: Any, packed: Any) -> None:
    """Send first, write to the journal afterwards (I4)."""
    await self.ucondb.store(str(row.run), packed.blob, tag=str(row.run), look_first=False)
    await UPLOAD(self, row, exported, packed)


async def hasty_import(self: Importer, run: int) -> None:
    """Store first, write to the journal afterwards (I4)."""
    plan = await self.plan_running(run)
    await self.artdaqdb.insert(run, plan.configuration, plan.entities)
    await IMPORT(self, run)


def unannounced(self: Redo, _documents: object) -> int:
    """Write documents that the redo file does not know of."""
    self._number += 1
    return self._number


async def trusting_put(*_: object) -> StoreOutcome:
    """Take whatever stands under our key for our own (I1, I5)."""
    return StoreOutcome.PROVEN


def trusting_import(*_: object) -> None:
    """Believe that artdaqDB holds what it was given."""


def lazy_directory(self: ForgetfulDisk, _path: Path) -> None:
    """Call documents durable whose names are not (I6)."""
    self._world.effect("not synced")


def lazy_create(self: ForgetfulDisk, path: Path, data: bytes) -> None:
    """Call documents durable whose bytes are not."""
    self._change(path, self._make(path), data)


def lazy_append(self: ForgetfulDisk, path: Path, data: bytes) -> None:
    """Call a redo record durable that is not."""
    file = self._file(path) or self._make(path)
    self._change(path, file, file.content + data)


def lazy_publish(self: ForgetfulDisk, path: Path, chunks: Iterable[bytes]) -> None:
    """Rename a file whose bytes are not durable."""
    temporary = path.with_name(f".{path.name}.tmp")
    self._change(temporary, self._make(temporary), b"".join(chunks))
    self._name(path, self._files.pop(temporary))
    temporary.replace(path)
    self.sync_directory(path.parent)


def forgetful_journal(self: Detector) -> None:
    """Call a commit durable that is not: with the power what was written since this life began is gone."""
    POWER_CUT(self)
    self.synced.backup(self.file)


def without_second_look(snapshot: RecordSnapshot, before: Look | None, *, wall: float, now: float) -> Look:
    """Take files that are copied at a start for still at the first look."""
    return replace(COMPARE(snapshot, before, wall=wall, now=now), copied_since=now - 1e6)


def hasty_read(descriptor: int, _directory: Path, run: int, *, network: bool) -> RunRecord:
    """Do not look again after reading, neither at a file nor at the directory."""
    listing = list_files(descriptor, network=network)
    files = []
    for one in listing.files:
        opened = reading.os.open(one.name, os.O_RDONLY, dir_fd=descriptor)
        with reading.os.fdopen(opened, "rb", closefd=False) as file:
            files.append(RecordFile(one.name, file.read()))
        reading.os.close(opened)
    return RunRecord(run, tuple(files), (), (), digest_of(listing.files))


def trusting_comparison(directory: Path, *_: object, **__: object) -> Comparison:
    """Call a directory the same whatever its files hold (I8)."""
    return Comparison(Verdict.SAME, look_at(directory)[0])


def one_destination(db: sqlite3.Connection, destination: Destination) -> int:
    """Take every UconDB for the one that was configured first (I1)."""
    (number,) = db.execute("SELECT min(id) FROM destinations WHERE server != ''").fetchone()
    return NUMBER(db, destination) if number is None or destination.artdaqdb else int(number)


COMPARE, NUMBER = open_runs.compare, destinations._number
UPLOAD, IMPORT, POWER_CUT = Migrator._upload, Importer.__call__, Detector.power_cut

MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "no intent before a put": (Migrator, "_upload", hasty_upload),
    "no intent before an import": (Importer, "__call__", hasty_import),
    "no intent before documents": (Redo, "begin", unannounced),
    "no compare after a put": (upload, "_compare", trusting_put),
    "no compare after an import": (importing, "prove", trusting_import),
    "no sync of names": (ForgetfulDisk, "sync_directory", lazy_directory),
    "no sync of documents": (ForgetfulDisk, "create", lazy_create),
    "no sync of redo records": (ForgetfulDisk, "append", lazy_append),
    "no sync before a rename": (ForgetfulDisk, "publish", lazy_publish),
    "no sync of the journal": (Detector, "power_cut", forgetful_journal),
    "no second look": (open_runs, "compare", without_second_look),
    "no look after reading": (reading, "_read_all", hasty_read),
    "no destination in a proof": (destinations, "_number", one_destination),
    "no comparison with the manifest": (directory_audit, "compare_directory", trusting_comparison),
}
"""What is removed, and the method that stands for it."""


@pytest.mark.parametrize("removed", MUTANTS)
def test_a_mutant_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: str) -> None:
    """Whatever is removed, intent, compare, sync or look, on the way to the journal or a database: it shows."""
    owner, name, mutant = MUTANTS[removed]
    monkeypatch.setattr(owner, name, mutant)
    assert caught(tmp_path)
