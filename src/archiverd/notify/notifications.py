"""Notifications as configured: a dispatcher for each notifier and the metrics, as tasks beside the daemon's."""

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

DRAIN_SECONDS = 5.0
"""Longest wait of a drain for messages that are still to be sent; the rest is sent after the next start."""

PASS_SECONDS = 25.0
"""Longest wait of a pass that was not interrupted: it sends its messages only at its end."""

_log = log.get("Report")

Task = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set, then ends by itself."""


@dataclass(frozen=True, slots=True)
class Notifications:
    """The dispatchers and the metrics of a process."""

    dispatchers: tuple[Dispatcher, ...]
    metrics: Task | None

    @contextlib.asynccontextmanager
    async def of_daemon(self) -> AsyncIterator[None]:
        """Send messages while the block runs, then the rest for ``DRAIN_SECONDS`` at most."""
        async with self._running([dispatcher.run for dispatcher in self.dispatchers], lambda: DRAIN_SECONDS):
            yield

    @contextlib.asynccontextmanager
    async def of_pass(self, shutdown: Shutdown) -> AsyncIterator[None]:
        """Send messages after the block, one a stage and cause."""

        def seconds() -> float:
            return DRAIN_SECONDS if shutdown.asked else PASS_SECONDS

        async with self._running([dispatcher.run_at_end for dispatcher in self.dispatchers], seconds):
            yield

    @contextlib.asynccontextmanager
    async def _running(self, tasks: list[Task], seconds: Callable[[], float]) -> AsyncIterator[None]:
        """Run ``tasks`` and the metrics beside the block; after it they have ``seconds`` to end."""
        closing = asyncio.Event()
        wanted = [*tasks, self.metrics] if self.metrics is not None else tasks
        running = [asyncio.create_task(_isolated(task, closing), name="report") for task in wanted]
        try:
            yield
            closing.set()
            if running:
                await asyncio.wait(running, timeout=seconds())
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def _isolated(task: Task, closing: asyncio.Event) -> None:
    """Run ``task``; a bug in it is logged and affects nothing else."""
    try:
        await task(closing)
    except Exception as error:  # noqa: BLE001 - whatever it is, archiving goes on
        log.unexpected(_log, error)


def make_notifications(
    settings: Settings, journal: Journal, carbon: CarbonSender | None, backend_works: Callable[[], bool | None]
) -> Notifications:
    """Return the notifications as configured; ``backend_works``: see ``Dispatcher``."""
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
