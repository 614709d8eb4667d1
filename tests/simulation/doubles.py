"""What stands around the process: a journal's file, an artdaqDB that fails, a server that fails in every way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from archiverd.core.errors import ArtdaqDBError, Retry
from archiverd.journal.errors import journal_error
from archiverd.ucondb.http import BrokenExchangeError, Reply, StreamedReply
from tests.simulation.server import plain_reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from archiverd.artdaqdb.port import ArchivedRun, ArtdaqDB, Entity, ExportedEntity
    from tests.simulation.server import Server
    from tests.simulation.world import World


class Ledger:
    """The journal's writer without its thread: SQLite modelled per transaction, killed before or after any."""

    def __init__(self, world: World, connection: sqlite3.Connection, _group_limit: int) -> None:
        self._world = world
        self._connection = connection

    async def write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        await asyncio.sleep(0)
        self._world.effect("journal begins")
        self._may_fail("write")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._connection)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        self._world.effect("journal committed")
        return result

    async def read(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        await asyncio.sleep(0)
        if self._world.dead:
            self._world.effect("journal read")
        self._may_fail("read")
        return work(self._connection)

    def _may_fail(self, what: str) -> None:
        if self._world.chance(0.001):
            self._world.note(f"journal {what} fails")
            raise journal_error(sqlite3.OperationalError("disk I/O error"))

    async def close(self) -> None:
        """Keep the connection: it is the file, and outlives the process."""


class Unreliable:
    """artdaqDB through its port: each call may fail before it did anything, or after it did everything.

    Nothing is stored of a run whose intent is not in the journal (``intended`` tells).
    """

    def __init__(self, world: World, inner: ArtdaqDB, intended: Callable[[int], None]) -> None:
        self._world = world
        self._inner = inner
        self._intended = intended

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        return await self._call("list_runs", self._inner.list_runs())

    async def find(self, run: int) -> ArchivedRun | None:
        return await self._call("find", self._inner.find(run))

    async def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        self._intended(run)
        return await self._call("insert", self._inner.insert(run, configuration, entities))

    async def update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        self._intended(run)
        return await self._call("update", self._inner.update(run, configuration, entities))

    async def export(self, run: int) -> Sequence[ExportedEntity]:
        return await self._call("export", self._inner.export(run))

    async def _call(self, name: str, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            self._may_fail(f"{name} fails before")
            answer = await work
        finally:
            work.close()
        self._may_fail(f"{name} fails after")
        return answer

    def _may_fail(self, what: str) -> None:
        if self._world.chance(0.002):
            self._world.note(what)
            raise ArtdaqDBError(f"Failed to access artdaqDB: {what}", retry=Retry.TRANSIENT)


class Line:
    """The wire to the server: refuses, breaks off before or after, freezes, answers 503, cuts what comes back."""

    def __init__(self, world: World, server: Server) -> None:
        self._world = world
        self._server = server

    async def close(self) -> None:
        """Nothing is held."""

    async def ask(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Sequence[bytes] = (),
        seconds: float | None = None,
        **_: object,
    ) -> Reply:
        """Make an exchange that may go wrong in any way it can."""
        world, server = self._world, self._server
        await asyncio.sleep(0.001)
        world.effect("sending")
        server.catch_up()
        if world.time() < server.away_until and not world.peaceful:
            world.note("ucondb away")
            raise BrokenExchangeError("Connection refused", sent=False)
        if world.chance(0.01):
            world.note(f"{method} lost on the way")
            raise BrokenExchangeError("Connection reset by peer", sent=True)
        if world.chance(0.01):
            world.note(f"{method} busy")
            return plain_reply(503, b"busy")
        if world.chance(0.005):
            world.note(f"{method} timed out")
            await asyncio.sleep(10.0 if seconds is None else seconds)
            query = parse_qs(urlsplit(target).query)
            if method == "POST" and "key" in query and "override" not in query and "Authorization" in (headers or {}):
                folder, key = urlsplit(target).path.split("/")[-2], query["key"][0]
                server.watch(folder, key, b"".join(body))
                server.late.append((world.time() + world.dice.uniform(0.0, 600.0), folder, key, b"".join(body)))
            raise BrokenExchangeError("Read timed out (read timeout=10)", sent=True, timed_out=True)
        reply = server.answer(method, target, headers or {}, b"".join(body))
        world.effect("answered")
        if world.chance(0.01):
            world.note(f"{method} answer lost")
            raise BrokenExchangeError("Connection reset by peer", sent=True)
        return reply

    @contextlib.asynccontextmanager
    async def exchange(
        self, method: str, target: str, *, seconds: float | None = None, **more: Any
    ) -> AsyncIterator[StreamedReply]:
        """Make an exchange whose body comes in pieces, and may be cut in silence."""
        reply = await self.ask(method, target, seconds=seconds, **more)
        body = reply.body
        if self._world.chance(0.02):
            self._world.note(f"{method} answer cut")
            body = body[: len(body) // 2]

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        yield StreamedReply(reply.status, reply.reason, reply.headers, pieces())


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()
