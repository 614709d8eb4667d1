"""The audit of the directories: its pace, what it notes, and when a missing file is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from archiverd.audit import directory_audit as module
from archiverd.audit.directory_audit import AGAIN_SECONDS, BYTES_A_SECOND, DirectoryAudit
from archiverd.core.machine import Event
from archiverd.core.priority import Lane
from archiverd.journal.journal import Journal
from archiverd.journal.rows import FileFate, MissingDirectories
from archiverd.journal.transitions import RunChanges, Transition
from archiverd.runrecord.record import read_run_record
from tests.audit.test_directory import START, fate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STEPS = (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS, Event.UPLOAD_PROVEN)
NOW = 1_700_000_000.0


class Archive:
    """A journal of verified runs, their directories, and a clock that stands until told otherwise."""

    def __init__(self, journal: Journal, records: Path) -> None:
        self.journal, self.records = journal, records
        self.now = 0.0
        self.rests: list[float] = []
        self.audit = DirectoryAudit(journal, records, lambda: NOW + self.now, lambda: self.now, self.rest)

    async def rest(self, seconds: float) -> None:
        """Note a pause."""
        self.rests.append(seconds)

    async def verify(self, run: int, verified_at: float = NOW, **files: str) -> None:
        """Write a run's directory, and note it as archived just so."""
        directory = self.records / str(run)
        directory.mkdir(parents=True)
        texts = {"metadata.txt": f"DAQInterface start time: {START}\n", **{f"{n}.fcl": t for n, t in files.items()}}
        for name, text in texts.items():
            (directory / name).write_text(text)
        await self.journal.see([run], Lane.FRESH)
        fates = tuple(fate(name, text) for name, text in texts.items())
        for event in STEPS:
            changes = {"start_line": START} if event is Event.ENDED else {}
            if event is Event.IMPORT_DONE:
                changes = {"listing": read_run_record(directory, run).listing}
            if event is Event.UPLOAD_PROVEN:
                changes = {"verified_at": verified_at}
            manifest = fates if event is Event.IMPORT_DONE else None
            await self.journal.record(Transition(run, event, "", cast("RunChanges", changes), manifest))

    async def changes(self, run: int) -> str:
        """Return how a run's directory differs, as the journal has it."""
        row = await self.journal.get(run)
        assert row is not None
        return str(row.changed)


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    """An archive without runs."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: NOW)
    await journal.open()
    yield Archive(journal, tmp_path / "records")
    await journal.close()


async def test_a_missing_file_is_removed_when_it_is_missing_a_day_later_too(archive: Archive) -> None:
    """A file that is back in between was not removed."""
    await archive.verify(7, a="a: 1\n", b="b: 1\n")
    path = archive.records / "7" / "a.fcl"
    text = path.read_text()
    path.unlink()
    await archive.audit.compare_recent()
    archive.now += AGAIN_SECONDS - 1
    await archive.audit.compare_recent()
    assert await archive.changes(7) == ""
    path.write_text(text)
    await archive.audit.compare_recent()
    path.unlink()
    archive.now += 2
    await archive.audit.compare_recent()
    assert await archive.changes(7) == ""
    archive.now += AGAIN_SECONDS
    await archive.audit.compare_recent()
    assert await archive.changes(7) == "removed a.fcl"


async def test_no_restart_counts_the_day_of_a_missing_file_anew(archive: Archive) -> None:
    """Nor do passes, each of which is a process: within one start of the machine its clock decides, else the wall's."""
    await archive.verify(7, a="a: 1\n", b="b: 1\n")
    (archive.records / "7" / "a.fcl").unlink()
    for boot, uptime, since in (("x", 5.0, 0.0), ("x", AGAIN_SECONDS, 9e9), ("y", 3.0, AGAIN_SECONDS - 1)):
        archive.audit = process(archive, NOW + since, uptime, boot)
        await archive.audit.compare_recent()
        assert await archive.changes(7) == ""
    archive.audit = process(archive, NOW + AGAIN_SECONDS, 4.0, "y")
    await archive.audit.compare_recent()
    assert await archive.changes(7) == "removed a.fcl"


def process(archive: Archive, now: float, uptime: float, boot: str) -> DirectoryAudit:
    """Return the audit of another process, by its clocks."""
    return DirectoryAudit(archive.journal, archive.records, lambda: now, lambda: uptime, archive.rest, boot)


