"""Metrics of the migration."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from archiverd.config.reporting import Carbon
from archiverd.core.machine import Event
from archiverd.core.priority import Lane
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition
from archiverd.notify.carbon import CarbonSender
from archiverd.notify.carbon_metrics import send_metrics
from tests.notify.servers import Graphite, free_port
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path


def sender(port: int) -> CarbonSender:
    """Return a sender to a port of this host."""
    settings = Carbon(enabled=True, host="127.0.0.1", port=port, metric_prefix="p")
    return CarbonSender(settings, clock=time.time, uniform=random.uniform)


async def test_the_migration_is_counted_to_the_end(tmp_path: Path) -> None:
    """What happened since the start is sent at the end, under the older tool's names."""
    journal = Journal(tmp_path / "journal.sqlite", clock=time.time)
    await journal.open()
    closing = asyncio.Event()
    async with Graphite().serving() as server, asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(send_metrics(journal, sender(server.port), closing))
        await asyncio.sleep(0)
        await journal.known()  # the count's own first look is before this in the journal's queue
        way = (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS)
        await journal.see([7, 8], Lane.FRESH)
        await journal.record(
            *(Transition(7, event) for event in way), Transition(7, Event.UPLOAD_PROVEN, "", {"verified_at": 1.0})
        )
        await journal.record(*(Transition(8, event) for event in way), Transition(8, Event.UPLOAD_CONFLICTS))
        closing.set()
        while len(server.lines) < 4:
            await asyncio.sleep(0.01)
    await journal.close()
    assert [line.split()[:2] for line in server.lines] == [
        ["p.migrate.runs_processed", "2"],
        ["p.migrate.runs_successful", "1"],
        ["p.migrate.runs_failed", "1"],
        ["p.migrate.last_successful_run", "7"],
    ]


async def test_a_carbon_that_is_away_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """With nobody listening the metrics are lost, and the end comes at once."""
    journal = Journal(tmp_path / "journal.sqlite", clock=time.time)
    await journal.open()
    carbon = sender(free_port())
    carbon.put("a", 1)
    closing = asyncio.Event()
    closing.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await send_metrics(journal, carbon, closing)
    await journal.close()
