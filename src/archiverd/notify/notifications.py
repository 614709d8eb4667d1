"""Who is told, as configured: the ways to people, the way to Carbon, and their tasks beside the daemon's."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.environment import Environment
from archiverd.notify import carbon_metrics
from archiverd.notify.dispatcher import Dispatcher
from archiverd.notify.registry import make_notifiers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from archiverd.config.models import Settings
    from archiverd.journal.journal import Journal
    from archiverd.notify.carbon import CarbonSender
    from archiverd.process.shutdown import Shutdown

LAST_WORD_SECONDS = 5.0
"""A drain waits so long for what is still to be told; the rest is told after the next start."""

LAST_WORD_OF_PASS_SECONDS = 25.0
"""A pass tells only at its end: unless it was interrupted it waits for servers that take their time."""

_log = log.get("Report")

Task = Callable[[asyncio.Event], Awaitable[None]]
"""Goes on until the event is set, then comes to its end."""


@dataclass(frozen=True, slots=True)
class Notifications:
    """What tells people and Carbon, beside the work."""

    dispatchers: tuple[Dispatcher, ...]
    figures: Task | None

    @contextlib.asynccontextmanager
    async def of_daemon(self) -> AsyncIterator[None]:
        """Tell what happens while the block runs, then what is left, for a moment."""
        async with self._running([dispatcher.run for dispatcher in self.dispatchers], lambda: LAST_WORD_SECONDS):
            yield

    @contextlib.asynccontextmanager
    async def of_pass(self, shutdown: Shutdown) -> AsyncIterator[None]:
        """Tell after the block what came of it: one message a stage and cause."""

        def seconds() -> float:
            return LAST_WORD_SECONDS if shutdown.asked else LAST_WORD_OF_PASS_SECONDS

        async with self._running([dispatcher.run_at_end for dispatcher in self.dispatchers], seconds):
            yield

    @contextlib.asynccontextmanager
    async def _running(self, tasks: list[Task], seconds: Callable[[], float]) -> AsyncIterator[None]:
        """Have ``tasks`` and the figures go on while the block runs; they have ``seconds`` to come to their end."""
        closing = asyncio.Event()
        wanted = [*tasks, self.figures] if self.figures is not None else tasks
        running = [asyncio.create_task(_kept_apart(task, closing), name="report") for task in wanted]
        try:
            yield
            closing.set()
            if running:
                await asyncio.wait(running, timeout=seconds())
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def _kept_apart(task: Task, closing: asyncio.Event) -> None:
    """Run ``task``; a mistake of ours in it is logged and touches nothing else."""
    try:
        await task(closing)
    except Exception as error:  # noqa: BLE001 - whatever it is, archiving goes on
        log.unexpected(_log, error)


def make_notifications(
    settings: Settings, journal: Journal, carbon: CarbonSender | None, backend_works: Callable[[], bool | None]
) -> Notifications:
    """Return what tells, as configured; ``backend_works`` tells how UconDB stands, None where nobody looks."""
    environment = Environment(time.time, time.monotonic, random.uniform)
    dispatchers = tuple(
        Dispatcher(
            name=name,
            notifier=notifier,
            memory=journal.notification_memory(name),
            quick_retries=settings.app.run_process_retries,
            backend_works=backend_works,
            environment=environment,
            host=socket.gethostname(),
        )
        for name, notifier in make_notifiers(settings).items()
    )
    return Notifications(dispatchers, None if carbon is None else partial(carbon_metrics.send_metrics, journal, carbon))
