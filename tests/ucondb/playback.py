"""A small real TCP server that plays recorded replies back, one after the other, and keeps the requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archiverd.config.models import UconDb
from archiverd.ucondb.client import HttpUconDB
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

DATA = Path(__file__).parents[1] / "data" / "ucondb_client"
RECORDED: Mapping[str, Any] = json.loads((DATA / "exchanges.json").read_text(encoding="utf-8"))
REPLIES: Mapping[str, Any] = json.loads((DATA / "replies.json").read_text(encoding="utf-8"))
INSTANCE, USER, PASSWORD = "test_on_ucon_prod", "writer", "writer-pw-1"


@dataclass(frozen=True)
class Request:
    """One request as it came off the wire; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def asked(self) -> str:
        """Method and target below the instance."""
        return f"{self.method} {self.target.removeprefix(f'/{INSTANCE}/app')}"


Step = Callable[[asyncio.StreamWriter, asyncio.Event], Awaitable[bool]]
"""What happens to one request; True keeps the connection. The event is set when the test is over."""


def recorded(name: str, number: int = -1) -> bytes:
    """Return the recorded reply of a case's exchange, as it went over the wire."""
    return str(RECORDED[name]["exchanges"][number]["reply"]).encode("latin-1")


def body_of(name: str, number: int = -1) -> bytes:
    """Return the body of a recorded reply."""
    return recorded(name, number).split(b"\r\n\r\n", 1)[1]


def meaning(name: str, *, old: str = "", new: str = "", cut: int | None = None) -> bytes:
    """Return a recorded reply by what it means; ``old`` in it becomes ``new``, and ``cut`` bytes of its body are kept.

    A Content-Length, where the recording had one, is that of the body before the cut.
    """
    told = REPLIES[name]
    body = told["body"].replace(old, new).encode()
    headers = [f"{header}: {value.replace(old, new)}" for header, value in told["headers"]]
    if told["framed"]:
        headers.append(f"Content-Length: {len(body)}")
    return "\r\n".join([told["status_line"], *headers, "", ""]).encode() + body[:cut]


def blob_reply(body: bytes, key: str = "1001", adler32: str | None = None) -> bytes:
    """Return the recorded reply to a blob read with another body and key, and the recorded checksum or another."""
    changed = {"X-UConDB-version-key": key, "X-UConDB-data-size": str(len(body))}
    if adler32 is not None:
        changed["X-UConDB-adler32"] = adler32
    told = REPLIES["blob"]
    headers = [f"{name}: {changed.get(name, value)}" for name, value in told["headers"]]
    return "\r\n".join([told["status_line"], *headers, "", ""]).encode() + body


def reply(status: str, body: bytes = b"", *, framed: bool = True) -> bytes:
    """Make a reply; an unframed one ends when the connection does."""
    length = f"Content-Length: {len(body)}\r\n" if framed else ""
    return f"HTTP/1.1 {status}\r\n{length}\r\n".encode() + body


def say(raw: bytes, *, keep: bool = False) -> Step:
    """Send ``raw``, then close the connection unless it is to be kept."""

    async def step(writer: asyncio.StreamWriter, _ended: asyncio.Event) -> bool:
        writer.write(raw)
        await writer.drain()
        return keep

    return step


def play(name: str, number: int = -1) -> Step:
    """Send a recorded reply."""
    return say(recorded(name, number))


def reset(raw: bytes = b"") -> Step:
    """Send ``raw``, then reset the connection."""

    async def step(writer: asyncio.StreamWriter, _ended: asyncio.Event) -> bool:
        writer.write(raw)
        await writer.drain()
        endpoint: socket.socket = writer.get_extra_info("socket")
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False

    return step


def freeze(raw: bytes = b"") -> Step:
    """Send ``raw``, then nothing more until the test is over."""

    async def step(writer: asyncio.StreamWriter, ended: asyncio.Event) -> bool:
        writer.write(raw)
        await writer.drain()
        await ended.wait()
        return False

    return step


def close() -> Step:
    """Close the connection in order without a word."""
    return say(b"")


class Playback:
    """Answers each request with the next of its steps; one too many, one too few or an unexpected one fails the test.

    Steps given to ``plays`` come with how their request must begin: ``METHOD /path?query`` below the instance.
    """

    def __init__(self, *steps: Step) -> None:
        self.steps: deque[tuple[str, Step]] = deque(("", step) for step in steps)
        self.requests: list[Request] = []
        self.connections = 0
        self.url = ""
        self._problems: list[str] = []
        self._ended = asyncio.Event()

    @property
    def asked(self) -> list[str]:
        """Method and target of each request so far."""
        return [request.asked for request in self.requests]

    def plays(self, *script: tuple[str, Step | bytes]) -> None:
        """Add steps, each with the beginning of its request; bytes are a whole reply."""
        self.steps.extend((start, say(step) if isinstance(step, bytes) else step) for start, step in script)

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Playback]:
        """Serve while the context lasts."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/{INSTANCE}/app"
        try:
            yield self
        finally:
            self._ended.set()
            server.close()
            async with asyncio.timeout(DEADLINE_SECONDS):
                while server._active_count:  # `wait_closed` waits for them only from Python 3.12 on
                    await asyncio.sleep(0.01)
        assert not self._problems
        assert not self.steps, f"{len(self.steps)} replies were never asked for"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            kept = True
            while kept:
                request = await _read(reader)
                self.requests.append(request)
                kept = await self._next(request)(writer, self._ended)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except (IndexError, ValueError) as error:
            self._problems.append(f"{error}: {self.asked}")
        finally:
            writer.close()

    def _next(self, request: Request) -> Step:
        """Return the next step. Raise IndexError if there is none, ValueError if it is for another request."""
        start, step = self.steps[0]
        if not request.asked.startswith(start):
            raise ValueError(f"not {start}")
        self.steps.popleft()
        return step


async def _read(reader: asyncio.StreamReader) -> Request:
    """Read one request, its body by Content-Length. Raise ValueError if it has a body without one."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _version = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if "transfer-encoding" in headers or (method != "GET" and "content-length" not in headers):
        raise ValueError(f"a body without Content-Length: {head}")
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def settings(url: str, **changes: Any) -> UconDb:
    """Return settings for the object of the recordings."""
    usual = {
        "folder_name": "test01",
        "object_name": "configuration",
        "writer_user": USER,
        "writer_password": PASSWORD,
        "timeout_seconds": 20.0,
    }
    return UconDb(server_url=url, **{**usual, **changes})


@contextlib.asynccontextmanager
async def client(url: str, **changes: Any) -> AsyncIterator[HttpUconDB]:
    """Open a client while the context lasts."""
    limits = {name: changes.pop(name) for name in ("largest_blob",) if name in changes}
    ucondb = HttpUconDB(settings(url, **changes), rereads=2, cnonce=lambda: "0a4f113b", **limits)
    await ucondb.open()
    try:
        yield ucondb
    finally:
        await ucondb.close()


@contextlib.asynccontextmanager
async def playing(*steps: Step, **changes: Any) -> AsyncIterator[tuple[HttpUconDB, Playback]]:
    """Run a playback of ``steps`` and a client of it."""
    async with Playback(*steps).running() as server, client(server.url, **changes) as ucondb:
        yield ucondb, server
