"""Figures for Carbon: how the migration gets on; how long the databases' calls take comes from the wiring."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError

if TYPE_CHECKING:
    from archiverd.journal.journal import Journal
    from archiverd.notify.carbon import CarbonSender

COUNT_SECONDS = 60.0
"""How often the migration is counted: Graphite keeps one value a minute where nobody has told it otherwise."""

_NEVER = 1 << 62
"""After every event there will ever be."""


async def send_metrics(journal: Journal, carbon: CarbonSender, closing: asyncio.Event) -> None:
    """Send figures until ``closing``; every minute, and then a last time, what the migration did meanwhile."""
    counted = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(carbon.run(counted), name="carbon")
        event: int | None = None
        while True:
            last = closing.is_set()
            with contextlib.suppress(ArchiverError):  # only for people to see; whoever needs the journal says so
                event = await _count(journal, carbon, event)
            if last:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), COUNT_SECONDS)
        counted.set()


async def _count(journal: Journal, carbon: CarbonSender, event: int | None) -> int:
    """Leave what was done since ``event``, nothing the first time; return the last event there is."""
    found = await journal.migrated(_NEVER if event is None else event)
    if event is not None:
        carbon.put("migrate.runs_processed", found.successful + found.failed)
        carbon.put("migrate.runs_successful", found.successful)
        carbon.put("migrate.runs_failed", found.failed)
        if found.last_successful_run is not None:
            carbon.put("migrate.last_successful_run", found.last_successful_run)
    return found.event
