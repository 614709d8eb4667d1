"""What an operator may decide about a run while no daemon runs: waive it, release it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from archiverd.config.paths import journal_path, lock_path
from archiverd.journal.journal import Journal
from archiverd.journal.reader import is_there, no_journal
from archiverd.pipeline import operator_actions
from archiverd.process.lock import LockFile, holding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from archiverd.config import Settings
    from archiverd.journal.rows import RunRow


async def waive(settings: Settings, run: int, reason: str) -> RunRow:
    """Take ``run`` out of the reckoning. Raise ArchiverError if it cannot be, or a daemon holds the lock."""
    return await _alone(settings, lambda journal: operator_actions.waive(journal, run, reason))


async def release(settings: Settings, run: int, *, override: bool) -> RunRow:
    """Put ``run``, waiting or set aside, back to where it failed. Raise ArchiverError as ``waive``."""
    return await _alone(settings, lambda journal: operator_actions.release(journal, run, override=override))


async def _alone(settings: Settings, decide: Callable[[Journal], Awaitable[RunRow]]) -> RunRow:
    """Let ``decide`` have the journal as the only one who writes to it. Raise ArchiverError if there is none yet."""
    path = journal_path(settings)
    if not await asyncio.to_thread(is_there, path):
        raise no_journal(path)
    with holding(LockFile(lock_path(settings)), settings.app.work_dir):
        journal = Journal(path, clock=time.time)
        try:
            await journal.open()
            return await decide(journal)
        finally:
            await journal.close()
