"""A stage's life: picks from the journal, bounded queue, drain."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from archiverd import log
from archiverd.core.errors import ArchiverError, Retry
from archiverd.core.machine import Effect, Event, Stage, State
from archiverd.core.priority import Lane
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition
from archiverd.pipeline.stage_runner import StageRunner
from archiverd.process.hands import Holding
from archiverd.process.shutdown import Shutdown, ShutdownReason
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection
    from pathlib import Path

    from archiverd.journal.rows import RunRow


class Bench:
    """An open journal and an import stage whose work is given by the test."""

    def __init__(self, journal: Journal, wake: asyncio.Event) -> None:
        self.journal = journal
        self.wake = wake
        self.shutdown = Shutdown(time.monotonic)
        self.worked: list[int] = []

    def runner(
        self, work: Callable[[int], Awaitable[None]], *, workers: int = 2, capacity: int = 2, until_idle: bool = False
    ) -> StageRunner:
        return StageRunner(
            stage=Stage.IMPORT,
            journal=self.journal,
            work=work,
            workers=workers,
            capacity=capacity,
            clock=time.time,
            shutdown=self.shutdown,
            logger=log.get("Import"),
            until_idle=until_idle,
            wake=self.wake,
        )

    async def queue_up(self, *runs: int) -> None:
        await self.journal.see(runs, Lane.FRESH)
        await self.journal.record(*(Transition(run, Event.ENDED) for run in runs))

    async def import_it(self, run: int) -> None:
        """Do what a stage does: intent, outcome."""
        await self.journal.record(Transition(run, Event.IMPORT_BEGINS))
        self.worked.append(run)
        await self.journal.record(Transition(run, Event.IMPORT_DONE))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench in an empty directory."""
    wake = asyncio.Event()

    def on_effect(effect: Effect) -> None:
        if effect is Effect.WAKE_IMPORT:
            wake.set()

    journal = Journal(tmp_path / "journal.sqlite", clock=time.time, on_effect=on_effect)
    await journal.open()
    yield Bench(journal, wake)
    await journal.close()


async def test_every_waiting_run_is_worked_on_once(bench: Bench) -> None:
    """Whatever waits is done, each run exactly once, and the pass ends when nothing is left."""
    await bench.queue_up(*range(1, 41))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await bench.runner(bench.import_it, workers=4, until_idle=True).run()
    assert sorted(bench.worked) == list(range(1, 41))


async def test_a_run_that_comes_while_idle_wakes_the_stage(bench: Bench) -> None:
    """An idle stage takes up a new run at once, without polling."""
    runner = asyncio.create_task(bench.runner(bench.import_it).run())
    async with asyncio.timeout(DEADLINE_SECONDS):
        await bench.queue_up(7)
        while not bench.worked:
            await asyncio.sleep(0)
        bench.shutdown.ask(ShutdownReason.DRAIN_ASKED)
        await runner
    assert bench.worked == [7]


async def test_a_drain_finishes_the_queue_and_leaves_the_rest_to_the_journal(bench: Bench) -> None:
    """After a drain the runs that were in the queue are done, the others wait untouched (I6)."""
    gate = asyncio.Event()

    async def gated(run: int) -> None:
        await gate.wait()
        await bench.import_it(run)

    await bench.queue_up(*range(1, 21))
    runner = bench.runner(gated, workers=1, capacity=3)
    async with asyncio.timeout(DEADLINE_SECONDS):
        running = asyncio.create_task(runner.run())
        while len(runner.in_hand) < 4:
            await asyncio.sleep(0)
        held = set(runner.in_hand)
        bench.shutdown.ask(ShutdownReason.INTERRUPTED)
        gate.set()
        await running
    assert set(bench.worked) == held
    waiting = {row.run for row in await bench.journal.in_state(State.QUEUED)}
    assert waiting == set(range(1, 21)) - held


