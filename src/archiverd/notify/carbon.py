"""Metrics for Graphite: plaintext lines ``prefix.path value epoch`` to Carbon over TCP.

A metric is put into a buffer, which never blocks, and sent every few seconds. While the buffer is full, because Carbon
is away, further lines are dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ReportingError, Retry
from archiverd.detached import connect_tcp

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.config.reporting import Carbon

SEND_SECONDS = 5.0
"""Seconds between sends."""

FIRST_WAIT_SECONDS = 5.0
"""Wait after a first failure; it doubles with each further one, with jitter."""

LONGEST_WAIT_SECONDS = 300.0
"""Longest wait after a failure."""

BUFFER_LINES = 20_000
"""Most lines that wait, some two megabytes."""

_log = log.get("Report")


class CarbonSender:
    """A connection to Carbon, and the lines that wait for it."""

    def __init__(
        self,
        settings: Carbon,
        *,
        clock: Callable[[], float],
        uniform: Callable[[float, float], float],
        seconds: float = 5.0,
        limit: int = BUFFER_LINES,
    ) -> None:
        """``clock`` returns epoch seconds; ``seconds`` is the timeout of a step; at most ``limit`` lines wait."""
        self._host, self._port = settings.host, settings.port
        prefix = "_".join(settings.metric_prefix.split()).strip(".")
        self._prefix = f"{prefix}." if prefix else ""
        self._clock = clock
        self._uniform = uniform
        self._seconds = seconds
        self._limit = limit
        self._lines: deque[bytes] = deque()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._trouble = ""
        self.dropped = 0
        """Lines dropped since the last send."""

    def put(self, path: str, value: float) -> None:
        """Buffer a metric, or drop it when the buffer is full. Never waits."""
        if len(self._lines) >= self._limit:
            self.dropped += 1
            return
        number = str(value) if isinstance(value, int) else f"{value:.3f}"
        self._lines.append(f"{self._prefix}{path} {number} {int(self._clock())}\n".encode())

    async def run(self, closing: asyncio.Event) -> None:
        """Send the buffer every few seconds until ``closing``, then once more. A failure is logged once a cause."""
        failures = 0
        try:
            while not closing.is_set():
                failures = 0 if await self._attempt() else failures + 1
                nominal = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 32))
                wait = nominal * self._uniform(0.5, 1.0) if failures else SEND_SECONDS
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(closing.wait(), wait)
            await self._attempt()
            await self._close()
        finally:
            self._abort()

    async def check(self) -> None:
        """Connect to Carbon without sending anything. Raise ReportingError."""
        try:
            (await connect_tcp(self._host, self._port, self._seconds)).close()
        except OSError as error:
            raise self._failure(error) from error

    async def _attempt(self) -> bool:
        """Send the buffer; return whether that worked."""
        try:
            await self._send()
        except OSError as error:
            self._abort()
            failure = self._failure(error)
            if str(failure) != self._trouble:
                self._trouble = str(failure)
                log.failure(_log, failure)
            return False
        if self._trouble:
            _log.info(f"Carbon takes figures again; {self.dropped} were dropped")
            self._trouble = ""
        self.dropped = 0
        return True

    async def _send(self) -> None:
        """Send every line that waits. Raise OSError, after which they still wait."""
        if not self._lines:
            return
        writer = await self._connected()
        count = len(self._lines)
        writer.write(b"".join(self._lines))
        async with asyncio.timeout(self._seconds):
            await writer.drain()
        for _ in range(count):
            self._lines.popleft()

    async def _connected(self) -> asyncio.StreamWriter:
        """Return the writer of the connection, of a new one if Carbon has closed it. Raise OSError."""
        if self._streams is not None and self._streams[0].at_eof():
            self._abort()
        if self._streams is None:
            self._streams = await asyncio.open_connection(sock=await connect_tcp(self._host, self._port, self._seconds))
        return self._streams[1]

    async def _close(self) -> None:
        """Close the connection after what was written has been sent."""
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(self._seconds):
                    await self._streams[1].wait_closed()

    def _abort(self) -> None:
        """Abort the connection; what was not yet sent is lost."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    def _failure(self, error: OSError) -> ReportingError:
        text = "timed out" if isinstance(error, TimeoutError) else str(error)
        return ReportingError(
            f"Cannot send figures to Carbon at {self._host}:{self._port}: {text}",
            retry=Retry.TRANSIENT,
            remedy="check carbon.host and port, and whether Carbon runs",
        )
