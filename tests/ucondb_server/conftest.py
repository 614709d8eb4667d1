"""A real server process for each test that asks, and raw HTTP to talk to it."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import archiverd
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_RUNNER = """
import json, pathlib, sys
from archiverd.ucondb_server import ServerOptions, serve
options = json.loads(sys.stdin.readline())
options["data"] = pathlib.Path(options["data"])
options["folders"] = tuple(options["folders"])
sys.exit(serve(ServerOptions(**options)))
"""
_SOURCES = str(Path(archiverd.__file__).parents[1])

USER, PASSWORD, INSTANCE = "writer", "writer-pw-1", "test_on_ucon_prod"


@dataclass(frozen=True)
class Reply:
    """One reply as it came off the wire; header names in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    kept_alive: bool = False

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def digest(method: str, uri: str, realm: str, *, user: str = USER, password: str = PASSWORD, nonce: str = "n") -> str:
    """Return the value of Authorization, by RFC 2617 and nothing of the project's."""

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()

    first, second = md5(user, realm, password), md5(method, uri)
    response = md5(first, nonce, "00000001", "0a4f113b", "auth", second)
    return (
        f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm=MD5, qop=auth, '
        f'nc=00000001, cnonce="0a4f113b", response="{response}"'
    )


def read_reply(connection: socket.socket, method: str) -> Reply:
    """Read one reply off ``connection``, to its end."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    body = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, response.reason, headers, body, kept_alive=not response.will_close)


@dataclass
class Server:
    """A running server process."""

    process: subprocess.Popen[str]
    options: Mapping[str, Any]
    url: str
    port: int
    base: str = f"/{INSTANCE}/app"

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS)

    def raw(self, data: bytes, method: str = "GET") -> Reply:
        """Send ``data`` on a connection of its own and read one reply."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_reply(connection, method)

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one request below the base on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, self.base + target, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, response.reason, found, response.read())

    def get(self, target: str) -> Reply:
        """Send a GET below the base."""
        return self.request("GET", target)

    def login(self, method: str, target: str, realm: str = "ucon_prd.test01", **changes: str) -> dict[str, str]:
        """Return the header that logs in for a request to ``target`` below the base."""
        return {"Authorization": digest(method, self.base + target, realm, **changes)}

    def put(self, target: str, body: bytes, realm: str = "ucon_prd.test01") -> Reply:
        """POST ``body`` with a preemptive login."""
        return self.request("POST", target, body, self.login("POST", target, realm))

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Signal the process, wait for its end, and return its exit code and all it still said."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, output + errors


def spawn(**options: Any) -> subprocess.Popen[str]:
    """Start a server process without waiting for it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RUNNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": _SOURCES},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(options) + "\n")
    process.stdin.flush()
    return process


def defaults(data: Path, **changes: Any) -> dict[str, Any]:
    """Return the options of a usual server over ``data``."""
    usual = {"host": "127.0.0.1", "port": 0, "instance": INSTANCE, "user": USER, "password": PASSWORD}
    return {"data": str(data), "folders": ["test01"], **usual, **changes}


@contextlib.contextmanager
def launcher() -> Iterator[Callable[..., Server]]:
    """Yield a function that starts servers; all of them are gone at the end."""
    started: list[Server] = []

    def launch(data: Path, **changes: Any) -> Server:
        options = defaults(data, **changes)
        process = spawn(**options)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            raise AssertionError(f"no server: {line!r} {process.communicate()}")
        url = line.removeprefix("listening on ").strip()
        server = Server(process, options, url, int(url.split(":")[2].split("/")[0]))
        started.append(server)
        return server

    try:
        yield launch
    finally:
        for server in started:
            if server.process.poll() is None:
                server.process.kill()
            server.process.communicate()


@pytest.fixture
def launch() -> Iterator[Callable[..., Server]]:
    """Start servers for one test."""
    with launcher() as start:
        yield start


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One plain server for all tests of a module; each test takes an object of its own."""
    with launcher() as start:
        yield start(tmp_path_factory.mktemp("shared") / "data")