async def test_each_missing_file_has_a_day_of_its_own(archive: Archive) -> None:
    """One that vanishes while another is missing is told a day later as well."""
    await archive.verify(7, a="a: 1\n", b="b: 1\n")
    for name, told in (("a", ""), ("b", "removed a.fcl"), ("b", "removed a.fcl, b.fcl")):
        (archive.records / "7" / f"{name}.fcl").unlink(missing_ok=True)
        await archive.audit.compare_recent()
        assert await archive.changes(7) == told
        archive.now += AGAIN_SECONDS


async def test_a_change_is_noted_once_and_forgotten_when_it_is_undone(archive: Archive) -> None:
    """In the journal, in the run's story, and in the log."""
    await archive.verify(7, a="a: 1\n")
    (archive.records / "7" / "z.fcl").write_text("z: 1\n")
    for _ in range(3):
        await archive.audit.compare_recent()
    assert await archive.changes(7) == "added z.fcl"
    (archive.records / "7" / "z.fcl").unlink()
    await archive.audit.compare_recent()
    assert await archive.changes(7) == ""
    assert [line.event for line in await archive.journal.story(7)][-2:] == ["changed", "unchanged"]


async def test_all_runs_have_their_turn_within_a_day_and_a_restart_goes_on(archive: Archive) -> None:
    """Newest first, an even share in each round; the position is the journal's."""
    for run in range(1, 8):
        await archive.verify(run, verified_at=NOW - 1e7)
        (archive.records / str(run) / "z.fcl").write_text("z: 1\n")
    seen = []
    for _ in range(8):
        await archive.audit._go_on()
        flagged = {row.run for row in await archive.journal.flagged()}
        seen.append(flagged)
        archive.audit = DirectoryAudit(archive.journal, archive.records, lambda: NOW, lambda: 0.0, archive.rest)
    assert seen[:3] == [{7}, {7, 6}, {7, 6, 5}]
    assert seen[6] == set(range(1, 8))


async def test_hashing_has_a_bounded_rate(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is let pass for each byte that was read, and for each call of a network file system."""
    await archive.verify(7, a="x: " + "1" * 1_000_000 + "\n")
    (archive.records / "7" / "a.fcl").chmod(0o600)
    await archive.audit.compare_recent()
    assert archive.rests[-1] == pytest.approx(1_000_004 / BYTES_A_SECOND, rel=0.01)
    await archive.audit.compare_recent()
    assert archive.rests[-1] == 0.0
    monkeypatch.setattr(module.mounts, "is_network", lambda _: True)
    await archive.audit.compare_recent()
    assert archive.rests[-1] >= 2 / module.CALLS_A_SECOND  # unchanged: the directory and each file in it
    (archive.records / "7" / "a.fcl").chmod(0o644)
    await archive.audit.compare_recent()
    assert archive.rests[-1] >= 6 / module.CALLS_A_SECOND


async def test_nothing_is_compared_while_the_directory_looks_unmounted(archive: Archive) -> None:
    """Nobody can tell what became of the files then."""
    await archive.verify(7, a="a: 1\n")
    (archive.records / "7" / "a.fcl").write_text("a: 2\n")
    await archive.journal.note_missing(MissingDirectories("8-30", NOW))
    await archive.audit.compare_recent()
    assert await archive.changes(7) == ""


async def test_a_manifest_is_shared_by_content(archive: Archive, tmp_path: Path) -> None:
    """A hundred files that repeat from run to run cost a run less than a kilobyte in the journal."""
    same = {f"tpc{number:02}": f"x: {number}\n" * 50 for number in range(100)}
    for run in range(1, 41):
        await archive.verify(run, **same, own=f"run: {run}\n")
    size = (tmp_path / "journal.sqlite").stat().st_size + (tmp_path / "journal.sqlite-wal").stat().st_size
    for run in range(41, 241):
        await archive.verify(run, **same, own=f"run: {run}\n")
    await archive.journal.close()
    grown = (tmp_path / "journal.sqlite").stat().st_size - size
    assert grown / 200 < 2_000  # with the run's row and its story
    await archive.journal.open()
    files = await archive.journal.files(240)
    assert {one.name for one in files} == {"metadata.txt", "own.fcl", *(f"{name}.fcl" for name in same)}
    assert FileFate("own.fcl", "x", "", 9, fate("own.fcl", "run: 240\n").sha256) in files
