"""A server that plays recorded replies back, one per connection, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).parents[1] / "data" / "ucondb_client"
RECORDED: dict[str, Any] = json.loads((DATA / "replies.json").read_text())

FREEZE = "freeze"
"""Take the request and never answer."""
RESET = "reset"
"""Take the request and reset the connection."""
CLOSE = "close"
"""Take the request and close the connection in order."""


@dataclass(frozen=True)
class Request:
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


def recorded(name: str, *, old: str = "", new: str = "", cut: int | None = None) -> bytes:
    """Return a recorded reply, as raw bytes; in its body ``old`` becomes ``new``, and only ``cut`` bytes are kept.

    Where the recording had a Content-Length, the reply has the body's before the cut; else its end is the connection's.
    """
    reply = RECORDED[name]
    body = reply["body"].replace(old, new).encode()
    headers = [f"{header}: {value.replace(old, new) if old else value}" for header, value in reply["headers"]]
    if reply["framed"]:
        headers.append(f"Content-Length: {len(body)}")
    return "\r\n".join([reply["status_line"], *headers, "", ""]).encode() + body[:cut]


def blob_reply(body: bytes, key: str = "1001", size: int | None = None, adler32: str | None = None) -> bytes:
    """Return the recorded reply to a blob read with another body, key or announced size."""
    changed = {"X-UConDB-version-key": key, "X-UConDB-data-size": str(len(body) if size is None else size)}
    if adler32 is not None:
        changed["X-UConDB-adler32"] = adler32
    headers = [f"{name}: {changed.get(name, value)}" for name, value in RECORDED["blob"]["headers"]]
    return "\r\n".join([RECORDED["blob"]["status_line"], *headers, "", ""]).encode() + body


@dataclass
class Playback:
    """Answers each request with the next step of ``script``, which also says how the request must begin."""

    script: deque[tuple[str, bytes | str]] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    port: int = 0
    base: str = "/test_on_ucon_prod/app"
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """What ``server_url`` must be."""
        return f"http://127.0.0.1:{self.port}{self.base}"

    def plays(self, *steps: tuple[str, bytes | str]) -> None:
        """Add steps: the beginning of ``METHOD /path?query`` below the base, and what is done then."""
        self.script.extend(steps)

    def release(self) -> None:
        """Close the connections that are frozen."""
        self._released.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.split("\r\n")
            headers = {name.lower(): value for name, _, value in (text.partition(": ") for text in rest if text)}
            method, target, _ = line.split(" ")
            action = self._next(f"{method} {target.removeprefix(self.base)}")
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.requests.append(Request(method, target, headers, body))
            await self._act(action, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _next(self, request: str) -> bytes | str:
        """Return the next step, if it is for ``request``."""
        if not self.script or not request.startswith(self.script[0][0]):
            self.surprises.append(request)
            return b"HTTP/1.1 418 not in the script\r\nContent-Length: 0\r\n\r\n"
        return self.script.popleft()[1]

    async def _act(self, action: bytes | str, writer: asyncio.StreamWriter) -> None:
        """Do one step."""
        match action:
            case bytes():
                writer.write(action)
                await writer.drain()
            case "freeze":
                await self._released.wait()
            case "reset":
                writer.transport.abort()
