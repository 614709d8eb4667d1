"""What an operator may decide about a run: waive it, release it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError
from archiverd.core.machine import Event, ForbiddenTransitionError, State
from archiverd.journal.journal import Journal
from archiverd.journal.rows import Move
from archiverd.service.lock import LockFile
from archiverd.service.wiring import journal_path, lock_path

if TYPE_CHECKING:
    from archiverd.config import Settings
    from archiverd.journal.rows import RunRow


async def waive(settings: Settings, run: int, reason: str) -> RunRow:
    """Take ``run`` out of the reckoning. Raise ArchiverError if it cannot be, or a daemon holds the lock."""
    return await _decide(settings, Move(run, Event.WAIVED, reason, {"due": None, "error": "", "remedy": reason}))


async def release(settings: Settings, run: int) -> RunRow:
    """Put ``run``, waiting or set aside, back to where it failed. Raise ArchiverError as ``waive``."""
    return await _decide(
        settings, Move(run, Event.RELEASED, "", {"due": None, "attempts": 0, "error": "", "remedy": ""})
    )


async def _decide(settings: Settings, move: Move) -> RunRow:
    """Record an operator's decision, as the only one who writes to the journal."""
    lock = LockFile(lock_path(settings))
    lock.acquire()
    journal = Journal(journal_path(settings), clock=time.time)
    try:
        await journal.open()
        row = await journal.get(move.run)
        if row is None:
            raise ArchiverError(f"Run {move.run} is not known", run=move.run)
        (after,) = await journal.record(move)
    except ForbiddenTransitionError:
        state = State.OPEN if row is None else row.state
        raise ArchiverError(
            f"Run {move.run} is {state} and cannot be {move.event}",
            remedy=f"`archiverd why {move.run}` tells what it is waiting for",
            run=move.run,
        ) from None
    else:
        return after
    finally:
        await journal.close()
        lock.release()
