"""Blocking work in a thread of its own that nobody has to wait for.

The loop's own threads belong to archiving: there are few, and the process waits for them at its end. A name server, a
peer or a network file system that is silent for minutes must hold up neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def aside(work: Callable[[], T], seconds: float | None = None, undo: Callable[[T], None] = lambda _: None) -> T:
    """Return what ``work`` returns, or raise what it raises; ``undo`` gets a result that comes too late.

    Raise TimeoutError after ``seconds``, if given. Then, and when the caller is cancelled, the thread ends whenever
    ``work`` does, and does not hold up the process.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T) -> None:
        if answer.done():
            undo(result)
        else:
            answer.set_result(result)

    def fail(error: BaseException) -> None:
        if not answer.done():
            answer.set_exception(error)

    def serve() -> None:
        deliver: Callable[[], None]
        try:
            deliver = partial(settle, work())
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            deliver = partial(fail, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver)

    threading.Thread(target=serve, name="aside", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await answer


async def dial(host: str, port: int, seconds: float) -> socket.socket:
    """Return a TCP connection, not blocking, made without the loop's threads: looking up a name may take minutes.

    Raise OSError (TimeoutError after ``seconds``).
    """

    def connect() -> socket.socket:
        try:
            connection = socket.create_connection((host, port), seconds)
        except UnicodeError as error:  # no name that could be looked up
            raise OSError(f"no host name: {host}") from error
        connection.settimeout(0)
        return connection

    return await aside(connect, seconds, socket.socket.close)
