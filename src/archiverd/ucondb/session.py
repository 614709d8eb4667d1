"""One object of one UconDB folder within reach: what every request to it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from archiverd.ucondb.errors import unreachable
from archiverd.ucondb.http import BrokenExchangeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from archiverd.ucondb.errors import Purpose
    from archiverd.ucondb.http import HttpExchange, Reply
    from archiverd.ucondb.settings import UconDBSettings

ATTEMPTS = 3
"""How often a reading request whose reply breaks off is made, at once; longer waits are the caller's business."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Session:
    """The settings and the wire to the server they name."""

    settings: UconDBSettings
    wire: HttpExchange

    async def get(self, target: str, purpose: Purpose) -> Reply:
        """Return the reply to a GET. Raise UconDBError (transient) if there is none."""
        return await persistently(purpose, lambda: self.wire.ask("GET", target))


async def persistently(purpose: Purpose, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
    """Return what ``attempt``, a request that changes nothing, gives; one that breaks off is made again at once.

    A server that cannot be reached or does not answer in time is not asked again: raise UconDBError (transient).
    """
    made = 0
    while True:
        try:
            return await attempt()
        except BrokenExchangeError as broken:
            made += 1
            if broken.timed_out or not broken.sent or made == ATTEMPTS:
                raise unreachable(purpose, broken) from broken
