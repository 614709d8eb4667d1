"""HTTP to the UconDB server, through httpx, which only this module imports.

A request has four timeouts of its own (connect, read, write, pool) and is not cancelled by us: httpx can lose a
connection slot when a request is cancelled while others wait for one. Should its pool stop handing out connections
all the same, a fresh pool takes its place and the old one is closed when its last exchange is over.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx

from archiverd import log

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

CONNECTIONS = 80
"""More than the largest ``max_concurrent_uploads``: a request that waits for a connection waits for a lost one."""
KEEPALIVE_SECONDS = 2.0
"""Idle connections are closed before any server closes them (Apache: 5 s), so that no put meets a closing one."""
REPLY_LIMIT = 1 << 20
"""Most bytes read of a reply that is not a blob or a list."""

_log = log.get()

_SLICE = 1 << 18
"""Bytes given to the socket at a time: 200 MB in one piece block the event loop for 0.15 s and are copied."""
_HEADERS = {
    "User-Agent": "archiverd",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
}
"""Identity: Apache's mod_deflate compresses some replies of clients that allow it (ucondb_protocol.md section 5). No
cache may answer: only what the server itself gives back is a proof."""


class BrokenExchangeError(Exception):
    """An exchange that did not complete; ``str()`` says why, for operators."""

    def __init__(self, reason: str, *, sent: bool, timed_out: bool = False, cut: bool = False) -> None:
        """``sent``: some of the request may have reached the server. ``timed_out``: our time limit ended it.

        ``cut``: the reply came to an end before all the bytes that it announced.
        """
        super().__init__(reason)
        self.sent = sent
        self.timed_out = timed_out
        self.cut = cut


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; header names in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class StreamedReply:
    """The head of a reply whose body is still to come, in pieces of at most 64 KiB."""

    status: int
    reason: str
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]

    async def whole(self, limit: int = REPLY_LIMIT) -> Reply:
        """Read the body, at most ``limit`` bytes of it. Raise BrokenExchangeError."""
        body = bytearray()
        async for piece in self.pieces:
            body += piece
            if len(body) >= limit:
                break
        return Reply(self.status, self.reason, self.headers, bytes(body[:limit]))


class HttpExchange:
    """Exchanges with one server; ``seconds`` limits connecting and the wait for a free connection."""

    def __init__(self, server_url: str, seconds: float, tls: ssl.SSLContext, *, connections: int = CONNECTIONS) -> None:
        self._origin = httpx.URL(server_url).copy_with(raw_path=b"/")
        self._seconds = seconds
        self._tls = tls
        self._connections = connections
        self._pool = self._fresh()
        self._retired: list[_Pool] = []

    async def close(self) -> None:
        """Close every connection."""
        for pool in (self._pool, *self._retired):
            await pool.client.aclose()

    async def ask(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Sequence[bytes] = (),
        seconds: float | None = None,
        limit: int = REPLY_LIMIT,
    ) -> Reply:
        """Make an exchange (see ``exchange``) and return its reply, the body cut at ``limit`` bytes."""
        async with self.exchange(method, target, headers=headers, body=body, seconds=seconds) as answer:
            return await answer.whole(limit)

    @contextlib.asynccontextmanager
    async def exchange(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Sequence[bytes] = (),
        seconds: float | None = None,
    ) -> AsyncIterator[StreamedReply]:
        """Send a request; give its reply once the head has arrived.

        ``body`` is in parts to be joined. ``target`` is sent as it is; a POST has a Content-Length and is never chunked
        (ucondb_protocol.md section 11, T1). ``seconds`` limits the time between two pieces sent or received. Raise
        BrokenExchangeError, also from the reply's pieces.
        """
        patience = self._seconds if seconds is None else seconds
        timeout = httpx.Timeout(connect=self._seconds, read=patience, write=patience, pool=self._seconds)
        posts = method == "POST"
        sent = {**_HEADERS, **(headers or {}), **({"Content-Length": str(sum(map(len, body)))} if posts else {})}
        slices = _Slices(body)
        request = httpx.Request(
            method,
            self._origin,
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=slices if posts else None,
            extensions={"timeout": timeout.as_dict(), "target": target.encode("ascii")},
        )
        try:
            async with contextlib.AsyncExitStack() as stack:
                stack.callback(slices.release)
                response = await self._send(request, stack)
                _log.debug(f"{method} {target} → {response.status_code} {response.reason_phrase}")
                raw = cast("AsyncGenerator[bytes]", response.aiter_raw())
                pieces = await stack.enter_async_context(contextlib.aclosing(raw))
                yield StreamedReply(response.status_code, response.reason_phrase, response.headers, pieces)
        except (httpx.HTTPError, OSError) as error:
            broken = _broken(error, self._seconds, patience)
            _log.debug(f"{method} {target} → {broken}")
            raise broken from error

    async def _send(self, request: httpx.Request, stack: contextlib.AsyncExitStack) -> httpx.Response:
        """Send ``request``, again through a fresh pool if the present one gives no connection."""
        pool = self._pool
        try:
            return await stack.enter_async_context(pool.exchange(request))
        except httpx.PoolTimeout:
            await self._replace(pool)
            return await stack.enter_async_context(self._pool.exchange(request))

    def _fresh(self) -> _Pool:
        """Return a connection pool; the environment's proxies are ignored."""
        limits = httpx.Limits(max_connections=self._connections, keepalive_expiry=KEEPALIVE_SECONDS)
        return _Pool(httpx.AsyncClient(limits=limits, verify=self._tls, trust_env=False))

    async def _replace(self, stuck: _Pool) -> None:
        """Replace a pool that gives no connection, unless another request has already."""
        if self._pool is not stuck:
            return
        self._pool = self._fresh()
        self._retired = [pool for pool in (*self._retired, stuck) if pool.users]
        await stuck.retire()


