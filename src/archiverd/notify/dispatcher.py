"""The dispatcher of one notifier: sends what the journal has and people were not yet notified of, in batches.

There is no queue: while a mail server is away the news are in the journal, and once it is back people are notified of
what is true then. Archiving does not wait for this, and no error leaves this module.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, ReportingError, Retry
from archiverd.notify.batching import Batching, batches
from archiverd.notify.message import Topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.core.environment import Environment
    from archiverd.journal.memories import NotificationMemory
    from archiverd.notify.batching import Batch, MessageKey
    from archiverd.notify.message import Notifier

POLL_SECONDS = 1.0
"""Seconds between checks of the journal for news."""

FIRST_WAIT_SECONDS = 4.0
"""Wait after a first failure; doubles with each further one, with jitter. Longer if the server asks for that."""

LONGEST_WAIT_SECONDS = 900.0
"""Longest wait after a failure, unless the server asks for more."""

_log = log.get("Report")


@dataclass(slots=True)
class Dispatcher:
    """Sends messages through one notifier as long as the process lives."""

    name: str
    """The notifier's, as the log calls it."""
    notifier: Notifier
    memory: NotificationMemory
    quick_retries: int
    """Retries after which a run counts as failed."""
    backend_works: Callable[[], bool | None]
    """Returns whether UconDB works, None if this process does not probe it."""
    environment: Environment
    host: str
    """Name of this host, for messages."""
    _batching: Batching = field(default_factory=Batching)
    _failures: int = 0
    _not_before: float = 0.0
    _last_failure: str = ""

    async def run(self, closing: asyncio.Event) -> None:
        """Send messages when they are due until ``closing``; then send the rest without waiting for more news."""
        while not closing.is_set():
            await self._attempt(flush=False)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), POLL_SECONDS)
        await self._attempt(flush=True)

    async def run_at_end(self, closing: asyncio.Event) -> None:
        """Send all news once ``closing``, trying again until that worked or the caller cancels."""
        await closing.wait()
        while not await self._attempt(flush=True):  # noqa: ASYNC110 - waits for a server, not for a flag
            await asyncio.sleep(max(0.0, self._not_before - self.environment.monotonic()))

    async def _attempt(self, *, flush: bool) -> bool:
        """Send what is due unless the last failure is too recent; return whether that worked."""
        if self.environment.monotonic() < self._not_before:
            return False
        try:
            await self._send_due(flush=flush)
        except ArchiverError as error:
            self._note_failure(error, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, archiving goes on
            self._note_failure(ReportingError(f"unexpected {type(error).__name__}: {error}", retry=Retry.BUG), error)
        else:
            return True
        return False

    async def _send_due(self, *, flush: bool) -> None:
        """Send what is due. Raise ReportingError, or another ArchiverError when the journal cannot be used."""
        news = await self.memory.news(self.quick_retries)
        if news.dropped:
            await self.memory.forget(news.dropped)
        found = batches(news, works=self.backend_works())
        sizes = {key: len(batch) for key, batch in found.items()}
        for key in self._batching.due(sizes, self.environment.monotonic(), flush=flush):
            await self._send(key, found[key])

    async def _send(self, key: MessageKey, batch: Batch) -> None:
        """Send a message, then note and log that."""
        message = batch.message(key, self.host, self.environment.clock())
        await self.notifier.send(message)
        self._batching.sent(key, self.environment.monotonic())
        if self._failures:
            _log.info(f"{self.name} works again")
            self._failures, self._last_failure = 0, ""
        _log.info(f"told by {self.name}: {message.summary}")
        if batch.failed:
            await self.memory.note_notified(batch.failed)
        if batch.repaired:
            await self.memory.forget([one.run for one in batch.repaired])
        if batch.hold is not None:
            await self.memory.note_hold(batch.hold)
        if key.topic is Topic.OUTAGE_OVER:
            await self.memory.forget_hold(key.subject)

    def _note_failure(self, error: ArchiverError, raised: Exception) -> None:
        """Set the wait before the next try, and log the failure once a cause."""
        self._failures += 1
        nominal = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(self._failures - 1, 32))
        asked = error.context.get("retry_after")
        wait = max(nominal * self.environment.uniform(0.5, 1.0), asked if isinstance(asked, int) else 0)
        self._not_before = self.environment.monotonic() + wait
        if str(error) == self._last_failure:
            return
        self._last_failure = str(error)
        if error.retry is Retry.BUG:
            log.unexpected(_log, raised)
        log.failure(_log, error)