async def test_no_more_runs_are_in_hand_than_queue_and_workers_hold(bench: Bench) -> None:
    """The queue is bounded: the backlog stays in the journal, however many runs wait."""
    gate = asyncio.Event()

    async def gated(run: int) -> None:
        await gate.wait()
        await bench.import_it(run)

    await bench.queue_up(*range(1, 31))
    runner = bench.runner(gated, workers=2, capacity=3, until_idle=True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        running = asyncio.create_task(runner.run())
        while len(runner.in_hand) < 5:
            await asyncio.sleep(0)
        for _ in range(20):
            await bench.journal.get(1)  # turns of the loop and of the journal in which a feeder could go too far
        assert len(runner.in_hand) == 5
        gate.set()
        await running


async def test_one_pass_takes_up_a_suspect_when_the_last_other_run_has_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if that ends just when the stage looks for what is left: the pass is not over then."""
    await bench.queue_up(7, 8)
    looked, next_due = asyncio.Event(), bench.journal.next_due

    async def work(run: int) -> None:
        await looked.wait()
        await bench.import_it(run)

    async def look_until_it_ends(stage: Stage, only: Collection[int] | None) -> float | None:
        due = await next_due(stage, only)
        looked.set()
        while runner.in_hand:
            await asyncio.sleep(0)
        return due

    runner = bench.runner(work, until_idle=True)
    runner.hands.suspects[Holding(Stage.IMPORT, 8)] = 1
    monkeypatch.setattr(bench.journal, "next_due", look_until_it_ends)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await runner.run()
    assert bench.worked == [7, 8]


async def test_one_pass_does_not_wait_for_a_retry_of_the_other_stage(bench: Bench) -> None:
    """An upload whose outcome nobody knows is taken up after the imports: they must come to their end first."""
    await bench.queue_up(1, 2)
    for event in (Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS):
        await bench.journal.record(Transition(1, event))
    await bench.journal.record(Transition(1, Event.UPLOAD_UNCLEAR, changes={"due": 0.0}))
    await asyncio.wait_for(bench.runner(bench.import_it, until_idle=True).run(), DEADLINE_SECONDS)
    assert bench.worked == [2]


async def test_a_run_that_fails_for_now_is_tried_again_when_due(bench: Bench) -> None:
    """A retry comes by itself once it is due."""
    tries: list[int] = []

    async def flaky(run: int) -> None:
        tries.append(run)
        await bench.journal.record(Transition(run, Event.IMPORT_BEGINS))
        if len(tries) < 3:
            await bench.journal.record(Transition(run, Event.FAILED_FOR_NOW, changes={"due": time.time()}))
        else:
            await bench.journal.record(Transition(run, Event.IMPORT_DONE))
            bench.shutdown.ask(ShutdownReason.DRAIN_ASKED)

    await bench.queue_up(5)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await bench.runner(flaky).run()
    assert tries == [5, 5, 5]


async def test_a_journal_that_cannot_be_written_does_not_kill_the_stage(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When an outcome cannot be recorded, the stage rests, then takes the run up again: nobody has to restart it."""
    monkeypatch.setattr("archiverd.pipeline.stage_runner.PAUSE_SECONDS", 0.0)
    calls = 0

    async def failing_once(run: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await bench.journal.record(Transition(run, Event.IMPORT_BEGINS))
            raise ArchiverError("Cannot write the journal: [Errno 28] No space left on device", retry=Retry.TRANSIENT)
        await bench.import_it(run)
        bench.shutdown.ask(ShutdownReason.DRAIN_ASKED)

    await bench.queue_up(5)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await bench.runner(failing_once).run()
    assert (calls, bench.worked) == (2, [5])


async def test_a_run_stranded_while_others_are_taken_back_is_not_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outcome that cannot be written while the journal takes runs back is made good the next time."""
    runner, recover = bench.runner(bench.import_it), bench.journal.recover
    await bench.queue_up(1, 2)
    await bench.journal.record(Transition(1, Event.IMPORT_BEGINS), Transition(2, Event.IMPORT_BEGINS))

    async def one_more_meanwhile(only: Collection[int]) -> list[RunRow]:
        found = await recover(only)
        runner.stranded.add(2)
        return found

    runner.stranded.add(1)
    monkeypatch.setattr(bench.journal, "recover", one_more_meanwhile)
    await runner._recover_stranded()
    assert (runner.stranded, await bench.journal.known()) == ({2}, {1: State.QUEUED, 2: State.IMPORTING})
    monkeypatch.setattr(bench.journal, "recover", recover)
    await runner._recover_stranded()
    assert (runner.stranded, await bench.journal.known()) == (set(), {1: State.QUEUED, 2: State.QUEUED})
