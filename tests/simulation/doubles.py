"""What stands around the process: a journal's file, an artdaqDB that fails, a server that fails in every way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sqlite3
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from archiverd.core.errors import ArtdaqDBError, Retry
from archiverd.journal.errors import journal_error
from archiverd.ucondb.http import BrokenExchangeError, Reply, StreamedReply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from archiverd.artdaqdb.port import ArchivedRun, ArtdaqDB, Entity, ExportedEntity
    from tests.simulation.world import World

CHALLENGE = 'Digest realm="ucon.sim", nonce="b\'MQ==\'", algorithm=MD5, qop="auth"'


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


@dataclass
class Stored:
    """One version; ``key`` is None once another took it."""

    key: str | None
    data: bytes


@dataclass
class Server:
    """A UconDB as ucondb_protocol.md has it, with what can go wrong; it outlives the process."""

    world: World
    versions: list[Stored] = field(default_factory=list)
    late: list[tuple[float, str, bytes]] = field(default_factory=list)
    """Puts a frozen database carries out later: when, key, data."""
    away_until: float = 0.0
    watch: Callable[[str, bytes], None] = lambda _key, _data: None
    """Is told of every put that arrives."""
    sent: int = 0

    def find(self, key: str) -> Stored | None:
        return next((one for one in self.versions if one.key == key), None)

    def put(self, key: str, data: bytes, *, override: bool = False) -> bool:
        """Store a version; False if the key is taken."""
        taken = self.find(key)
        if taken is not None and not override:
            return False
        if taken is not None:
            taken.key = None
        self.versions.append(Stored(key, data))
        return True

    def catch_up(self) -> None:
        """Carry out the late puts whose time has come."""
        now = self.world.time()
        due = [one for one in self.late if one[0] <= now or self.world.peaceful]
        self.late = [one for one in self.late if one not in due]
        for _, key, data in due:
            self.put(key, data)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer a request as the real server does."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        endpoint = parts.path.split("/app/", 1)[1].split("/")[0]
        if endpoint == "probe":
            return _reply(200, b"OK")
        if endpoint == "versions":
            listed = [_record(n, one) for n, one in enumerate(self.versions)]
            return _reply(200, json.dumps(listed).encode()) if listed else _reply(404, b"Object o not found")
        return self._posted(query, headers, body) if method == "POST" else self._read(query)

    def _read(self, query: Mapping[str, str]) -> Reply:
        found = self.find(query["key"])
        if found is None and not self.versions:
            return _reply(500, b"<h3>'NoneType' object has no attribute 'getVersion'</h3>")
        if found is None:
            return _reply(404, b"Version not found")
        if "meta_only" in query:
            return _reply(200, json.dumps(_record(self.versions.index(found), found)).encode())
        described = {
            "x-ucondb-version-key": query["key"],
            "x-ucondb-data-size": str(len(found.data)),
            "x-ucondb-adler32": str(zlib.adler32(found.data)),
        }
        return Reply(200, "OK", described, found.data)

    def _posted(self, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Reply:
        if "Authorization" not in headers:
            return Reply(401, "Unauthorized", {"www-authenticate": CHALLENGE}, b"Authorization required")
        if "tv" in query:
            return _reply(500, b"<h3>could not convert string to float: 'x'</h3>")
        key = query["key"]
        self.sent += len(body)
        self.watch(key, body)
        if not self.put(key, body, override=query.get("override") == "yes"):
            return _reply(500, b"<h3>duplicate key value violates unique constraint</h3>")
        stored = self.versions[-1]
        if self.world.chance(0.005):  # what a proxy or a disk may do to it
            self.world.note("version cut")
            stored.data = body[: len(body) // 2]
        return _reply(200, json.dumps(_record(len(self.versions) - 1, stored)).encode())


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
            return _reply(503, b"busy")
        if world.chance(0.005):
            world.note(f"{method} timed out")
            await asyncio.sleep(10.0 if seconds is None else seconds)
            query = parse_qs(urlsplit(target).query)
            if method == "POST" and "key" in query and "override" not in query and "Authorization" in (headers or {}):
                server.watch(query["key"][0], b"".join(body))
                server.late.append((world.time() + world.dice.uniform(0.0, 600.0), query["key"][0], b"".join(body)))
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


def _reply(status: int, body: bytes) -> Reply:
    return Reply(status, "", {}, body)


def _record(number: int, stored: Stored) -> dict[str, object]:
    """Return a version's metadata."""
    size, adler32 = len(stored.data), zlib.adler32(stored.data)
    return {"id": number, "key": stored.key, "data_size": size, "uadler32": adler32}


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()
