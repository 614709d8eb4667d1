"""The daemon's end of the control socket (see ``protocol`` for the lines).

A connection carries one request. A client can hold nothing up: its time to send and to read is limited, progress that
it does not read is left out, and a command that it began is finished whether it stays or not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.control.protocol import LONGEST_REPLY, LONGEST_REQUEST, from_error, from_line, to_line
from archiverd.control.unix_socket import listening
from archiverd.core.errors import ArchiverError, leaf

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator
    from pathlib import Path

Progress = Callable[[object], None]
"""Sends the client the progress of its command, any JSON value; never waits and never fails for the client."""
Handler = Callable[[Mapping[str, object], Progress], Awaitable[object]]
"""Runs a command with its arguments; the result goes to the client as JSON."""

_log = log.get("Control")

_CHUNK = 64 * 1024
_UNEXPECTED_EXIT_CODE = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may cost the daemon."""

    connections: int = 16
    read_seconds: float = 5.0
    """Most seconds a client may take to send its request."""
    write_seconds: float = 10.0
    """Most seconds a client may take to read its reply."""


@contextlib.asynccontextmanager
async def serving(work_dir: Path, handlers: Mapping[str, Handler], limits: Limits | None = None) -> AsyncIterator[Path]:
    """Answer commands while the block runs; yield the socket's path. Clients that still wait at its end are let go.

    The caller holds the lock: a socket file that is there already is a killed daemon's. Raise ArchiverError if the
    place is taken by something else or is not safe, OSError if the socket cannot be made.
    """
    with listening(work_dir) as (listener, path):
        task = asyncio.create_task(_accept(listener, handlers, limits or Limits()), name="control")
        try:
            yield path
        finally:
            task.cancel()
            await asyncio.wait([task])


async def _accept(listener: socket.socket, handlers: Mapping[str, Handler], limits: Limits) -> None:
    """Take connections until cancelled, each in a task of its own."""
    loop = asyncio.get_running_loop()
    under_way: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                _log.warning(f"cannot take a command: {error}")
                await asyncio.sleep(1.0)  # out of descriptors, most likely: they come back
                continue
            if len(under_way) >= limits.connections:
                _refuse(connection, limits)
                continue
            task = group.create_task(_exchange(connection, handlers, limits), name="command")
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            # Here, not in the task: one that is cancelled before it began would leave the connection open.
            task.add_done_callback(lambda _, ended=connection: ended.close())  # type: ignore[misc]


def _refuse(connection: socket.socket, limits: Limits) -> None:
    """Send a client away; the line always fits in the empty buffer of a new connection."""
    busy = ArchiverError(
        f"The daemon answers {limits.connections} commands already", remedy="wait for those to end, then try again"
    )
    with connection, contextlib.suppress(OSError):
        connection.send(_failed(busy))


async def _exchange(connection: socket.socket, handlers: Mapping[str, Handler], limits: Limits) -> None:
    """Read a request, run it, and reply."""
    outgoing = _Outgoing(connection)
    try:
        line = await _read_request(connection, limits)
        if line is None:
            return
        reply = await _run(line, handlers, outgoing)
    except ArchiverError as error:
        reply = _failed(error)
    except OSError as error:
        _log.debug(f"a client went away: {error}")
        return
    try:
        async with asyncio.timeout(limits.write_seconds):
            await outgoing.finish(reply)
    except OSError as error:  # TimeoutError is one
        _log.debug(f"a client did not read its reply: {error!r}")


async def _read_request(connection: socket.socket, limits: Limits) -> bytes | None:
    """Return the request's line, None if the client sent nothing. Raise ArchiverError if it is late, long or cut."""
    loop = asyncio.get_running_loop()
    line = bytearray()
    try:
        async with asyncio.timeout(limits.read_seconds):
            while b"\n" not in line and len(line) <= LONGEST_REQUEST:
                received = await loop.sock_recv(connection, _CHUNK)
                if not received:
                    break
                line += received
    except TimeoutError:
        raise bad_request(f"it did not come within {limits.read_seconds:g} s") from None
    request, newline, _ = line.partition(b"\n")
    if len(request) >= LONGEST_REQUEST:
        raise bad_request(f"it has more than {LONGEST_REQUEST} bytes")
    if request and not newline:
        raise bad_request("it ends before its line does")
    return bytes(request) if newline else None


async def _run(line: bytes, handlers: Mapping[str, Handler], outgoing: _Outgoing) -> bytes:
    """Run a request; return the reply, also to a mistake of ours. Raise ArchiverError for a request that is none."""
    try:
        arguments = from_line(line)
    except ValueError as error:
        raise bad_request(str(error)) from None
    command = arguments.pop("command", None)
    handler = handlers.get(command) if isinstance(command, str) else None
    if handler is None:
        raise bad_request(f"there is no command {str(command)[:80]!r}; there are {', '.join(sorted(handlers))}")
    _log.debug(f"a client asks: {command}")
    try:
        reply = to_line({"ok": True, "result": await handler(arguments, outgoing.progress)})
    except Exception as error:  # noqa: BLE001 - the daemon outlives a command's failure, whatever it is
        return _failed(leaf(error))
    return reply if len(reply) <= LONGEST_REPLY else _failed(_too_long(len(reply)))


class _Outgoing:
    """The lines to one client. Progress that the client does not read is left out; only the last line is waited for."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""
        """What is left of a line that was begun: no other line may go before it."""

    def progress(self, value: object) -> None:
        """Send a progress line if the client has read those before it. Raise TypeError for what JSON cannot say."""
        line = to_line({"progress": value})
        self._push()
        if not self._rest and len(line) <= LONGEST_REPLY:
            self._rest = line
            self._push()

    async def finish(self, line: bytes) -> None:
        """Send the last line. Raise OSError if the client is gone."""
        await asyncio.get_running_loop().sock_sendall(self._connection, self._rest + line)

    def _push(self) -> None:
        """Send what the client's buffer takes; ``finish`` finds out about one that is gone."""
        if self._rest:
            with contextlib.suppress(OSError):
                self._rest = self._rest[self._connection.send(self._rest) :]


def _failed(error: BaseException) -> bytes:
    """Return the reply that carries an error; one that nobody expected is logged with its traceback."""
    if isinstance(error, ArchiverError):
        return to_line({"ok": False, "error": from_error(error)})
    log.unexpected(_log, error)
    unexpected = ArchiverError(
        f"Unexpected error in the daemon: {type(error).__name__}: {error}",
        remedy="its log has the traceback (UNEXPECTED ERROR SUMMARY): report it; the daemon goes on",
    )
    unexpected.exit_code = _UNEXPECTED_EXIT_CODE
    return to_line({"ok": False, "error": from_error(unexpected)})


def bad_request(why: str) -> ArchiverError:
    """Return the error for a request that is not understood, which ``why`` says."""
    return ArchiverError(
        f"The daemon does not understand the request: {why}", remedy="are daemon and command of the same version?"
    )


def _too_long(length: int) -> ArchiverError:
    return ArchiverError(
        f"The reply has {length} bytes, more than {LONGEST_REPLY}", remedy="ask for less, e.g. for one state's runs"
    )
