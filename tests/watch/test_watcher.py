"""The watch: which runs are noticed, and when they have ended, whatever operators do and wherever it is cut short."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd import log
from archiverd.app import dry_run
from archiverd.config.models import Settings
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import State
from archiverd.journal.journal import Journal
from archiverd.pipeline import operator_actions
from archiverd.process.shutdown import Shutdown, ShutdownReason
from archiverd.runrecord.snapshot import take_snapshot
from archiverd.watch import watcher as module
from archiverd.watch.ages import Timekeeper
from archiverd.watch.open_runs import OpenRun, OpenRunReader
from archiverd.watch.watcher import Watcher
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from archiverd.journal.rows import ObservedRecord, RunRow

START = b"Config name: demo\nDAQInterface start time: x\n"
STOP = b"\nDAQInterface stop time: y\n"
LONG_AGO = 1_000_000_000.0


@dataclass
class Clocks:
    """Wall clock and monotonic clock, both in a test's hands."""

    ahead: float = field(default=0.0)
    """Seconds the wall clock is ahead of the true time."""
    passed: float = field(default=0.0)
    """Seconds that have passed."""

    stands: float | None = field(default=None)
    """What the wall clock shows, but for the seconds that have passed; None where it goes by itself."""

    def wall(self) -> float:
        return (time.time() + self.ahead if self.stands is None else self.stands) + self.passed

    def monotonic(self) -> float:
        return self.passed

    def keeper(self) -> Timekeeper:
        return Timekeeper(self.wall, self.monotonic, lambda: "boot")


@dataclass
class Site:
    """Run records, a work directory, and processes that watch one after the other."""

    root: Path
    backfill: object = "all"
    promised: bool = True
    clocks: Clocks = field(default_factory=Clocks)
    shutdown: Shutdown = field(default_factory=lambda: Shutdown(time.monotonic))

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(
            {
                "app": {"work_dir": self.root / "work"},
                "source_files": {"run_records_dir": self.root / "records"},
                "artdaq_db": {"database_uri": "filesystemdb:///x"},
                "watch": {"backfill": self.backfill, "promised_files": self.promised},
            }
        )

    def record(self, run: int, metadata: bytes, at: float | None = LONG_AGO, partition: int | None = None) -> None:
        """Write a run record whose metadata.txt is as old as ``at`` says; None for now."""
        directory = self.root / "records" / str(run)
        directory.mkdir(parents=True, exist_ok=True)
        if partition is not None:
            (directory / "environment.txt").write_text(f"export DAQINTERFACE_PARTITION_NUMBER={partition}\n")
        path = directory / "metadata.txt"
        path.write_bytes(metadata)
        if at is not None:
            os.utime(path, (at, at))

    @asynccontextmanager
    async def process(self, journal_class: type[Journal] = Journal) -> AsyncIterator[tuple[Journal, Watcher]]:
        """Open the journal and make a watcher, as a process does."""
        (self.root / "work").mkdir(exist_ok=True)
        journal = journal_class(self.root / "work" / "journal.sqlite", clock=self.clocks.wall)
        await journal.open()
        self.shutdown = Shutdown(time.monotonic)
        try:
            yield (
                journal,
                Watcher(self.settings, journal, self.shutdown, self.clocks.keeper()),
            )
        finally:
            await journal.close()

    async def states(self) -> dict[int, State]:
        """Return what the journal says."""
        async with self.process() as (journal, _):
            return await journal.known()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site without runs."""
    (tmp_path / "records").mkdir()
    return Site(tmp_path)


async def found(site: Site, watcher: Watcher) -> None:
    """Let the watch find every run, and look once more when their records can have settled."""
    await watcher.find_all()
    site.clocks.passed += 2.0
    await watcher.settle()


async def settled(site: Site, watcher: Watcher) -> None:
    """Let the watch look twice, with time enough between for a record to settle."""
    await watcher._tick(hinted=True)
    site.clocks.passed += 2.0
    await watcher._tick(hinted=True)


async def test_a_waived_run_is_no_longer_watched(site: Site) -> None:
    """Its end, when it comes, is nobody's business; another's is noticed as ever."""
    site.record(7, START)
    site.record(8, START)
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        await operator_actions.waive(journal, 7, "lost")
        for run in (7, 8):
            site.record(run, START + STOP)
        await settled(site, watcher)
        assert await journal.known() == {7: State.WAIVED, 8: State.QUEUED}


class Waiving(Journal):
    """An operator waives run 7 in the very moment between look and record."""

    async def note_observed(self, records: Iterable[ObservedRecord]) -> None:
        """See ``Journal.note_observed``."""
        await super().note_observed(records)
        if (await self.known())[7] is State.OPEN:
            await operator_actions.waive(self, 7, "lost")


async def test_a_run_waived_between_look_and_record_hinders_no_other(site: Site) -> None:
    """The commit of all that ended is not undone for the one that an operator was quicker with."""
    for run in (7, 8):
        site.record(run, START + STOP)
    site.clocks.passed = 10.0
    async with site.process(Waiving) as (journal, watcher):
        await found(site, watcher)
        assert await journal.known() == {7: State.WAIVED, 8: State.QUEUED}


async def test_a_run_put_back_among_the_open_ones_is_watched_again(site: Site) -> None:
    """Whoever put it back, and however: the journal says which runs are open."""
    site.record(7, START)
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        await operator_actions.waive(journal, 7, "lost")
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        await operator_actions.release(journal, 7, override=False)
        site.record(7, START + STOP)
        await settled(site, watcher)
        assert await journal.known() == {7: State.QUEUED}


async def test_a_first_look_cut_short_goes_on_with_the_same_rule(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had ended before the very first start is left out by the second start too, and what ended since is not."""
    monkeypatch.setattr(module, "RUNS_AT_ONCE", 2)
    site.backfill = "none"
    for run in range(1, 6):
        site.record(run, START + STOP)
    site.clocks.passed = 10.0
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        site.clocks.passed += 2.0

        def interrupt(done: int, _of: int, _what: str) -> None:
            if done == 2:
                site.shutdown.ask(ShutdownReason.INTERRUPTED)

        await watcher._check(interrupt)
        states = await journal.known()
        assert {run for run, state in states.items() if state is State.IGNORED} == {5, 4, 3, 2}
    site.record(6, START + STOP, at=None)
    os.utime(site.root / "records" / "6" / "metadata.txt", (site.clocks.wall() + 1, site.clocks.wall() + 1))
    site.clocks.passed = 20.0
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        assert await journal.known() == {**dict.fromkeys(range(1, 6), State.IGNORED), 6: State.QUEUED}


