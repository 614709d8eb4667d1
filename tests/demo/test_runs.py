"""The demo's made-up runs: planned the same every time, written as DAQInterface writes, and fit to be archived."""

from __future__ import annotations

import asyncio
import itertools
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiverd import fhicl
from archiverd.demo import runs
from archiverd.demo.dump import dumped, number
from archiverd.demo.runs import RunPlan, RunStep, Step
from archiverd.runrecord.completeness import Completeness, CompletionWaits, Stillness, judge, time_lines
from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.preparation import prepare
from archiverd.runrecord.record import read_run_record
from archiverd.runrecord.snapshot import take_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FIRST = 700
A_DAY_LATER = 86_400.0


class Scene:
    """A play with a clock of its own: time passes only when somebody sleeps, and at once."""

    def __init__(self, directory: Path, now: float = 1_764_621_000.0) -> None:
        self.directory = directory
        self.now = now
        self.events: list[RunStep] = []
        self.at_every_pause: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.at_every_pause()
        self.now += seconds
        await asyncio.sleep(0)

    async def play(self, plans: tuple[RunPlan, ...]) -> None:
        """Play the runs into the directory."""
        await runs.play(plans, self.directory, clock=lambda: self.now, sleep=self.sleep, on_event=self.events.append)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Give an empty run-records directory with a play, removed afterwards."""
    root = tmp_path / "play"
    records = root / "run_records"
    records.mkdir(parents=True)
    yield Scene(records)
    if root.exists():
        runs.remove_tree(root)


@settings(deadline=None)  # the first plan of a seed makes its records
@given(count=st.integers(4, 60), seed=st.integers(0, 9), rate=st.floats(1, 600))
def test_a_plan_keeps_its_promises(count: int, seed: int, rate: float) -> None:
    """One run crashes and a later one of its partition does not; one is odd; partitions take one run at a time."""
    plans = runs.plan(count, FIRST, seed, rate)
    assert [planned.run for planned in plans] == list(range(FIRST, FIRST + count))
    (crashed,) = (planned for planned in plans if planned.crash)
    assert any(planned.partition == crashed.partition and planned.run > crashed.run for planned in plans)
    (odd,) = (planned for planned in plans if planned.oddity)
    assert odd is not crashed
    assert odd.oddity in {file.name for file in odd.files}
    for partition in runs.PARTITIONS:
        own = [planned for planned in plans if planned.partition == partition]
        assert all(one.begin + one.duration < after.begin for one, after in itertools.pairwise(own))


def test_a_plan_is_the_same_every_time() -> None:
    """The same arguments give the same plan, to the byte; another seed gives another one."""
    assert runs.plan(20, FIRST, 1, 60.0) == runs.plan(20, FIRST, 1, 60.0)
    assert runs.plan(20, FIRST, 1, 60.0) != runs.plan(20, FIRST, 2, 60.0)


def test_records_are_as_large_and_as_many_filed_as_real_small_ones() -> None:
    """A record has 13 to 20 files and 30 to 200 KB, and repeats exactly within one configuration."""
    plans = runs.plan(20, FIRST, 1, 60.0)
    for planned in plans:
        assert 13 <= len(planned.files) <= 20
        assert 30_000 <= sum(len(file.content) for file in planned.files) <= 200_000
    assert plans[0].files == plans[2].files
    assert plans[0].files != plans[0 + 2 * runs.RUNS_PER_ERA].files


@pytest.mark.parametrize(("count", "rate"), [(0, 60.0), (-1, 60.0), (4, 0.0), (4, -1.0)])
def test_what_cannot_be_played_is_refused(count: int, rate: float) -> None:
    """A play without runs or without a rate is an error, not an empty directory."""
    with pytest.raises(ValueError, match="cannot be played"):
        runs.plan(count, FIRST, 1, rate)


def test_few_runs_neither_crash_nor_are_odd() -> None:
    """With fewer than four runs no later run could prove a crash, so none crashes."""
    assert not any(planned.crash or planned.oddity for planned in runs.plan(3, FIRST, 1, 60.0))


async def test_every_run_ends_as_planned(scene: Scene) -> None:
    """Each run is copied, started, and stopped or crashed, in this order; its files are what was planned."""
    plans = runs.plan(4, FIRST, 1, 60.0)
    await scene.play(plans)
    for planned in plans:
        steps = [event.step for event in scene.events if event.run == planned.run]
        assert steps == [Step.COPIED, Step.STARTED, Step.CRASHED if planned.crash else Step.STOPPED]
        directory = scene.directory / str(planned.run)
        assert {path.name for path in directory.iterdir()} == {file.name for file in planned.files}
        for file in planned.files:
            written = (directory / file.name).read_bytes()
            assert written == file.content if file.name != "metadata.txt" else written.startswith(file.content)


async def test_modes_and_times_are_those_of_daqinterface(scene: Scene) -> None:
    """At the end every file is 0444 and its directory 0555; edited files keep their age, far older than the run."""
    await scene.play(runs.plan(1, FIRST, 1, 60.0))
    directory = scene.directory / str(FIRST)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o555
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o444}
    assert scene.now - (directory / "setup.txt").stat().st_mtime > 100 * A_DAY_LATER


async def test_archiverd_sees_a_run_go_through_its_life(scene: Scene) -> None:
    """What is on disk is judged copying, copied, started and final in turn, and nothing before its time."""
    seen: list[Completeness] = []

    def judge_now() -> None:
        directory = scene.directory / str(FIRST)
        if directory.exists():
            found = take_snapshot(directory)
            seen.append(judge(found, Stillness(0.0, 0.0, 0.0), CompletionWaits(settle=0.0)))

    scene.at_every_pause = judge_now
    await scene.play(runs.plan(1, FIRST, 1, 60.0))
    judge_now()
    order = [Completeness.COPYING, Completeness.COPIED, Completeness.STARTED, Completeness.FINAL]
    assert list(dict.fromkeys(seen)) == order
    assert seen == sorted(seen, key=order.index)


async def test_a_crashed_run_has_no_stop_line_and_is_dead_by_its_successor(scene: Scene) -> None:
    """The crashed run looks like one that is running until a later run of its partition has started."""
    plans = runs.plan(4, FIRST, 1, 60.0)
    await scene.play(plans)
    (crashed,) = (planned for planned in plans if planned.crash)
    found = take_snapshot(scene.directory / str(crashed.run))
    lines = time_lines(found.metadata)
    assert lines.started is not None
    assert lines.stopped is None
    still = Stillness(60.0, 60.0, 60.0)
    assert judge(found, still, CompletionWaits()) is Completeness.STARTED
    assert judge(found, still, CompletionWaits(), later_started=True) is Completeness.DEAD


async def test_all_files_convert_to_fhicl_but_the_odd_one(scene: Scene) -> None:
    """Every file of every made-up record can be converted, and the one that cannot is named."""
    plans = runs.plan(4, FIRST, 1, 60.0)
    await scene.play(plans)
    for planned in plans:
        prepared = prepare(read_run_record(scene.directory / str(planned.run), planned.run), BY_DEFAULT)
        assert [left.name for left in prepared.left_out] == ([planned.oddity] if planned.oddity else [])
        assert len(prepared.files) >= len(planned.files) - len(prepared.left_out)


async def test_a_taken_run_number_is_refused(scene: Scene) -> None:
    """A record that exists already is not written into."""
    (scene.directory / str(FIRST)).mkdir()
    with pytest.raises(ExceptionGroup) as caught:
        await scene.play(runs.plan(1, FIRST, 1, 60.0))
    assert caught.group_contains(FileExistsError)
    assert list((scene.directory / str(FIRST)).iterdir()) == []


async def test_a_finished_play_can_be_removed(scene: Scene) -> None:
    """Directories nobody may write to are removed all the same; what a link leads to stays."""
    root = scene.directory.parent
    await scene.play(runs.plan(4, FIRST, 1, 60.0))
    outside = root.parent / "outside"
    outside.mkdir(mode=0o555)
    (root / "link").symlink_to(outside)
    runs.remove_tree(root)
    assert not root.exists()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o555


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (403_121_409, "4.03121409e8"),
        (0.5, "5e-1"),
        (81, "81"),
        (10_000_000, "1e7"),
        (999_999, "999999"),
        (1_350.5, "1.3505e3"),
        (5.25, "5.25"),
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (-7, "-7"),
        (-0.025, "-2.5e-2"),
    ],
)
def test_numbers_have_their_canonical_form(value: float, text: str) -> None:
    """Numbers are spelt as fhicl-dump spells them (run_records.md section 1.3)."""
    assert number(value) == text


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_canonical_numbers_keep_their_value(value: float) -> None:
    """A canonical number reads back as the number it was made from."""
    assert float(number(value)) == float(value)


TABLES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(min_codepoint=32, max_codepoint=91)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.from_regex(r"\A[a-z_]{1,6}\Z"), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.from_regex(r"\A[a-z_]{1,6}\Z"), TABLES, max_size=4))
def test_whatever_is_dumped_is_fhicl(document: dict[str, object]) -> None:
    """The engine takes every dumped table."""
    fhicl.check(dumped(document, "any").encode(), "any.fcl")  # type: ignore[arg-type]


def test_times_read_like_date_utc() -> None:
    """The day is padded with a blank, as `date --utc` does."""
    assert runs.date_utc(1_764_621_000.0) == "Mon Dec  1 20:30:00 UTC 2025"
