"""A server that plays recorded replies back, and clients of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.ucondb.playback import Playback, client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from archiverd.ucondb.client import HttpUconDB


@pytest.fixture
async def playback() -> AsyncIterator[Playback]:
    """Give a server that plays back; at the end every step of its script must have been asked for, and no other."""
    async with Playback().running() as played:
        yield played


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """Give a function that opens a client of a server; the clients are closed at the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_client(url: str, **changes: Any) -> HttpUconDB:
            return await stack.enter_async_context(client(url, **changes))

        yield open_client