@pytest.mark.parametrize(("backfill", "left_out"), [("all", set()), ("none", {1, 2, 3}), (3, {1, 2})])
async def test_a_lost_journal_changes_nothing_about_the_backlog(
    site: Site, backfill: object, left_out: set[int]
) -> None:
    """The rule goes by when archiverd was first started here, and by nothing that can be lost with the journal."""
    site.backfill = backfill
    for run in (1, 2, 3):
        site.record(run, START + STOP)
    site.clocks.passed = 10.0
    ahead = dry_run.plan_pass(site.settings, importing=True, migrating=True)
    assert set(ahead.to_import) == {1, 2, 3} - left_out
    async with site.process() as (_, watcher):
        await found(site, watcher)
    later = site.clocks.wall() + 1
    site.record(4, START + STOP, at=later)
    for left in (site.root / "work").glob("journal.sqlite*"):
        left.unlink()
    site.clocks.passed = 20.0
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        states = await journal.known()
    assert {run for run, state in states.items() if state is State.IGNORED} == left_out
    assert states[4] is State.QUEUED


@pytest.mark.parametrize("ahead", [3_600.0, 30 * 86_400.0])
@pytest.mark.parametrize("lost", [False, True])
async def test_a_clock_ahead_of_the_file_server_ignores_no_new_run(site: Site, ahead: float, lost: bool) -> None:
    """Backlog is what stood there at the very first start, by name, whatever the clocks say; a running run is none."""
    site.backfill = "none"
    site.clocks.ahead = ahead
    site.promised = False
    site.record(1, START + STOP)
    site.record(2, START, at=None, partition=1)  # dead: its successor has started
    site.record(3, START, at=None, partition=1)
    async with site.process() as (journal, watcher):
        await found(site, watcher)
    if lost:
        for left in (site.root / "work").glob("journal.sqlite*"):
            left.unlink()
    site.clocks.ahead = 0.0
    site.record(3, START + STOP, at=None, partition=1)
    site.record(4, START + STOP, at=None, partition=1)
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        states = await journal.known()
    assert states == {1: State.IGNORED, 2: State.IGNORED, 3: State.QUEUED, 4: State.QUEUED}


