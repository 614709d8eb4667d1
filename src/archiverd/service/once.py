"""`archiverd once`: one pass over all candidates, then the end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.machine import State
from archiverd.service.stopping import Stopping, signals
from archiverd.service.watch import Watcher
from archiverd.service.wiring import opened

if TYPE_CHECKING:
    from archiverd.config import Settings
    from archiverd.journal.rows import RunRow

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
            await parts.importing.run()
            await parts.migrating.run()
            verified = len(await parts.journal.in_state(State.VERIFIED)) - before
            still_open = len(await parts.journal.in_state(State.OPEN))
            failed = tuple(await parts.journal.in_state(*FAILED))
    return Pass(verified, still_open, failed, stopping.asked)
