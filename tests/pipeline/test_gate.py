"""The gate before UconDB: who gets in, when it shuts, and how it opens again."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from archiverd import log
from archiverd.core.breaker import TRIPS_AFTER
from archiverd.core.environment import Environment
from archiverd.core.errors import ArchiverError, Blame, Retry, UconDBError
from archiverd.pipeline.gate import Gate, GateShutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from archiverd.journal.rows import Hold

OUTAGE = UconDBError("Failed to upload blob for run 7: Connection refused", retry=Retry.TRANSIENT, blame=Blame.BACKEND)
REFUSAL = UconDBError("Failed to upload blob for run 7: 403 Forbidden", retry=Retry.TRANSIENT, blame=Blame.LOGIN)


class Bench:
    """A gate before a backend that answers probes as the test says, and what became known of it."""

    def __init__(self, most: int = 4) -> None:
        self.answer: ArchiverError | None = None
        self.probes: list[bool] = []
        self.holds: list[Hold | None] = []
        self.kept = asyncio.Event()
        self.news = 0
        self.now = 0.0
        environment = Environment(lambda: 1000.0 + self.now, lambda: self.now, lambda low, _: low)
        self.gate = Gate("UconDB", most, self.probe, environment, log.get("Migration"), self.tell)

    def tell(self) -> None:
        self.news += 1

    async def probe(self, *, login_only: bool) -> None:
        self.probes.append(login_only)
        self.now += 60.0
        if self.answer is not None:
            raise self.answer

    async def keep(self, hold: Hold | None) -> None:
        self.holds.append(hold)
        self.kept.set()

    async def open(self) -> None:
        """Open the gate to all."""
        await self.gate.probe()
        async with self.gate.slot():
            self.gate.passed(0.1, 1000)

    def shut(self, error: ArchiverError = OUTAGE) -> None:
        """Fail until the gate shuts."""
        while not self.gate.shut:
            self.gate.failed(error)

    @contextlib.asynccontextmanager
    async def attended(self) -> AsyncIterator[None]:
        """Let the gate be attended while the block runs."""
        task = asyncio.create_task(self.gate.attend(self.keep))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_a_new_gate_is_shut_until_a_probe_has_passed() -> None:
    """Nothing is sent to a server that was never seen to work."""
    bench = Bench()
    with pytest.raises(GateShutError):
        async with bench.gate.slot():
            pass
    await bench.gate.probe()
    async with bench.gate.slot():
        assert bench.gate.allowed == 1
    assert bench.probes == [False]


async def test_never_more_are_inside_than_allowed() -> None:
    """Who comes when it is full waits for a place, and cancelling a waiter takes nobody's place."""
    bench = Bench(most=1)
    await bench.open()
    order: list[str] = []

    async def enter(name: str, leave: asyncio.Event) -> None:
        async with bench.gate.slot():
            order.append(name)
            await leave.wait()

    leave = asyncio.Event()
    first, second, third = (asyncio.create_task(enter(name, leave)) for name in "abc")
    while not order:
        await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert order == ["a"]
    leave.set()
    await asyncio.gather(first, third)
    assert order == ["a", "c"]


async def test_it_shuts_after_failures_in_a_row_and_sends_away_who_waits() -> None:
    """An outage is noticed once; runs that wait for a place are sent away, and none of it counts against them."""
    bench = Bench(most=1)
    await bench.open()
    inside, leave = asyncio.Event(), asyncio.Event()

    async def stay() -> None:
        async with bench.gate.slot():
            inside.set()
            await leave.wait()

    async def wait() -> None:
        async with bench.gate.slot():
            pass

    staying = asyncio.create_task(stay())
    await inside.wait()
    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    counted = [bench.gate.failed(OUTAGE) for _ in range(TRIPS_AFTER)]
    assert counted == [True] * (TRIPS_AFTER - 1) + [False]
    with pytest.raises(GateShutError):
        await waiting
    assert not bench.gate.failed(OUTAGE)
    leave.set()
    await staying


async def test_a_trial_that_fails_counts_against_its_run() -> None:
    """So that another run is tried next, and one that poisons the server does not shut it for all."""
    bench = Bench()
    await bench.gate.probe()
    assert bench.gate.failed(OUTAGE)
    assert bench.gate.shut


async def test_a_refused_login_is_probed_and_nothing_else() -> None:
    """After 401 or 403 only the probe of the login is repeated, until it passes."""
    bench = Bench()
    await bench.open()
    bench.probes.clear()
    assert not bench.gate.failed(REFUSAL)
    bench.answer = REFUSAL
    for _ in range(5):
        await bench.gate.probe()
    bench.answer = None
    await bench.gate.probe()
    assert set(bench.probes) == {True}
    assert not bench.gate.shut


async def test_the_hold_says_what_people_need() -> None:
    """Since when, why, what to do, when the next probe is: written whenever it changes, gone when all is well."""
    bench = Bench()
    await bench.open()
    assert bench.gate.hold is None
    bench.shut()
    hold = bench.gate.hold
    assert hold is not None
    assert (hold.backend, hold.health, hold.cause) == ("UconDB", "away", f"UconDBError: {OUTAGE}")
    assert hold.probe_at is not None
    async with bench.attended():
        await bench.kept.wait()
    assert bench.holds[0] == hold
    await bench.open()
    assert bench.gate.hold is None


async def test_it_opens_by_itself_once_a_probe_passes() -> None:
    """The stage is woken as soon as the backend is back."""
    bench = Bench()
    bench.answer = OUTAGE
    for _ in range(3):
        await bench.gate.probe()
    assert bench.gate.shut
    assert bench.gate.failures == 3
    bench.answer = None
    before = bench.news
    async with bench.attended():  # the probe is long due: the clock has gone on since
        bench.now += 3600.0
        while bench.gate.shut:
            await asyncio.sleep(0)
    assert bench.news > before
