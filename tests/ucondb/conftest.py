"""What the tests of the UconDB client talk to: a played-back server, and the bundled one as a real process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import archiverd
from archiverd.ucondb.client import HttpUconDB, UconDBSettings

from .replaying import Playback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_RUNNER = """
import json, pathlib, sys
from archiverd.ucondb_server import ServerOptions, serve
options = json.loads(sys.argv[1])
sys.exit(serve(ServerOptions(**options | {"data": pathlib.Path(options["data"]), "folders": ("test01",)})))
"""


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


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Give a function that starts the bundled server as a process and returns its address."""
    with contextlib.ExitStack() as stack:

        def start(**changes: Any) -> str:
            options = {"data": str(tmp_path / "data"), "host": "127.0.0.1", "port": 0, "instance": "inst"}
            options |= {"user": "writer", "password": "writer-pw-1", **changes}
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _RUNNER, json.dumps(options)],
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "PYTHONPATH": str(Path(archiverd.__file__).parents[1])},
                )
            )
            stack.callback(process.terminate)
            assert process.stdout is not None
            return process.stdout.readline().rpartition(" ")[2].strip()

        yield start
