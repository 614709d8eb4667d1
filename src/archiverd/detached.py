"""Blocking calls in a thread of their own, which the process does not wait for.

The event loop's threads are few, needed for archiving, and joined when the process ends. A name server, a peer or a
network file system that does not answer for minutes must delay neither.
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


async def run_detached(
    work: Callable[[], T], seconds: float | None = None, undo: Callable[[T], None] = lambda _: None
) -> T:
    """Return what ``work`` returns, or raise what it raises.

    Raise TimeoutError after ``seconds``, if given. After that, or when the caller is cancelled, the thread goes on
    until ``work`` ends, without delaying the process's end; ``undo`` gets its late result.
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
        except BaseException as error:  # noqa: BLE001 - raised in the caller
            deliver = partial(fail, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the caller is gone
            loop.call_soon_threadsafe(deliver)

    threading.Thread(target=serve, name="detached", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await answer


async def connect_tcp(host: str, port: int, seconds: float) -> socket.socket:
    """Return a non-blocking TCP connection to ``host``, made in a detached thread: resolving a name may take minutes.

    Raise OSError, or TimeoutError after ``seconds``.
    """

    def connect() -> socket.socket:
        try:
            connection = socket.create_connection((host, port), seconds)
        except UnicodeError as error:  # not a possible host name
            raise OSError(f"no host name: {host}") from error
        connection.settimeout(0)
        return connection

    return await run_detached(connect, seconds, socket.socket.close)
