"""`archiverd once`: one pass over all candidates, then the end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.machine import State
from archiverd.service.stopping import Stopping, signals
from archiverd.service.watch import Watcher
from archiverd.service.wiring import attend, opened

if TYPE_CHECKING:
    from archiverd.config import Settings
    from archiverd.journal.rows import Hold, RunRow

FAILED = (State.RETRY_WAIT, State.UPLOAD_UNKNOWN, State.QUARANTINED, State.CONFLICT)
"""The states in which a pass leaves a run that it could not archive."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did."""

    verified: int
    """Runs verified by this pass."""
    open: int
    """Runs that have not ended yet."""
    failed: tuple[RunRow, ...]
    """Runs that could not be archived, or wait for UconDB."""
    hold: Hold | None
    """Why UconDB is left alone, if it is."""
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """0 if every candidate is verified, 1 if a run failed, 130 if it was interrupted."""
        if self.interrupted:
            return 130
        return 1 if self.failed else 0


async def once(settings: Settings) -> Pass:
    """Take every ended run through both stages, quick retries included.

    Raise ArchiverError when the pass cannot start.
    """
    stopping = Stopping(time.monotonic)
    with signals(stopping):
        async with opened(settings, stopping, until_idle=True) as parts:
            before = len(await parts.journal.in_state(State.VERIFIED))
            watcher = Watcher(settings, parts.journal, stopping, clock=time.time)
            await parts.journal.hasten()
            await watcher.look_once()
            await watcher.look_again()
            async with asyncio.TaskGroup() as group:
                attending = group.create_task(attend(parts), name="gate")
                await parts.importing.run()
                await parts.migrating.run()
                attending.cancel()
            waiting = await parts.journal.in_state(State.IMPORTED) if parts.gate.shut else []
            verified = len(await parts.journal.in_state(State.VERIFIED)) - before
            still_open = len(await parts.journal.in_state(State.OPEN))
            failed = (*await parts.journal.in_state(*FAILED), *waiting)
    return Pass(verified, still_open, failed, parts.gate.hold, stopping.asked)
