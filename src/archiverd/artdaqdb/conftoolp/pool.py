"""A bounded number of workers: one call each at a time, the others queue."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.artdaqdb.conftoolp.errors import closing
from archiverd.artdaqdb.conftoolp.process import DiedError, Worker, deaths_raised

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archiverd.artdaqdb.conftoolp.process import Launch, LibraryAnswer

_log = log.get("Import")

ATTEMPTS = 3
"""Workers that may die in one question before it fails."""


class Pool:
    """The workers of one database. A child that died is replaced by the next call, which waits for its import only."""

    def __init__(self, workers: int, launch: Launch, seconds: float) -> None:
        """Make room for ``workers``; see `Worker` for the rest."""
        self._workers = [Worker(launch, seconds) for _ in range(workers)]
        self._idle = self._workers[::-1]  # last used first: fewer are started
        self._free = asyncio.Semaphore(workers)
        """Serves callers in their order: a run of a hundred documents must not block a single question."""
        self._closing = False

    @property
    def pids(self) -> list[int]:
        """The process ids of the living children."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def open(self) -> None:
        """Start one worker. Raise ArtdaqDBError if the library cannot be used."""
        self._closing = False
        async with self._free:
            with self._taken() as worker, deaths_raised():
                await worker.start()

    async def call(self, function: str, *arguments: bytes) -> LibraryAnswer:
        """Call a function in the next free worker; see ``Worker.call``. Raise ArtdaqDBError only.

        Cancelling a call kills the worker, as its deadline does: callers must not cancel a store.
        """
        with deaths_raised():
            return await self._call(function, arguments)

    async def ask(self, function: str, *arguments: bytes) -> LibraryAnswer:
        """Call a function that changes nothing; if the worker dies, call it again in the next one.

        Without that a run of a hundred documents would begin anew whenever the library fails at one of them.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._call(function, arguments)
            except DiedError as died:
                _log.warning(f"{died.error.message}; it is asked again")
        return await self.call(function, *arguments)

    def stop(self) -> None:
        """Begin no further call; those under way continue to their end or deadline."""
        self._closing = True

    async def close(self) -> None:
        """End every worker; kill those in a call."""
        self._closing = True
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(worker.close())

    async def _call(self, function: str, arguments: Sequence[bytes]) -> LibraryAnswer:
        if self._closing:
            raise closing()
        async with self._free:
            if self._closing:
                raise closing()
            with self._taken() as worker:
                return await worker.call(function, *arguments)

    @contextmanager
    def _taken(self) -> Iterator[Worker]:
        """Take an idle worker for the block; the semaphore guarantees that there is one."""
        worker = self._idle.pop()
        try:
            yield worker
        finally:
            self._idle.append(worker)
