"""One object of one UconDB folder within reach: what every request to it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from archiverd.ucondb.errors import unreachable
from archiverd.ucondb.http import BrokenExchangeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from archiverd.config.models import UconDb
    from archiverd.ucondb.errors import Purpose
    from archiverd.ucondb.http import HttpExchange, Reply
    from archiverd.ucondb.urls import RequestTargets

ATTEMPTS = 3
"""Attempts at a request that changes nothing and whose reply breaks off; longer waits are up to the caller."""
MEGABYTE = 1_000_000
LARGEST_BLOB = 255 * MEGABYTE
"""Bytes of the largest blob that is sent; the server fails a little above, near 2^28 (ucondb_protocol.md section 4)."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Session:
    """What requests are made of: the settings, the targets of their object, and HTTP to their server."""

    settings: UconDb
    targets: RequestTargets
    http: HttpExchange
    rereads: int
    """How often a blob that does not come back as it was stored is read again."""
    largest_blob: int = LARGEST_BLOB
    """Bytes."""

    def timeout(self, blob_bytes: int = 0) -> float:
        """Return the timeout in seconds of a request that carries or fetches so many bytes of a blob."""
        return self.settings.timeout_seconds + blob_bytes // MEGABYTE

    async def get(self, target: str, purpose: Purpose) -> Reply:
        """Return the reply to a GET. Raise UconDBError (transient) if there is none."""
        return await retry_broken(purpose, lambda: self.http.ask("GET", target))


async def retry_broken(purpose: Purpose, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
    """Return the result of ``attempt``, a request that changes nothing; one that breaks off is repeated at once.

    A server that cannot be reached or does not answer in time is not tried again: raise UconDBError (transient).
    """
    made = 0
    while True:
        try:
            return await attempt()
        except BrokenExchangeError as broken:
            made += 1
            if broken.timed_out or not broken.sent or made == ATTEMPTS:
                raise unreachable(purpose, broken) from broken
