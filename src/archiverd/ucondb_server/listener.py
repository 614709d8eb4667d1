"""The server process: data directory, socket, uvicorn, signals, and the form of replies on the wire."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from archiverd.ucondb_server.app import Application
from archiverd.ucondb_server.digest import Credentials
from archiverd.ucondb_server.faults import FaultDealer, parse_plan
from archiverd.ucondb_server.instance import Instance
from archiverd.ucondb_server.store import Store, StoreError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from pathlib import Path

    from uvicorn.server import ServerState

    from archiverd.ucondb_server.options import ServerOptions

_IDLE_SECONDS = 75
"""Seconds a connection may wait for its next request."""
_DRAIN_SECONDS = 5
"""Seconds a stopping server waits for running requests."""


class CannotServeError(Exception):
    """The server cannot start; the message has the reason and the remedy."""


def run(options: ServerOptions) -> int:
    """Serve until a signal; see ``archiverd.ucondb_server.serve``."""
    try:
        _refuse_impossible(options)
        with _owned(options.data), _open_socket(options.host, options.port) as listening:
            store = Store(options.data / "ucondb.sqlite")
            try:
                for folder in options.folders:
                    store.create_folder(folder)
                _serve(options, store, listening)
            finally:
                store.close()
    except (CannotServeError, StoreError, OSError) as error:
        sys.stderr.write(f"ucondb-server: {error}\n")
        return 1
    return 0


def _refuse_impossible(options: ServerOptions) -> None:
    """Raise ``CannotServeError`` for options that cannot be served."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", options.instance):
        raise CannotServeError(f"instance {options.instance!r}: use letters, digits and _ . - only")
    for name in (options.namespace, *options.folders):
        if not re.fullmatch(r"[a-z0-9_]+", name):
            raise CannotServeError(f"folder or namespace {name!r}: use lower-case letters, digits and _ only")
    if not options.user or not options.password:
        raise CannotServeError("a user and a password are needed")
    if "," in options.user:
        raise CannotServeError("a comma in the user's name would make every login fail")
    try:
        parse_plan(options.fault)
    except ValueError as error:
        raise CannotServeError(str(error)) from None


@contextlib.contextmanager
def _owned(data: Path) -> Iterator[None]:
    """Lock the data directory. Raise CannotServeError if another server has it."""
    data.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data / "server.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
            raise CannotServeError(f"{data} is served by process {owner}: stop it, or take another directory") from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _open_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound for listening. Raise CannotServeError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        # With the protocol named, asyncio switches off Nagle's delay, which costs 40 ms per kept-alive request.
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise CannotServeError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listening


def _serve(options: ServerOptions, store: Store, listening: socket.socket) -> None:
    app = Application(
        Instance(store, options.namespace, Credentials(options.user, options.password)),
        prefix=(options.instance, "app"),
        spool_directory=options.data,
        faults=FaultDealer(parse_plan(options.fault)),
        faithful=options.faithful,
    )
    config = uvicorn.Config(
        app,
        http=_FaithfulProtocol if options.faithful else _Protocol,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="critical",  # what goes wrong is logged where it is known
        access_log=False,
        server_header=False,
        date_header=not options.faithful,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"http://{host}:{listening.getsockname()[1]}/{options.instance}/app"
    try:
        _Server(config, url).run(sockets=[listening])
    finally:
        app.close()


class _Server(uvicorn.Server):
    """Uvicorn's server; it prints a line when ready, and a signal is an ordinary end."""

    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"listening on {self._url}\n")
        sys.stdout.flush()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Connection(h11.Connection):
    """An h11 connection with the real server's reason phrase for a 500 (ucondb_protocol.md section 9)."""

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        if isinstance(event, h11.Response) and event.status_code == 500:
            headers = event.headers.raw_items()
            event = h11.Response(status_code=500, headers=headers, reason=b"Application Error")
        return super().send_with_data_passthrough(event)


class _FaithfulConnection(_Connection):
    """One that ends unframed bodies by closing; the real listener does not know chunked encoding."""

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        if isinstance(event, h11.Response):
            self.their_http_version = b"1.0"  # to such a client h11 sends no chunks
        return super().send_with_data_passthrough(event)


class _Protocol(H11Protocol):
    """Uvicorn's protocol over our connection, which the application may close (``state["hang_up"]``)."""

    connection: type[h11.Connection] = _Connection

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "hang_up": self._hang_up}, _loop)
        self.conn = self.connection(h11.SERVER)

    def _hang_up(self) -> None:
        self.transport.close()


class _FaithfulProtocol(_Protocol):
    connection = _FaithfulConnection
