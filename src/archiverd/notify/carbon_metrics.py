"""Metrics of the migration for Carbon. The durations of database calls come from ``app/call_observer.py``."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError

if TYPE_CHECKING:
    from archiverd.journal.journal import Journal
    from archiverd.notify.carbon import CarbonSender

COUNT_SECONDS = 60.0
"""Seconds between counts of the migration: by default Graphite keeps one value a minute."""

_AFTER_ALL_EVENTS = 1 << 62
"""Greater than the id of any event."""


async def send_metrics(journal: Journal, carbon: CarbonSender, closing: asyncio.Event) -> None:
    """Send metrics until ``closing``: each minute, and once at the end, what the migration did since the last."""
    counted = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(carbon.run(counted), name="carbon")
        event: int | None = None
        while True:
            last = closing.is_set()
            with contextlib.suppress(ArchiverError):  # metrics only; who needs the journal reports its failure
                event = await _count(journal, carbon, event)
            if last:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), COUNT_SECONDS)
        counted.set()


async def _count(journal: Journal, carbon: CarbonSender, event: int | None) -> int:
    """Buffer the counts since ``event``, none if that is None; return the last event."""
    found = await journal.migrated(_AFTER_ALL_EVENTS if event is None else event)
    if event is not None:
        carbon.put("migrate.runs_processed", found.successful + found.failed)
        carbon.put("migrate.runs_successful", found.successful)
        carbon.put("migrate.runs_failed", found.failed)
        if found.last_successful_run is not None:
            carbon.put("migrate.last_successful_run", found.last_successful_run)
    return found.event
