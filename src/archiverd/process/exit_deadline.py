"""The end of a stop that something holds up for good: the process leaves all the same.

A thread that waits for a frozen disk or server cannot be cancelled, and the interpreter waits for its threads. Leaving
without them loses nothing: whatever was in flight stands in the journal (I6).
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
"""What the last word to people and closing everything may take, after a drain."""
THREADS_SECONDS = 3.0
"""How long is waited for threads once everything is closed."""
SAYING_SECONDS = 2.0
"""How long saying and recording it may take: their disk may be what hangs."""

_log = log.get()


@contextlib.asynccontextmanager
async def exit_in_time(settings: Settings, command: str, shutdown: Shutdown, patience: float) -> AsyncIterator[None]:
    """Leave, with the exit code of the reason, if the block or its threads outlast a stop of ``patience`` seconds.

    How it ended is recorded as the end of ``command``, unless that is empty.
    """
    alarm = _Alarm(settings, command, shutdown)

    async def watch() -> None:
        await shutdown.wait()
        alarm.set(patience + CLOSING_SECONDS)

    watching = asyncio.create_task(watch(), name="leaving")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        if shutdown.asked:
            alarm.set(THREADS_SECONDS)


class _Alarm:
    """Ends the process when its time is over; a thread, for the loop's own end may be what hangs."""

    def __init__(self, settings: Settings, command: str, shutdown: Shutdown) -> None:
        self._settings = settings
        self._command = command
        self._shutdown = shutdown
        self._timer = threading.Timer(0.0, self._leave)

    def set(self, seconds: float) -> None:
        """Leave after ``seconds``, whatever was set before."""
        self._timer.cancel()
        self._timer = threading.Timer(seconds, self._leave)
        self._timer.daemon = True
        self._timer.start()

    def _leave(self) -> None:
        saying = threading.Thread(target=self._say, daemon=True)
        saying.start()
        saying.join(SAYING_SECONDS)
        os._exit(self._code)

    @property
    def _code(self) -> int:
        return 0 if self._shutdown.reason is None else self._shutdown.reason.value

    def _say(self) -> None:
        """Tell the log and ``last_exit.json``."""
        why = "something does not answer and cannot be interrupted, a file system most likely"
        if self._command:
            last_exit.record(self._settings, self._command, self._code, f"it left while something hung: {why}")
        _log.warning(f"leaving without the rest: {why}; runs in flight are taken up at the next start")
