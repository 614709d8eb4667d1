"""A server that plays recorded replies back, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from archiverd.ucondb.client import HttpUconDB, UconDBSettings

from .replaying import Playback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
async def playback() -> AsyncIterator[Playback]:
    """Give a server that plays back; at the end every step of its script must have been asked for, and no other."""
    played = Playback()
    server = await asyncio.start_server(played, "127.0.0.1", 0)
    played.port = server.sockets[0].getsockname()[1]
    yield played
    played.release()
    server.close()
    await server.wait_closed()
    assert played.surprises == []
    assert list(played.script) == []


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """Give a function that opens a client of a server; the clients are closed at the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_client(url: str, **changes: Any) -> HttpUconDB:
            given = {"folder": "test01", "object": "configuration", "user": "writer", "password": "writer-pw-1"}
            client = HttpUconDB(UconDBSettings(server_url=url, **{**given, **changes}), cnonce=lambda: "0a4f113b")
            await client.open()
            stack.push_async_callback(client.close)
            return client

        yield open_client
