"""The ASGI application: from a request through target, endpoint and faults to its reply."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from archiverd.ucondb_server import write_endpoints
from archiverd.ucondb_server.exchange import ClientLeftError, Exchange
from archiverd.ucondb_server.faults import Fault, FaultDealer
from archiverd.ucondb_server.instance import RequestContext
from archiverd.ucondb_server.read_endpoints import READERS, lookup_versions
from archiverd.ucondb_server.replies import PLAIN, Refusal, Response, failure, text, unknown_endpoint
from archiverd.ucondb_server.spool import PIECE, Spool
from archiverd.ucondb_server.target import parameters_of, split_target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from archiverd.ucondb_server.instance import Instance
    from archiverd.ucondb_server.store import Blob

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

LARGEST_SELECTION = 1 << 24
"""Longest body of a look-up, in bytes; 12 000 keys are about 0.2 MB."""

_WRITERS = {"tag": write_endpoints.tag, "create_folder": write_endpoints.create_folder}
_ENDPOINTS = frozenset({*READERS, *_WRITERS, "put", "lookup_versions"})
_DATABASE_DOWN = 'connection to server at "127.0.0.1", port 5432 failed: Connection refused\n'
_log = logging.getLogger(__name__)


class Application:
    """Serves one instance. Blocking work runs in worker threads, all writing to the store in a single one."""

    def __init__(
        self, instance: Instance, *, prefix: tuple[str, ...], spool_directory: Path, faults: FaultDealer, faithful: bool
    ) -> None:
        """Serve below the path words ``prefix``; large bodies are spooled in ``spool_directory``."""
        self._instance = instance
        self._prefix = prefix
        self._spool_directory = spool_directory
        self._faults = faults
        self._faithful = faithful
        # The real process works on one request at a time (section 10).
        self._turn = asyncio.Lock() if faithful else contextlib.nullcontext()
        self._reading = ThreadPoolExecutor(4, thread_name_prefix="read")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="write")

    def close(self) -> None:
        """Wait for the worker threads; no request may be running."""
        self._reading.shutdown()
        self._writing.shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        fault = self._faults.next(exchange.line)
        try:
            await asyncio.sleep(self._faults.latency)
            async with self._turn:
                reply = await self._reply_or_fault(exchange, fault)
            await self._send(exchange, reply, cut=fault is Fault.CUT)
        except ClientLeftError:
            _log.debug("client left: %s", exchange.line)
        except sqlite3.Error as error:  # in the middle of a blob, whose connection uvicorn now closes
            _log.error("%s: broken off: %s", exchange.line, error)
            raise

    async def _reply_or_fault(self, exchange: Exchange, fault: Fault) -> Response:
        if fault is Fault.FREEZE_FIRST:
            await exchange.never_answer()
        try:
            reply = await self._reply(exchange, database_down=fault is Fault.ERROR)
        except Refusal as refusal:
            reply = refusal.reply
        except (sqlite3.Error, OSError) as error:
            _log.error("%s: %s", exchange.line, error)  # a full disk needs no traceback
            reply = failure(str(error)).reply
        except ClientLeftError:
            raise
        except Exception:  # noqa: BLE001  # our own mistake must not become another page than the 500
            _log.exception("%s: a bug in this server", exchange.line)
            reply = failure("a bug in this server, see its log").reply
        if fault is Fault.FREEZE_LATE:
            await exchange.never_answer()
        if fault is Fault.DROP:
            await exchange.hang_up()
        return reply

    async def _reply(self, exchange: Exchange, *, database_down: bool) -> Response:
        """Return the reply to a request. Raise Refusal, sqlite3.Error, OSError or ClientLeftError."""
        if exchange.chunked and not self._faithful:
            return Response(411, PLAIN, b"Length Required: send Content-Length instead of a chunked body\n")
        target = split_target(exchange.raw_path, exchange.query, self._prefix)
        if target.endpoint not in _ENDPOINTS:
            raise unknown_endpoint("/" + "/".join((target.endpoint, *target.words)))
        if database_down and target.endpoint == "probe":
            return text(f"Error: {_DATABASE_DOWN}")
        if database_down and target.endpoint != "version":
            raise failure(_DATABASE_DOWN)
        request = RequestContext(
            endpoint=target.endpoint,
            method=exchange.method,
            parameters=parameters_of(target),
            authorization=exchange.header(b"authorization"),
            received=exchange.received,
        )
        if write_endpoints.is_put(request):
            return await self._put(exchange, request)
        if request.endpoint == "lookup_versions":
            return await self._look_up(exchange, request)
        if request.endpoint in _WRITERS:
            return await self._in_thread(self._writing, _WRITERS[request.endpoint], self._instance, request)
        return await self._in_thread(self._reading, READERS[request.endpoint], self._instance, request)

    async def _put(self, exchange: Exchange, request: RequestContext) -> Response:
        place = await self._in_thread(self._reading, write_endpoints.locate, self._instance, request)
        with Spool(self._spool_directory, limit=write_endpoints.LARGEST_BLOB) as body:
            await self._receive(exchange, body)
            draft = await self._in_thread(self._reading, write_endpoints.check, self._instance, request, place, body)
            return await self._in_thread(
                self._writing, write_endpoints.store, self._instance, request, place, draft, body
            )

    async def _look_up(self, exchange: Exchange, request: RequestContext) -> Response:
        with Spool(self._spool_directory, limit=LARGEST_SELECTION) as body:
            await self._receive(exchange, body)
            if body.too_long:
                raise failure("the selection is too long")
            selection = b"".join(await self._in_thread(self._reading, lambda: list(body.pieces())))
        return await self._in_thread(self._reading, lookup_versions, self._instance, request, selection)

    async def _receive(self, exchange: Exchange, body: Spool) -> None:
        """Read the body into ``body``; a chunked one counts as empty, as with the real listener (T1)."""
        if exchange.chunked:
            return
        waiting, more = bytearray(), True
        while more:
            data, more = await exchange.receive()
            waiting += data
            if len(waiting) >= PIECE or (waiting and not more):
                await self._in_thread(self._reading, body.add, bytes(waiting))
                waiting.clear()

    async def _send(self, exchange: Exchange, reply: Response, *, cut: bool) -> None:
        size = len(reply.body) if reply.blob is None else reply.blob.size
        headers = [(b"Content-Type", reply.content_type), *reply.headers]
        if reply.framed or not self._faithful:
            headers.append((b"Content-Length", str(size).encode()))
        if self._faithful:
            headers.append((b"Connection", b"close"))
        await exchange.send_head(reply.status, headers)
        if reply.blob is None or exchange.method == "HEAD":
            await exchange.send_body(reply.body, more=False)
        else:
            await self._send_blob(exchange, reply.blob, end=size // 2 if cut else size)

    async def _send_blob(self, exchange: Exchange, blob: Blob, *, end: int) -> None:
        """Send a blob up to ``end``; close the connection if that is early, by a fault or a dropped folder."""
        sent = number = 0
        while sent < end:
            piece = await self._in_thread(self._reading, self._instance.store.piece, blob, number)
            if piece is None:
                break
            await exchange.send_body(piece[: end - sent], more=True)
            sent += len(piece)
            number += 1
        if sent < blob.size:
            await exchange.hang_up()
        await exchange.send_body(b"", more=False)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, work: Callable[_Given, _Result], *args: _Given.args, **kwargs: _Given.kwargs
    ) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(pool, functools.partial(work, *args, **kwargs))
