"""The client's end of the control socket: requests to the running daemon, if one runs.

A connection to an AF_UNIX socket is made at once or not at all, so the blocking client and the one on an event loop
share everything but the waiting. Only the latter imports asyncio: `status` must be quick.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, TypeVar

from archiverd.control.fields import MessageError
from archiverd.control.protocol import LONGEST_REPLY, find_path, from_line, to_error, to_line
from archiverd.core.errors import ArchiverError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

_CHUNK = 64 * 1024
_REFUSED = (BrokenPipeError, ConnectionResetError)
"""What sending meets when the daemon refuses a request before it has read it: its answer says why."""


class NobodyListensError(ArchiverError):
    """No daemon listens at the control socket: none runs, or it was killed and left the file."""


class DaemonGoneError(ArchiverError):
    """The daemon ended before it answered, in order or not; a client of `drain` may wait for just that."""


def ask_now(
    work_dir: Path,
    command: str,
    arguments: Mapping[str, object],
    seconds: float,
    on_progress: Callable[[object], None] = lambda _: None,
) -> object:
    """Return the result of ``command``; the daemon may be silent for ``seconds`` at most.

    Raise what the daemon says went wrong, NobodyListensError, DaemonGoneError, or ArchiverError when it is silent or
    answers nonsense.
    """
    request = to_line({**arguments, "command": command})
    answer = _Answer(on_progress)
    with _connect(work_dir) as connection:
        connection.settimeout(seconds)
        try:
            with contextlib.suppress(*_REFUSED):
                connection.sendall(request)
            while not answer.complete:
                answer.take(_end_on_reset(connection))
        except TimeoutError:
            raise _silent(command, seconds) from None
    return answer.result()


def call(
    work_dir: Path,
    command: str,
    arguments: Mapping[str, object],
    parse: Callable[[object], T],
    seconds: float,
    on_progress: Callable[[object], None] = lambda _: None,
) -> T:
    """Do as ``ask_now``; return the result as ``parse`` reads it, which raises MessageError for another one."""
    result = ask_now(work_dir, command, arguments, seconds, on_progress)
    try:
        return parse(result)
    except MessageError as wrong:
        raise _nonsense(str(wrong)) from wrong


async def ask(
    work_dir: Path,
    command: str,
    arguments: Mapping[str, object],
    *,
    seconds: float,
    on_progress: Callable[[object], None] = lambda _: None,
) -> object:
    """Do as ``ask_now`` without blocking the loop."""
    import asyncio  # noqa: PLC0415 - see above

    loop = asyncio.get_running_loop()
    request = to_line({**arguments, "command": command})
    answer = _Answer(on_progress)
    with _connect(work_dir) as connection:
        try:
            with contextlib.suppress(*_REFUSED):
                async with asyncio.timeout(seconds):
                    await loop.sock_sendall(connection, request)
            while not answer.complete:
                async with asyncio.timeout(seconds):
                    try:
                        received = await loop.sock_recv(connection, _CHUNK)
                    except ConnectionResetError:
                        received = b""
                answer.take(received)
        except TimeoutError:
            raise _silent(command, seconds) from None
    return answer.result()


class _Answer:
    """The daemon's lines as they come in."""

    def __init__(self, on_progress: Callable[[object], None]) -> None:
        self._on_progress = on_progress
        self._rest = bytearray()
        self._final: dict[str, object] | None = None

    @property
    def complete(self) -> bool:
        """Whether the last line is here."""
        return self._final is not None

    def take(self, received: bytes) -> None:
        """Go on with what was received, nothing meaning the end. Raise DaemonGoneError or ArchiverError."""
        if not received:
            raise DaemonGoneError(
                "The daemon stopped before it answered",
                retry=Retry.UNKNOWN,
                remedy="see with `archiverd status` what was done; start the daemon if it should run",
            )
        searched = len(self._rest)
        self._rest += received
        while self._final is None and (end := self._rest.find(b"\n", searched)) >= 0:
            line = bytes(self._rest[: end + 1])
            del self._rest[: end + 1]
            searched = 0
            self._read(line)
        if len(self._rest) > LONGEST_REPLY:
            raise _nonsense(f"a line of more than {LONGEST_REPLY} bytes")

    def result(self) -> object:
        """Return the result that the last line carries. Raise the error that it carries instead."""
        reply = self._final or {}
        if reply.get("ok") is True:
            return reply.get("result")
        try:
            error = to_error(reply.get("error"))
        except (ValueError, TypeError, LookupError) as wrong:
            raise _nonsense(str(wrong)) from wrong
        raise error

    def _read(self, line: bytes) -> None:
        try:
            reply = from_line(line)
        except ValueError as wrong:
            raise _nonsense(str(wrong)) from wrong
        if "ok" in reply:
            self._final = reply
        else:
            self._on_progress(reply.get("progress"))


def _connect(work_dir: Path) -> socket.socket:
    """Return a connection to the daemon, not blocking. Raise NobodyListensError, or ArchiverError if it may not be."""
    path = find_path(work_dir)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        connection.close()
        raise NobodyListensError(
            f"No daemon listens at {path}",
            retry=Retry.TRANSIENT,
            remedy="none runs, or app.work_dir is another one's; `archiverd run` starts one",
        ) from error
    except OSError as error:
        connection.close()
        # A path too long for the kernel has no errno: no daemon can listen there, it would have left a link.
        kind = NobodyListensError if error.errno is None else ArchiverError
        raise kind(
            f"Cannot reach the daemon at {path}: {error}",
            retry=Retry.TRANSIENT,
            remedy="run the command as the daemon's user or in its group; if the daemon is busy, try again",
        ) from error
    return connection


def _end_on_reset(connection: socket.socket) -> bytes:
    """Receive some bytes; a daemon that was killed with our request unread has ended as any other."""
    try:
        return connection.recv(_CHUNK)
    except ConnectionResetError:
        return b""


def _silent(command: str, seconds: float) -> ArchiverError:
    return ArchiverError(
        f"The daemon did not answer {command} within {seconds:g} s",
        retry=Retry.UNKNOWN,
        remedy="see in its log what it does; a frozen one is stopped with SIGKILL and started again without loss",
    )


def _nonsense(why: str) -> ArchiverError:
    return ArchiverError(
        f"The daemon's answer is not understood: {why}",
        retry=Retry.UNKNOWN,
        remedy="are daemon and command of the same version? restart the daemon after an update",
    )