async def test_a_first_start_cut_short_ignores_no_run_that_ended_meanwhile(site: Site) -> None:
    """Until it is known which runs were running, the time of the first start decides too."""
    site.backfill = "none"
    for run in (1, 2):
        site.record(run, START + STOP if run == 1 else START)
    site.clocks.passed = 10.0
    async with site.process() as (journal, watcher):
        site.shutdown.ask(ShutdownReason.INTERRUPTED)
        await watcher.find_all()
        assert await journal.known() == {1: State.OPEN, 2: State.OPEN}
    later = site.clocks.wall() + 1
    site.record(2, START + STOP, at=later)
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        assert await journal.known() == {1: State.IGNORED, 2: State.QUEUED}


async def test_an_unreadable_first_start_leaves_out_no_run(site: Site) -> None:
    """Rather a run too many than one too few."""
    site.backfill = "none"
    site.record(1, START + STOP)
    site.clocks.passed = 10.0
    (site.root / "work").mkdir()
    (site.root / "work" / "first_start.json").write_text("{")
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        assert await journal.known() == {1: State.QUEUED}


async def test_a_journal_from_before_the_rule_was_noted_is_no_first_start(site: Site) -> None:
    """An archive that went on before keeps going on: nothing that waits is left out."""
    site.record(1, START)
    async with site.process() as (_, watcher):
        await found(site, watcher)
    (site.root / "work" / "first_start.json").unlink()
    site.backfill = "none"
    site.record(1, START + STOP)
    site.clocks.passed = 10.0
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        assert await journal.known() == {1: State.QUEUED}


