"""The life of a process that archives: what it learns from the one before it, and leaves to the one after it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.app.stages import failure_policy
from archiverd.config.paths import in_hand_path
from archiverd.core.machine import Event, states_before
from archiverd.journal.state_files import TAGS
from archiverd.process.hands import Hands, set_aside_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from archiverd.config.models import Settings
    from archiverd.journal.journal import Journal
    from archiverd.pipeline.failure_policy import FailurePolicy
    from archiverd.process.shutdown import Shutdown

_log = log.get()


@contextlib.asynccontextmanager
async def living(settings: Settings, journal: Journal, shutdown: Shutdown) -> AsyncIterator[Hands]:
    """Take up again what the last process left in the middle, and give this one's hands.

    A stop that is asked for, and an end in order, are noted for the next process. Raise ArchiverError.
    """
    hands = Hands(in_hand_path(settings))
    await hands.begin()
    await _set_aside(hands, journal, failure_policy(settings))
    for row in await journal.recover():
        _log.info(f"taken up again after a restart as {row.state}", run=row.run)
    noting = asyncio.create_task(_note_stop(shutdown, hands), name="stop")
    try:
        yield hands
        await hands.asked()
    finally:
        noting.cancel()
        await asyncio.wait([noting])


async def _set_aside(hands: Hands, journal: Journal, policy: FailurePolicy) -> None:
    """Set the runs aside that were alone in hand whenever archiverd ended without being asked to."""
    for condemned in hands.condemned():
        row, error = await journal.get(condemned.run), set_aside_error(condemned)
        if row is not None and row.stage is condemned.stage and row.state in states_before(Event.FAILED_FOR_GOOD):
            await journal.record(policy.transition(row, error))
            log.failure(log.get(TAGS[condemned.stage]), error, row.run)
        await hands.forgive(condemned)


async def _note_stop(shutdown: Shutdown, hands: Hands) -> None:
    """Note for the next process that this one was asked to stop."""
    await shutdown.wait()
    await hands.asked()
