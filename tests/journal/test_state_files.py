"""State files and failure logs: what they say, and what an operator's edits do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd import log
from archiverd.config.paths import StageFiles
from archiverd.core.machine import Event, Stage
from archiverd.core.priority import Lane
from archiverd.disk import RealDisk
from archiverd.journal.journal import Journal
from archiverd.journal.memories import StageFileMemory
from archiverd.journal.state_files import StateFiles, failures_text, parse_failures
from archiverd.journal.transitions import Transition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

FAILED = (Event.ENDED, Event.IMPORT_BEGINS, Event.FAILED_FOR_GOOD)


class Bench:
    """A journal, the files of the import stage, and what was asked to be retried."""

    def __init__(self, root: Path, journal: Journal) -> None:
        self.journal = journal
        self.log = root / "import_failures.log"
        self.state = root / "importer_state.json"
        self.retried: list[int] = []

    @property
    def state_files(self) -> StateFiles:
        """The books as a process finds them that was just started."""
        return StateFiles(self.journal, RealDisk(), (StageFiles(Stage.IMPORT, self.state, self.log),), self._retry)

    async def _retry(self, run: int, _: Stage) -> None:
        self.retried.append(run)

    async def go(self, run: int, *events: Event) -> None:
        await self.journal.see([run], Lane.FRESH)
        for event in events:
            await self.journal.record(Transition(run, event))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench in an empty directory."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await journal.open()
    yield Bench(tmp_path, journal)
    await journal.close()


@given(st.sets(st.integers(1, 10**18 - 1)))
def test_a_failure_log_says_what_was_written(runs: set[int]) -> None:
    """One number a line, ascending, and back."""
    assert parse_failures(failures_text(runs)) == runs
    assert failures_text(runs).split() == [str(run).encode() for run in sorted(runs)]


@given(st.one_of(st.binary(), st.text("0123456789 \n\r\t", max_size=12).map(str.encode)))
def test_any_bytes_are_run_numbers_or_an_error(data: bytes) -> None:
    """What an editor or a bad disk makes of the file is never an unexpected error."""
    words = [line.strip() for line in data.decode("ascii", "backslashreplace").splitlines()]
    if all(not word or (word.isdecimal() and 0 < int(word) < 10**18) for word in words):
        assert parse_failures(data) == {int(word) for word in words if word}
    else:
        with pytest.raises(ValueError, match="invalid literal"):
            parse_failures(data)


@pytest.mark.parametrize("text", ["7\n\n 8 \r\n", "8\n7", "7 \n8\n7\n"])
def test_what_editors_leave_is_understood(text: str) -> None:
    """Blank lines, blanks, other line ends, no final newline, doubles."""
    assert parse_failures(text.encode()) == {7, 8}


async def test_the_log_follows_the_journal(bench: Bench) -> None:
    """A failed run stands in it until it is verified or waived."""
    await bench.go(7, *FAILED)
    await bench.go(8, *FAILED)
    await bench.state_files.synchronise()
    assert bench.log.read_text() == "7\n8\n"
    await bench.go(7, Event.WAIVED)
    await bench.go(8, Event.RELEASED, Event.IMPORT_BEGINS)
    await bench.state_files.synchronise()
    assert bench.log.read_text() == "8\n"


async def test_an_edit_is_noticed_whenever_it_was_made(bench: Bench) -> None:
    """Added numbers are retried once, also by a process started later; removed ones come back by a new failure only."""
    await bench.go(7, *FAILED)
    await bench.state_files.synchronise()
    bench.log.write_text("9\n")
    await bench.state_files.synchronise()
    await bench.state_files.synchronise()
    assert bench.retried == [9]
    assert bench.log.read_text() == ""
    await bench.go(7, Event.RELEASED, Event.IMPORT_BEGINS, Event.FAILED_FOR_NOW)
    await bench.state_files.synchronise()
    assert bench.log.read_text() == "7\n"


async def test_a_log_of_an_older_tool_is_taken_over(bench: Bench) -> None:
    """What stands in it when the journal is new is retried."""
    bench.log.write_text("5\n6\n")
    await bench.state_files.synchronise()
    assert bench.retried == [5, 6]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"last_contiguous_run": "x", "last_attempted_run": 1}', "\x00", "[" * 5000]
)
async def test_a_corrupt_state_file_is_set_aside(bench: Bench, text: str) -> None:
    """It is kept beside, and what is written then comes from the journal."""
    bench.state.write_text(text)
    await bench.state_files.take_over()
    assert bench.state.with_name("importer_state.json.corrupted").read_text() == text
    await bench.go(7, Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE)
    await bench.journal.record(Transition(7, Event.UPLOAD_BEGINS, changes={"imported_at": 1.0}))
    await bench.state_files.synchronise()
    assert json.loads(bench.state.read_text()) == {"last_contiguous_run": 7, "last_attempted_run": 7}


@pytest.mark.parametrize(
    ("edited", "said"),
    [
        ('{"last_contiguous_run": 900, "last_attempted_run": 900}', "was edited and said {'last_contiguous_run': 900"),
        ('{"last_contiguous_run": 7, "last_at', "Failed to parse run records file"),
        ("", "Failed to parse run records file"),
        (None, "was removed"),
    ],
)
async def test_a_state_file_is_output_only(
    bench: Bench, capsys: pytest.CaptureFixture[str], edited: str | None, said: str
) -> None:
    """What somebody else writes there is said once and changes nothing; what cannot be read is set aside."""
    log.configure("INFO", "console")
    await _archive(bench, [7])
    await bench.state_files.synchronise()
    ours = bench.state.read_text()
    bench.state.unlink() if edited is None else bench.state.write_text(edited)
    await bench.state_files.synchronise()
    assert said in capsys.readouterr().err
    assert bench.state.read_text() == ours
    aside = bench.state.with_name("importer_state.json.corrupted")
    assert aside.exists() == ("Failed" in said)
    await _archive(bench, [8])
    await bench.state_files.synchronise()
    assert "importer_state.json" not in capsys.readouterr().err
    assert json.loads(bench.state.read_text())["last_contiguous_run"] == 8


class KilledError(Exception):
    """Stands for a kill."""


async def test_our_own_state_file_is_known_after_a_kill(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before or after the file was written: the next process does not take it for somebody else's."""
    log.configure("INFO", "console")
    await _archive(bench, [7])
    await bench.state_files.synchronise()
    publish = RealDisk.publish
    for run, before in ((8, True), (9, False)):
        await _archive(bench, [run])

        def killed(disk: RealDisk, path: Path, chunks: Iterable[bytes], *, before: bool = before) -> None:
            if not before:
                publish(disk, path, chunks)
            if path == bench.state:
                raise KilledError

        monkeypatch.setattr(RealDisk, "publish", killed)
        with pytest.raises(KilledError):
            await bench.state_files.synchronise()
    monkeypatch.setattr(RealDisk, "publish", publish)
    await _archive(bench, [10])
    await bench.state_files.synchronise()
    assert "importer_state.json" not in capsys.readouterr().err
    assert json.loads(bench.state.read_text())["last_contiguous_run"] == 10