async def test_a_successor_in_another_part_of_the_look_proves_a_run_dead(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By partition: only the run whose own successor has started is dead."""
    monkeypatch.setattr(module, "RUNS_AT_ONCE", 1)
    site.promised = False
    for run, partition in ((1, 1), (2, 2), (3, 1)):
        site.record(run, START, partition=partition)
    site.clocks.passed = 10.0
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        assert await journal.known() == {1: State.QUEUED, 2: State.OPEN, 3: State.OPEN}
        row = await journal.get(1)
        assert row is not None
        assert row.dead


async def test_a_clock_set_back_keeps_no_run_waiting(site: Site) -> None:
    """A record that was quiet long enough has settled, though its files are of the future now."""
    site.record(7, START + STOP)
    async with site.process() as (journal, watcher):
        site.clocks.ahead = -7200.0
        await watcher.find_all()
        assert await journal.known() == {7: State.OPEN}
        await settled(site, watcher)
        assert await journal.known() == {7: State.QUEUED}


async def test_a_pass_leaves_out_no_run_that_settles_while_it_looks(site: Site) -> None:
    """Not settled when it was looked at, settled a moment later: it has ended."""
    site.record(7, START + STOP)
    changed = take_snapshot(site.root / "records" / "7").changed
    async with site.process() as (journal, watcher):
        site.clocks.stands = changed + 0.9
        await watcher.find_all()
        assert await journal.known() == {7: State.OPEN}
        site.clocks.passed = 1.0
        await watcher.settle()
        assert await journal.known() == {7: State.QUEUED}


async def test_a_run_is_looked_at_again_as_soon_as_it_has_settled(site: Site) -> None:
    """A stop line costs the time to settle and no more; a run that goes on is looked at as often as ever."""
    site.record(7, START + STOP)
    site.record(8, START)
    changed = take_snapshot(site.root / "records" / "7").changed
    site.clocks.stands = changed + 0.7
    reader = OpenRunReader(site.settings, site.clocks.keeper())
    both = [OpenRun(8), OpenRun(7)]
    first = reader.read(both)
    assert first.settles_in == pytest.approx(1.0)
    site.clocks.passed += 1.0
    second = reader.read(both)
    assert ([move.run for move in second.ended], second.settles_in) == ([7], None)


async def test_a_run_that_was_watched_settles_by_the_time_of_its_stop_line(site: Site) -> None:
    """A stop line costs the time to settle, from when it was written: the other files were looked at before."""
    site.record(7, START)
    reader, seen = OpenRunReader(site.settings, site.clocks.keeper()), [OpenRun(7)]
    assert reader.read(seen).settles_in is None
    site.clocks.passed += 60.0
    site.record(7, START + STOP)
    site.clocks.stands = take_snapshot(site.root / "records" / "7").changed + 0.7 - site.clocks.passed
    assert reader.read(seen).settles_in == pytest.approx(0.3)
    site.clocks.passed += 0.4
    assert [move.run for move in reader.read(seen).ended] == [7]


async def test_a_file_server_that_is_behind_ends_no_run_at_its_stop_line(site: Site) -> None:
    """By its clock the stop line is old when it comes: what was seen a moment ago tells that it is not."""
    site.record(7, START)
    reader, seen = OpenRunReader(site.settings, site.clocks.keeper()), [OpenRun(7)]
    for _ in range(4):
        assert reader.read(seen).ended == []
        site.clocks.passed += 0.5
    site.record(7, START + STOP)
    site.clocks.stands = take_snapshot(site.root / "records" / "7").changed + 3600.0 - site.clocks.passed
    assert reader.read(seen).settles_in == pytest.approx(1.0)
    site.clocks.passed += 1.1
    assert [move.run for move in reader.read(seen).ended] == [7]


FORTNIGHT = 15 * 86_400.0


async def test_a_clock_that_jumps_ends_no_run(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A running run is not dead, and one that waits for rc_info_stop.txt waits on; the right time ends both waits."""
    log.configure("INFO", "console")
    site.record(7, START, at=None)
    site.record(8, START + STOP, at=None)
    (site.root / "records" / "8" / "rc_info_start.txt").write_text("a: b\n")
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        site.clocks.ahead = FORTNIGHT
        site.clocks.passed += 3.0
        await watcher._tick(hinted=True)
        assert await journal.known() == {7: State.OPEN, 8: State.OPEN}
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        assert await journal.known() == {7: State.OPEN, 8: State.OPEN}
        site.clocks.ahead = 0.0
        site.clocks.passed += 601.0
        await watcher._tick(hinted=True)
        assert await journal.known() == {7: State.OPEN, 8: State.QUEUED}
        site.clocks.passed += FORTNIGHT
        await watcher._tick(hinted=True)
        assert await journal.known() == {7: State.QUEUED, 8: State.QUEUED}
    said = capsys.readouterr().err
    assert (said.count("jumped 1296000 s ahead"), said.count("jumped 1296000 s back")) == (1, 1)


async def test_waits_go_on_over_a_restart(site: Site) -> None:
    """What a record was waited for by the last process counts, as from cron; a change begins the wait anew."""
    site.record(8, START + STOP, at=None)
    late = site.root / "records" / "8" / "rc_info_start.txt"
    late.write_text("a: b\n")
    for passed, state in ((1.0, State.OPEN), (400.0, State.OPEN), (300.0, State.QUEUED)):
        site.clocks.passed += passed
        async with site.process() as (journal, watcher):
            await found(site, watcher)
            assert (await journal.known())[8] is state


class Damaged(Journal):
    """Its pages went bad after the start."""

    async def open_runs(self) -> frozenset[int]:
        """See ``Journal.open_runs``."""
        if await self.known():
            raise ArchiverError("The journal is damaged: malformed")
        return await super().open_runs()


async def test_a_damaged_journal_ends_the_watch(site: Site) -> None:
    """Only a new start sets it aside: to go on would be to archive nothing, silently."""
    async with site.process(Damaged) as (_, watcher):
        await watcher.find_all()
        site.record(7, START)
        with pytest.raises(ArchiverError, match="The journal is damaged"):
            await watcher._tick(hinted=True)


async def test_a_directory_that_cannot_be_read_for_a_while_ends_nothing(site: Site) -> None:
    """What passes is said, and tried again."""
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        (site.root / "records").rename(site.root / "away")
        await watcher._tick(hinted=True)
        (site.root / "away").rename(site.root / "records")
        site.record(7, START + STOP)
        await settled(site, watcher)
        assert await journal.known() == {7: State.QUEUED}


@dataclass
class Refusal:
    """An ``os.open`` that fails for one path, as for a user who is not root."""

    path: Path
    number: int = 0
    """The operating system's error; 0 lets everything through."""
    really: Callable[..., int] = os.open

    def __call__(self, path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if self.number and str(path).startswith(str(self.path)):
            raise OSError(self.number, os.strerror(self.number), str(path))
        return self.really(path, flags, mode, dir_fd=dir_fd)


@pytest.fixture
def refusal(site: Site, monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """Run 7 can be closed to archiverd."""
    refusing = Refusal(site.root / "records" / "7")
    monkeypatch.setattr(os, "open", refusing)
    return refusing


async def row_of(journal: Journal, run: int) -> RunRow:
    """Return what the journal has of a run that it knows."""
    row = await journal.get(run)
    assert row is not None
    return row


async def test_a_run_that_cannot_be_read_says_so_until_it_can(
    site: Site, refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once in the log for each cause, in the journal as long as it lasts, and it ends as any other then."""
    log.configure("INFO", "console")
    site.record(7, START + STOP)
    async with site.process() as (journal, watcher):
        for number in (errno.EACCES, errno.EACCES, errno.EIO, errno.EACCES):
            refusal.number = number
            await settled(site, watcher)
            row = await row_of(journal, 7)
            assert row.error == f"ArchiverError: Cannot read run directory: [Errno {number}] {os.strerror(number)}"
            assert str(refusal.path) in row.remedy
        refusal.number = 0
        await settled(site, watcher)
        row = await row_of(journal, 7)
        assert (row.state, row.error, row.remedy) == (State.QUEUED, "", "")
    said = capsys.readouterr().err
    assert said.count("[Import] [Run 7] ArchiverError: Cannot read run directory: [Errno 13] Permission denied") == 1
    assert said.count("Cannot read run directory: [Errno 5]") == 1


async def test_the_next_process_forgets_a_trouble_that_is_over(site: Site, refusal: Refusal) -> None:
    """What an earlier process could not read and this one can is no trouble any more; what has ended has none."""
    site.record(7, START)
    refusal.number = errno.EACCES
    for metadata, state in ((START, State.OPEN), (START + STOP, State.QUEUED)):
        async with site.process() as (journal, watcher):
            refusal.number = errno.EACCES
            await watcher.find_all()
            assert (await row_of(journal, 7)).error
        site.record(7, metadata)
        refusal.number = 0
        site.clocks.passed += 10.0
        async with site.process() as (journal, watcher):
            await found(site, watcher)
            row = await row_of(journal, 7)
            assert (row.state, row.error, row.remedy) == (state, "", "")


async def test_a_file_of_a_record_that_could_not_be_read_is_tried_again(site: Site, refusal: Refusal) -> None:
    """Though neither metadata.txt nor the directory changes: a mount that failed for a moment holds up no run."""
    site.promised = False
    site.record(7, START + STOP, partition=1)
    refusal.path, refusal.number = Path("environment.txt"), errno.EIO
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        assert (await row_of(journal, 7)).error.endswith("[Errno 5] Input/output error: 'environment.txt'")
        refusal.number = 0
        await settled(site, watcher)
        assert await journal.known() == {7: State.QUEUED}


async def test_a_run_that_vanishes_before_its_end_says_so_until_it_is_back(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """The journal has the cause and what to do, beside the flag; both are logged once."""
    log.configure("INFO", "console")
    site.record(7, START)
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        (site.root / "records" / "7").rename(site.root / "away")
        await watcher._tick(hinted=True)
        row = await row_of(journal, 7)
        assert (row.source_gone, row.error) == (True, "ArchiverError: Run directory is gone before its end was seen")
        assert "archiverd waive 7 --reason" in row.remedy
        (site.root / "away").rename(site.root / "records" / "7")
        await watcher._tick(hinted=True)
        row = await row_of(journal, 7)
        assert (row.source_gone, row.error, row.started) == (False, "", True)
    said = capsys.readouterr().err
    assert (said.count("gone before"), said.count("[Run 7] its directory can be read again")) == (1, 1)


class Counting(Journal):
    """Counts the runs whose directories are noted as gone, or there again."""

    noted = 0

    async def note_gone(self, runs: Iterable[int], *, gone: bool) -> None:
        """See ``Journal.note_gone``."""
        changed = list(runs)
        self.noted += len(changed)
        await super().note_gone(changed, gone=gone)


async def test_a_directory_that_vanishes_after_its_run_has_ended_is_noted(site: Site) -> None:
    """Whatever became of the run, and whichever process sees it go or come back; only what changed is written."""
    for run in (1, 2, 3):
        site.record(run, START + STOP)
    site.clocks.passed = 10.0
    moved = site.root / "away"

    async def gone(journal: Journal) -> set[int]:
        return {run for run in (1, 2, 3) if (await row_of(journal, run)).source_gone}

    async with site.process(Counting) as (journal, watcher):
        await watcher.find_all()
        (site.root / "records" / "2").rename(moved)
        for _ in range(3):
            await watcher._tick(hinted=True)
        assert (await gone(journal), journal.noted) == ({2}, 1)
    async with site.process(Counting) as (journal, watcher):
        await watcher.find_all()
        assert (await gone(journal), journal.noted) == ({2}, 0)
        moved.rename(site.root / "records" / "2")
        (site.root / "records" / "3").rename(moved)
    async with site.process(Counting) as (journal, watcher):
        await watcher.find_all()
        assert (await gone(journal), journal.noted) == ({3}, 2)
        moved.rename(site.root / "records" / "3")
        await watcher._tick(hinted=True)
        assert (await gone(journal), journal.noted) == (set(), 3)


async def test_a_records_directory_that_looks_unmounted_flags_nothing(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty mount point, while it runs and at a start: said once, and no run is gone or dead, then or once back."""
    log.configure("INFO", "console")
    site.promised = False
    for run in range(1, 21):
        site.record(run, START if run == 20 else START + STOP, partition=1)
    site.clocks.passed = 10.0
    records, away = site.root / "records", site.root / "away"
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        records.rename(away)
        records.mkdir()
        for _ in range(3):
            site.clocks.passed += 10.0
            await watcher._tick(hinted=True)
        assert (await journal.gone(), (await row_of(journal, 20)).error) == (set(), "")
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        assert (await journal.gone(), (await row_of(journal, 20)).state) == (set(), State.OPEN)
        assert await journal.missing_since() is not None
        records.rmdir()
        away.rename(records)
        await settled(site, watcher)
        assert (await journal.gone(), await journal.missing_since()) == (set(), None)
        assert (await row_of(journal, 20)).state is State.OPEN
    said = capsys.readouterr().err
    assert said.count("20 run directories missing: cannot tell what became of them") == 2
    assert said.count("the run directories are back") == 1


async def test_directories_that_were_moved_away_are_believed_to_be_gone_after_a_day(site: Site) -> None:
    """Others are there, and the directory is the one it was: over processes, as from cron."""
    for run in range(1, 21):
        site.record(run, START + STOP)
    async with site.process() as (_, watcher):
        await found(site, watcher)
    for run in range(1, 16):
        (site.root / "records" / str(run)).rename(site.root / f"moved{run}")
    for passed, gone in ((0.0, set()), (80_000.0, set()), (10_000.0, set(range(1, 16))), (0.0, set(range(1, 16)))):
        site.clocks.passed += passed
        async with site.process() as (journal, watcher):
            await watcher.find_all()
            assert await journal.gone() == gone
    async with site.process() as (journal, _):
        assert await journal.missing_since() is None


async def test_an_operators_word_ends_the_doubt(site: Site) -> None:
    """Whatever is there: the directories are gone, for the process that runs and for the next, until they are back."""
    for run in range(1, 6):
        site.record(run, START if run == 5 else START + STOP)
    records, away = site.root / "records", site.root / "away"
    async with site.process() as (_, watcher):
        await found(site, watcher)
    records.rename(away)
    records.mkdir()
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        assert await journal.believe_missing() == [1, 2, 3, 4, 5]
        assert await journal.believe_missing() == []
        await watcher._tick(hinted=True)
        assert (await journal.gone(), await journal.missing_since()) == ({1, 2, 3, 4, 5}, None)
        assert "Run directory is gone before" in (await row_of(journal, 5)).error
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        assert (await journal.gone(), await journal.missing_since()) == ({1, 2, 3, 4, 5}, None)
        (away / "2").rename(records / "2")
        await watcher._tick(hinted=True)
        assert await journal.gone() == {1, 3, 4, 5}


async def test_a_small_site_that_starts_on_an_empty_mount_point_flags_nothing(site: Site) -> None:
    """However few its runs are: where nothing at all stands at a start, nobody can tell."""
    for run in range(1, 6):
        site.record(run, START + STOP)
    async with site.process() as (_, watcher):
        await found(site, watcher)
    (site.root / "records").rename(site.root / "away")
    (site.root / "records").mkdir()
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        assert (await journal.gone(), await journal.missing_since() is None) == (set(), False)


async def test_a_run_that_is_new_on_the_mount_point_proves_nothing(site: Site) -> None:
    """Only directories that were known before can show that the others are gone."""
    for run in range(1, 21):
        site.record(run, START + STOP)
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        (site.root / "records").rename(site.root / "away")
        (site.root / "records").mkdir()
        await watcher._tick(hinted=True)
        site.clocks.passed += 10.0
        site.record(21, START)
        await watcher._tick(hinted=True)
        site.clocks.passed += 90_000.0
        await watcher._tick(hinted=True)
        assert await journal.gone() == set()


async def test_a_run_that_is_known_stays_the_run_when_another_link_leads_to_it(site: Site) -> None:
    """Whatever the numbers are: no record is archived twice."""
    records, disk = site.root / "records", site.root / "disk"
    site.record(7, START + STOP)
    disk.mkdir()
    (records / "7").rename(disk / "7")
    (records / "7").symlink_to(disk / "7")
    async with site.process() as (journal, watcher):
        await found(site, watcher)
        for link in ("5", "9"):
            (records / link).symlink_to(disk / "7")
        await settled(site, watcher)
        assert await journal.known() == {5: State.IGNORED, 7: State.QUEUED, 9: State.IGNORED}
        assert (await journal.story(9))[-1].note == "its directory is a link to that of run 7"


@asynccontextmanager
async def watching(watcher: Watcher, site: Site) -> AsyncIterator[None]:
    """Let the watch run by scans alone, until the block ends."""
    watcher._uses_inotify = lambda: False  # type: ignore[method-assign]
    task = asyncio.create_task(watcher.run())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield
    finally:
        site.shutdown.ask(ShutdownReason.DRAIN_ASKED)
        await task


async def test_a_command_to_the_daemon_waits_for_the_watch_to_judge(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a check takes, what was there when it was asked for is judged when it returns."""
    judged = module.OpenRunReader.read

    def slow(reader: OpenRunReader, runs: list[OpenRun]) -> object:
        time.sleep(0.3 if runs else 0.0)
        return judged(reader, runs)

    monkeypatch.setattr(Clocks, "monotonic", lambda _: time.monotonic())
    monkeypatch.setattr(module.OpenRunReader, "read", slow)
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.02)
    async with site.process() as (journal, watcher):
        await watcher.find_all()
        async with watching(watcher, site):
            for run in (7, 8):
                site.record(run, START + STOP)
                await watcher.find_now()
                assert (await journal.known())[run] is State.QUEUED


async def test_a_command_that_waits_for_the_watch_ends_with_the_daemon(site: Site) -> None:
    """A stop does not leave it waiting for a check that never comes."""
    async with site.process() as (_, watcher):
        await watcher.find_all()
        async with watching(watcher, site):
            site.shutdown.ask(ShutdownReason.DRAIN_ASKED)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await watcher.find_now()