class _Pool:
    """A connection pool that closes itself after its last exchange, once retired."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.users = 0
        self._retired = False

    @contextlib.asynccontextmanager
    async def exchange(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """Send ``request`` and give the response while it lasts."""
        self.users += 1
        try:
            response = await self.client.send(request, stream=True)
            async with contextlib.aclosing(response):
                yield response
        finally:
            self.users -= 1
            await self._close_if_left()

    async def retire(self) -> None:
        """Close as soon as the last exchange is over."""
        self._retired = True
        await self._close_if_left()

    async def _close_if_left(self) -> None:
        if self._retired and not self.users:
            await self.client.aclose()


class _Slices:
    """A request's body, given to the socket in slices of one size whatever the sizes of its parts."""

    def __init__(self, body: Sequence[bytes]) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in _sliced(self._body):
            yield piece

    def release(self) -> None:
        """Release the body: httpx's response and request refer to this until the cycle collector runs."""
        self._body = ()


def _sliced(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of ``parts`` in pieces of ``_SLICE``, the last one shorter."""
    pending = bytearray()
    for part in parts:
        view = memoryview(part)
        while len(pending) + len(view) >= _SLICE:
            taken = _SLICE - len(pending)
            yield bytes(pending) + view[:taken]
            pending.clear()
            view = view[taken:]
        pending += view
    if pending:
        yield bytes(pending)


def tls_context(*, verify: bool, ca_file: Path | None) -> ssl.SSLContext:
    """Return a TLS context; ``ca_file`` (PEM) replaces the system's authorities. Raise OSError (ssl.SSLError)."""
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _broken(error: Exception, seconds: float, patience: float) -> BrokenExchangeError:
    """Translate what httpx raises."""
    match error:
        case httpx.ConnectTimeout():
            words = f"Connection timed out (connect timeout={seconds:g})"
            return BrokenExchangeError(words, sent=False, timed_out=True)
        case httpx.PoolTimeout():
            words = f"No connection became free (pool timeout={seconds:g})"
            return BrokenExchangeError(words, sent=False, timed_out=True)
        case httpx.ReadTimeout():
            return BrokenExchangeError(f"Read timed out (read timeout={patience:g})", sent=True, timed_out=True)
        case httpx.WriteTimeout():
            return BrokenExchangeError(f"Write timed out (write timeout={patience:g})", sent=True, timed_out=True)
        case _:
            return BrokenExchangeError(system_message(error), sent=not isinstance(error, httpx.ConnectError))


def system_message(error: BaseException) -> str:
    """Return the operating system's message for the root cause of ``error``, such as ``Connection refused``."""
    found = ""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        link = pending.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        found = _own_message(link) or found
        pending += [link.__context__, link.__cause__]
        if isinstance(link, BaseExceptionGroup):
            pending += link.exceptions
    return found or str(error) or "the connection broke"


def _own_message(error: BaseException) -> str:
    """Return the message of TLS, the resolver or the operating system in ``error`` itself; empty if there is none."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"TLS certificate verification failed: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}"
        case socket.gaierror():
            return f"the server's name cannot be resolved: {error.strerror}"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
        case _:
            return ""