async def test_an_edit_made_while_the_log_is_written_is_not_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who saves between our look and our writing is heard at the next look."""
    await bench.go(7, *FAILED)
    failures = StageFileMemory.failures

    async def saved_now(memory: StageFileMemory) -> frozenset[int]:
        monkeypatch.undo()
        bench.log.write_text("9\n")
        return await failures(memory)

    monkeypatch.setattr(StageFileMemory, "failures", saved_now)
    await bench.state_files.synchronise()
    await bench.state_files.synchronise()
    assert bench.retried == [9]
    assert bench.log.read_text() == "7\n"


async def test_a_kill_while_a_corrupt_log_is_set_aside_unlists_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is gone because we were setting it aside does not count as emptied by hand."""
    await bench.go(7, *FAILED)
    await bench.state_files.synchronise()
    bench.log.write_text("seven\n")

    def killed(_: RealDisk, path: Path, aside: Path) -> None:
        path.replace(aside)
        raise KilledError

    monkeypatch.setattr(RealDisk, "move", killed)
    with pytest.raises(KilledError):
        await bench.state_files.synchronise()
    monkeypatch.undo()
    await bench.state_files.synchronise()
    assert bench.log.read_text() == "7\n"


PROGRESS: list[tuple[dict[int, bool], int, int]] = [
    ({}, 0, 0),
    ({100: True, 105: True, 110: True}, 110, 110),
    ({100: True, 105: False, 110: True}, 100, 110),
    ({100: False, 105: True}, 0, 105),
]


@pytest.mark.parametrize(("imported", "contiguous", "attempted"), PROGRESS)
async def test_progress_counts_the_runs_there_are(
    bench: Bench, imported: dict[int, bool], contiguous: int, attempted: int
) -> None:
    """Gaps in the numbers do not stick it; a run that is not through does."""
    await _archive(bench, (run for run, done in imported.items() if done))
    for run in (run for run, done in imported.items() if not done):
        await bench.go(run, Event.ENDED)
    progress = await bench.journal.stage_file_memory(Stage.IMPORT).progress()
    assert (progress.last_contiguous_run, progress.last_attempted_run) == (contiguous, attempted)


async def _archive(bench: Bench, runs: Iterable[int]) -> None:
    for run in runs:
        await bench.go(run, Event.ENDED, Event.IMPORT_BEGINS)
        await bench.journal.record(Transition(run, Event.IMPORT_DONE, changes={"imported_at": 1.0}))
