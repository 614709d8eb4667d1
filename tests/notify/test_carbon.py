"""Metrics to a real TCP server."""

from __future__ import annotations

import asyncio
import contextlib
import io
from typing import TYPE_CHECKING

import pytest

from archiverd import log
from archiverd.config.reporting import Carbon
from archiverd.core.errors import ReportingError
from archiverd.notify import carbon
from archiverd.notify.carbon import CarbonSender
from tests.waiting import DEADLINE_SECONDS

from .servers import Graphite, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits."""
    monkeypatch.setattr(carbon, "SEND_SECONDS", 0.02)
    monkeypatch.setattr(carbon, "FIRST_WAIT_SECONDS", 0.02)


def sender(port: int, prefix: str = "daq.archiver", limit: int = 100) -> CarbonSender:
    """Return a sender to ``port`` at a fixed time."""
    settings = Carbon(enabled=True, host="127.0.0.1", port=port, metric_prefix=prefix)
    return CarbonSender(settings, clock=lambda: 1_750_000_000.7, uniform=lambda low, _: low, limit=limit)


@contextlib.asynccontextmanager
async def running(one: CarbonSender) -> AsyncIterator[None]:
    """Run the sender while the block runs, then end it in order."""
    closing = asyncio.Event()
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(one.run(closing))
        yield
        closing.set()


async def until(server: Graphite, count: int) -> None:
    """Wait until the server has that many lines."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(server.lines) < count:
            await asyncio.sleep(0.005)


async def test_lines_are_as_carbon_reads_them() -> None:
    """`prefix.path value epoch`, whole seconds, counts as whole numbers."""
    async with Graphite().serving() as server:
        one = sender(server.port)
        async with running(one):
            one.put("FileSystemDB.insert.duration_ms", 12.3456)
            one.put("migrate.runs_processed", 7)
            await until(server, 2)
    assert server.lines == [
        "daq.archiver.FileSystemDB.insert.duration_ms 12.346 1750000000\n",
        "daq.archiver.migrate.runs_processed 7 1750000000\n",
    ]


@pytest.mark.parametrize(("prefix", "begins"), [("", "a 1 "), ("daq.", "daq.a 1 "), ("my daq", "my_daq.a 1 ")])
async def test_no_prefix_breaks_a_line(prefix: str, begins: str) -> None:
    """Whatever the prefix, three words make a line and no name begins or ends with a dot."""
    async with Graphite().serving() as server:
        one = sender(server.port, prefix)
        async with running(one):
            one.put("a", 1)
    assert [line.startswith(begins) for line in server.lines] == [True]


async def test_what_is_left_at_the_end_is_sent() -> None:
    """The last metrics are sent at the end, before the next interval."""
    async with Graphite().serving() as server:
        one = sender(server.port, limit=5000)
        async with running(one):
            for number in range(5000):
                one.put("a", number)
        await until(server, 5000)
    assert server.connections == 1


async def test_a_full_buffer_drops_and_counts() -> None:
    """Memory stays bounded while Carbon is away; the cause is logged once, the number of dropped lines at the end."""
    said = io.StringIO()
    log.configure("INFO", "console", said)
    server = Graphite(port=free_port())
    one = sender(server.port, limit=10)
    for number in range(25):
        one.put("a", number)
    assert one.dropped == 15
    async with running(one):
        while "Connection refused" not in said.getvalue():
            await asyncio.sleep(0.005)
        async with server.serving():
            await until(server, 10)
            while "takes figures again" not in said.getvalue():
                await asyncio.sleep(0.005)
    assert [line.split()[1] for line in server.lines] == [str(number) for number in range(10)]
    assert said.getvalue().count("[Report] ReportingError: Cannot send figures to Carbon") == 1
    assert "15 were dropped" in said.getvalue()
    assert one.dropped == 0


async def test_a_connection_that_was_cut_is_made_anew() -> None:
    """A restarted Carbon gets the metrics that follow."""
    server = Graphite(port=free_port())
    one = sender(server.port)
    async with running(one):
        async with server.serving():
            one.put("a", 1)
            await until(server, 1)
        async with server.serving():
            while server.connections < 2:
                one.put("b", 2)
                await asyncio.sleep(0.01)
            await until(server, 2)
    assert "b 2" in server.lines[-1]


async def test_the_check_sends_nothing() -> None:
    """A check proves that somebody listens, and sends nothing."""
    async with Graphite().serving() as server:
        await sender(server.port).check()
        while server.connections < 1:
            await asyncio.sleep(0.005)
    assert server.lines == []
    with pytest.raises(ReportingError, match="Connection refused"):
        await sender(free_port()).check()
