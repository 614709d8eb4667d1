"""Telling people, one task a way: what the journal has that was not told goes out in batches.

There is no queue: while a mail server is away the news stands in the journal, and once it is back people are told how
things are then. Nothing here is waited for by archiving, and nothing that goes wrong here leaves this module.
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
    from archiverd.notify.batching import Batch, Key
    from archiverd.notify.message import Notifier

LOOK_SECONDS = 1.0
"""How often it is looked whether there is news."""

FIRST_WAIT_SECONDS = 4.0
LONGEST_WAIT_SECONDS = 900.0
"""After a failure it is tried again after 4, 8, 16, … seconds, with jitter, or later where the server asks for that."""

_log = log.get("Report")


@dataclass(slots=True)
class Dispatcher:
    """Tells people in one way, as long as the process lives."""

    name: str
    """The notifier's, as the log calls it."""
    notifier: Notifier
    memory: NotificationMemory
    quick_retries: int
    """A run counts as failed after so many retries."""
    backend_works: Callable[[], bool | None]
    """How UconDB stands as far as we know; None where nobody looks."""
    environment: Environment
    host: str
    """Our name, for people."""
    _batching: Batching = field(default_factory=Batching)
    _failures: int = 0
    _not_before: float = 0.0
    _trouble: str = ""

    async def run(self, closing: asyncio.Event) -> None:
        """Look for news until ``closing``; then tell what there is without waiting for more."""
        while not closing.is_set():
            await self._attempt(flush=False)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), LOOK_SECONDS)
        await self._attempt(flush=True)

    async def run_at_end(self, closing: asyncio.Event) -> None:
        """Tell what there is once ``closing``, trying again until it is told or the caller has waited long enough."""
        await closing.wait()
        while not await self._attempt(flush=True):  # noqa: ASYNC110 - waits for a server, not for a flag
            await asyncio.sleep(max(0.0, self._not_before - self.environment.monotonic()))

    async def _attempt(self, *, flush: bool) -> bool:
        """Tell what is due unless the last failure is too near; return whether it was told."""
        if self.environment.monotonic() < self._not_before:
            return False
        try:
            await self._tell(flush=flush)
        except ArchiverError as error:
            self._note_failure(error, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, archiving goes on
            self._note_failure(ReportingError(f"unexpected {type(error).__name__}: {error}", retry=Retry.BUG), error)
        else:
            return True
        return False

    async def _tell(self, *, flush: bool) -> None:
        """Tell what is due. Raise ReportingError, or another ArchiverError when the journal cannot be used."""
        news = await self.memory.news(self.quick_retries)
        if news.dropped:
            await self.memory.forget(news.dropped)
        found = batches(news, works=self.backend_works())
        sizes = {key: len(batch) for key, batch in found.items()}
        for key in self._batching.due(sizes, self.environment.monotonic(), flush=flush):
            await self._send(key, found[key])

    async def _send(self, key: Key, batch: Batch) -> None:
        """Send a message, remember that, and say so."""
        message = batch.message(key, self.host, self.environment.clock())
        await self.notifier.send(message)
        self._batching.sent(key, self.environment.monotonic())
        if self._failures:
            _log.info(f"{self.name} works again")
            self._failures, self._trouble = 0, ""
        _log.info(f"told by {self.name}: {message.summary}")
        if batch.failed:
            await self.memory.note_failed(batch.failed)
        if batch.repaired:
            await self.memory.forget([one.run for one in batch.repaired])
        if batch.hold is not None:
            await self.memory.note_hold(batch.hold)
        if key.topic is Topic.OUTAGE_OVER:
            await self.memory.forget_hold(key.subject)

    def _note_failure(self, error: ArchiverError, raised: Exception) -> None:
        """Wait before the next try, and say why, once a cause."""
        self._failures += 1
        nominal = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(self._failures - 1, 32))
        asked = error.context.get("retry_after")
        wait = max(nominal * self.environment.uniform(0.5, 1.0), asked if isinstance(asked, int) else 0)
        self._not_before = self.environment.monotonic() + wait
        if str(error) == self._trouble:
            return
        self._trouble = str(error)
        if error.retry is Retry.BUG:
            log.unexpected(_log, raised)
        log.failure(_log, error)
