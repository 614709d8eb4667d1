"""The latest end of a process that was told to stop: it leaves although something hangs for good.

A thread that waits for a frozen disk or server cannot be cancelled, and the interpreter waits for its threads. Leaving
without them loses nothing: whatever was in flight is in the journal (I6).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.process import last_exit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from archiverd.config.models import Settings
    from archiverd.process.shutdown import Shutdown

CLOSING_SECONDS = 10.0
"""Seconds that the last notifications and closing everything may take after a drain."""
THREADS_SECONDS = 3.0
"""Seconds to wait for threads once everything is closed."""
RECORDING_SECONDS = 2.0
"""Seconds that logging and recording a forced exit may take: their disk may be what hangs."""

_log = log.get()


@contextlib.asynccontextmanager
async def exit_in_time(
    settings: Settings, command: str, shutdown: Shutdown, drain_seconds: float
) -> AsyncIterator[None]:
    """Leave, with the reason's exit code, if the block or its threads outlast a drain of ``drain_seconds``.

    A forced exit is recorded as the end of ``command``, unless that is empty.
    """
    timer = _ExitTimer(settings, command, shutdown)

    async def watch() -> None:
        await shutdown.wait()
        timer.set(drain_seconds + CLOSING_SECONDS)

    watching = asyncio.create_task(watch(), name="leaving")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        if shutdown.asked:
            timer.set(THREADS_SECONDS)


class _ExitTimer:
    """Ends the process after a time; a thread, for the end of the event loop may be what hangs."""

    def __init__(self, settings: Settings, command: str, shutdown: Shutdown) -> None:
        self._settings = settings
        self._command = command
        self._shutdown = shutdown
        self._timer = threading.Timer(0.0, self._leave)

    def set(self, seconds: float) -> None:
        """Leave in ``seconds``, whatever was set before."""
        self._timer.cancel()
        self._timer = threading.Timer(seconds, self._leave)
        self._timer.daemon = True
        self._timer.start()

    def _leave(self) -> None:
        recording = threading.Thread(target=self._record, daemon=True)
        recording.start()
        recording.join(RECORDING_SECONDS)
        os._exit(self._code)

    @property
    def _code(self) -> int:
        return 0 if self._shutdown.reason is None else self._shutdown.reason.value

    def _record(self) -> None:
        """Log the exit and write ``last_exit.json``."""
        why = "something does not answer and cannot be interrupted, a file system most likely"
        if self._command:
            last_exit.record(self._settings, self._command, self._code, f"it left while something hung: {why}")
        _log.warning(f"leaving without the rest: {why}; runs in flight are taken up at the next start")
