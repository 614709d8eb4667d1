"""The life of a process that archives: what it learns from the one before it, and leaves to the one after it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.machine import Event, states_before
from archiverd.journal import transitions
from archiverd.journal.state_files import TAGS
from archiverd.process.hands import Hands, set_aside_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from archiverd.journal.journal import Journal
    from archiverd.process.shutdown import Shutdown

_log = log.get()


@contextlib.asynccontextmanager
async def living(journal: Journal, shutdown: Shutdown, in_hand: Path) -> AsyncIterator[Hands]:
    """Take up again what the last process left in the middle, and give this one's hands; ``in_hand`` has their marks.

    A stop that is asked for, and an end in order, are noted for the next process. Raise ArchiverError.
    """
    hands = Hands(in_hand)
    await hands.begin()
    await _set_aside(hands, journal)
    for row in await journal.recover():
        _log.info(f"taken up again after a restart as {row.state}", run=row.run)
    noting = asyncio.create_task(_note_stop(shutdown, hands), name="stop")
    try:
        yield hands
        await hands.asked()
    finally:
        noting.cancel()
        await asyncio.wait([noting])


async def _set_aside(hands: Hands, journal: Journal) -> None:
    """Set the runs aside that were alone in hand whenever archiverd ended without being asked to."""
    for condemned in hands.condemned():
        row, error = await journal.get(condemned.run), set_aside_error(condemned)
        if row is not None and row.stage is condemned.stage and row.state in states_before(Event.FAILED_FOR_GOOD):
            text, attempts = f"{error.name}: {error}", row.attempts + 1
            failed = transitions.failed_for_good(row.run, error=text, remedy=error.remedy, attempts=attempts)
            await journal.record(failed)
            log.failure(log.get(TAGS[condemned.stage]), error, row.run)
        await hands.forgive(condemned)


async def _note_stop(shutdown: Shutdown, hands: Hands) -> None:
    """Note for the next process that this one was asked to stop."""
    await shutdown.wait()
    await hands.asked()
