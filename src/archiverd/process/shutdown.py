"""Shutdown of the daemon: its reasons with their exit codes, signals, and limits on what a drain may take."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import signal
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError
from archiverd.process import sd_notify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_log = log.get()

AT_ONCE_COUNT = 3
"""Number of interrupts that stop the daemon at once."""
AT_ONCE_WITHIN_SECONDS = 2.0
"""Longest time from the first of them to the last, in seconds."""

LONG_SECONDS = 30.0
"""A start that takes longer says what it waits for: a service manager gives up after two minutes."""


class ShutdownReason(enum.Enum):
    """Why the daemon drains; the value is its exit code (contract.md, "Exit codes")."""

    INTERRUPTED = 130
    LOCK_REMOVED = 1
    DRAIN_ASKED = 0


class Shutdown:
    """The daemon's one stop flag: the first reason to stop counts."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """``monotonic`` gives seconds; it dates interrupts and measures the drain."""
        self._monotonic = monotonic
        self._asked_at = 0.0
        self._asked = asyncio.Event()
        self._interrupts: list[float] = []
        self.reason: ShutdownReason | None = None

    @property
    def asked(self) -> bool:
        """Whether a shutdown was asked for: nothing new is taken up."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Return once a shutdown is asked for."""
        await self._asked.wait()

    async def rest(self, seconds: float) -> None:
        """Return after ``seconds``, or as soon as a shutdown is asked for."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._asked.wait(), seconds)

    def ask(self, reason: ShutdownReason) -> None:
        """Begin to drain for ``reason``; later reasons change nothing."""
        if self.reason is None:
            self.reason = reason
            self._asked_at = self._monotonic()
            self._asked.set()

    def remaining(self, seconds: float) -> float:
        """Return what remains of the ``seconds`` that a drain may take; all of them before one is asked for."""
        return seconds - (self._monotonic() - self._asked_at) if self.asked else seconds

    def interrupt(self) -> None:
        """Handle SIGINT or SIGTERM: drain; the third within two seconds leaves at once.

        Leaving at once loses nothing: whatever is in flight is in the journal (I6).
        """
        now = self._monotonic()
        self._interrupts = [when for when in self._interrupts if now - when <= AT_ONCE_WITHIN_SECONDS] + [now]
        if len(self._interrupts) >= AT_ONCE_COUNT:
            _log.warning("third interrupt: leaving at once; runs in flight are taken up at the next start")
            os._exit(ShutdownReason.INTERRUPTED.value)
        if self.reason is None:
            _log.info("interrupt: finishing what is in flight and in the queues, then leaving")
        self.ask(ShutdownReason.INTERRUPTED)


@contextlib.asynccontextmanager
async def drain_limit(shutdown: Shutdown, seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Cancel and leave the block once a drain has taken ``seconds``; ``expired()`` of what it yields says whether."""
    limit = asyncio.timeout(None)

    async def set_it() -> None:
        await shutdown.wait()
        limit.reschedule(asyncio.get_running_loop().time() + shutdown.remaining(seconds))

    try:
        async with limit:
            setting = asyncio.create_task(set_it(), name="drain limit")
            try:
                yield limit
            finally:
                setting.cancel()
                await asyncio.wait([setting])
    except TimeoutError:
        if not limit.expired():
            raise  # the block's own


@contextlib.asynccontextmanager
async def abandon_on_shutdown(shutdown: Shutdown, seconds: float, what: str) -> AsyncIterator[None]:
    """Abandon the block, which has nothing in hand, once a drain has taken ``seconds``.

    Raise ArchiverError then, "stopped before ``what``", with the exit code of the reason.
    """
    async with drain_limit(shutdown, seconds) as limit:
        yield
    if limit.expired():
        stopped = ArchiverError(f"stopped before {what}", remedy="nothing is lost; start it again")
        stopped.exit_code = (shutdown.reason or ShutdownReason.INTERRUPTED).value
        raise stopped


@contextlib.asynccontextmanager
async def startup_step(shutdown: Shutdown, seconds: float, doing: str, what: str) -> AsyncIterator[None]:
    """Run a part of the start like ``abandon_on_shutdown``; log, if it takes long, that it is still ``doing`` it."""
    sd_notify.notify(f"STATUS={doing}")
    slow = asyncio.get_running_loop().call_later(LONG_SECONDS, _log.warning, f"takes long: still {doing}")
    try:
        async with abandon_on_shutdown(shutdown, seconds, what):
            yield
    finally:
        slow.cancel()


@contextlib.contextmanager
def handle_signals(shutdown: Shutdown, *, on_hangup: Callable[[], None] | None = None) -> Iterator[None]:
    """While the block runs, SIGINT and SIGTERM drain the daemon, and SIGHUP calls ``on_hangup`` if it is given."""
    handlers: dict[signal.Signals, Callable[[], None]] = dict.fromkeys(
        (signal.SIGINT, signal.SIGTERM), shutdown.interrupt
    )
    if on_hangup is not None:
        handlers[signal.SIGHUP] = on_hangup
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
