"""What stands around the process: a journal's file, a disk that forgets, a server that fails in every way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from archiverd.disk import RealDisk
from archiverd.ucondb.wire import Answer, BrokenExchangeError, Reply

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from pathlib import Path

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
        return work(self._connection)

    async def close(self) -> None:
        """Keep the connection: it is the file, and outlives the process."""


class ForgetfulDisk(RealDisk):
    """Forgets, when the power goes, whatever was not synced: names that no directory sync made durable."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._new: set[Path] = set()
        self._gone: dict[Path, bytes] = {}

    def power_cut(self) -> None:
        """Drop some of what was not synced, and bring back some of what was removed."""
        for path in sorted(self._new):
            if self._world.dice.random() < 0.5:
                path.unlink(missing_ok=True)
        for path, data in self._gone.items():
            if self._world.dice.random() < 0.5 and not path.exists():
                path.write_bytes(data)
        self._new.clear()
        self._gone.clear()

    def create(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        self._before("create")
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
        self._new.add(path)
        self._gone.pop(path, None)
        self._world.effect("created")

    def append(self, path: Path, data: bytes) -> None:
        half = self._world.dead
        self._before("append")
        with path.open("ab") as file:
            file.write(data[: len(data) // 2] if half else data)
        self._world.effect("appended")

    def truncate(self, path: Path, length: int) -> None:
        self._before("truncate")
        with path.open("r+b") as file:
            file.truncate(length)
        self._world.effect("truncated")

    def publish(self, path: Path, chunks: Iterable[bytes]) -> None:
        self._before("publish")
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(b"".join(chunks))
        temporary.replace(path)
        self._world.effect("published")

    def sync_directory(self, path: Path) -> None:
        self._before("sync")
        self._new = {one for one in self._new if one.parent != path}
        self._gone = {one: data for one, data in self._gone.items() if one.parent != path}
        self._world.effect("synced")

    def unlink(self, path: Path) -> None:
        self._before("unlink")
        if path.exists() and path not in self._new:
            self._gone[path] = path.read_bytes()
        path.unlink(missing_ok=True)
        self._world.effect("unlinked")

    def _before(self, what: str) -> None:
        """Fail, or be killed, before anything is done."""
        self._world.effect(f"before {what}")
        if self._world.chance(0.001):
            raise OSError(28, "No space left on device")


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
        if self.world.chance(0.0005):  # what a proxy or a disk may do to it
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
        body: bytes = b"",
        seconds: float | None = None,
        **_: object,
    ) -> Reply:
        """Make an exchange that may go wrong in any way it can."""
        world, server = self._world, self._server
        await asyncio.sleep(0.001)
        world.effect("sending")
        server.catch_up()
        if world.time() < server.away_until and not world.peaceful:
            raise BrokenExchangeError("Connection refused", sent=False)
        if world.chance(0.01):
            raise BrokenExchangeError("Connection reset by peer", sent=True)
        if world.chance(0.01):
            return _reply(503, b"busy")
        if world.chance(0.005):
            await asyncio.sleep(10.0 if seconds is None else seconds)
            query = parse_qs(urlsplit(target).query)
            if method == "POST" and "key" in query and "override" not in query and "Authorization" in (headers or {}):
                server.watch(query["key"][0], body)
                server.late.append((world.time() + world.dice.uniform(0.0, 600.0), query["key"][0], body))
            raise BrokenExchangeError("Read timed out (read timeout=10)", sent=True, timed_out=True)
        reply = server.answer(method, target, headers or {}, body)
        world.effect("answered")
        if world.chance(0.01):
            raise BrokenExchangeError("Connection reset by peer", sent=True)
        return reply

    @contextlib.asynccontextmanager
    async def exchange(
        self, method: str, target: str, *, seconds: float | None = None, **more: Any
    ) -> AsyncIterator[Answer]:
        """Make an exchange whose body comes in pieces, and may be cut in silence."""
        reply = await self.ask(method, target, seconds=seconds, **more)
        body = reply.body[: len(reply.body) // 2] if self._world.chance(0.02) else reply.body

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        yield Answer(reply.status, reply.reason, reply.headers, pieces())


def _reply(status: int, body: bytes) -> Reply:
    return Reply(status, "", {}, body)


def _record(number: int, stored: Stored) -> dict[str, object]:
    """Return a version's metadata."""
    size, adler32 = len(stored.data), zlib.adler32(stored.data)
    return {"id": number, "key": stored.key, "data_size": size, "uadler32": adler32}


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()
