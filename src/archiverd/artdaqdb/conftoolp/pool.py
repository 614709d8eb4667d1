"""A bounded number of workers: as many calls at once as there are, the others wait in line."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.artdaqdb.conftoolp.errors import closing
from archiverd.artdaqdb.conftoolp.process import DiedError, Worker, deaths_told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archiverd.artdaqdb.conftoolp.process import Launch, LibraryAnswer

_log = log.get("Import")

ATTEMPTS = 3
"""So many workers may die of a question before that is told."""


class Pool:
    """The workers of one database. A child that died is replaced by the next call, which waits for its import only."""

    def __init__(self, workers: int, launch: Launch, seconds: float) -> None:
        """Make room for ``workers``; see `Worker` for the rest."""
        self._workers = [Worker(launch, seconds) for _ in range(workers)]
        self._idle = self._workers[::-1]  # the last used is taken first: few are started in vain
        self._free = asyncio.Semaphore(workers)
        """Gives turns in the order of asking: a run of a hundred documents must not keep out who asks one question."""
        self._closing = False

    @property
    def pids(self) -> list[int]:
        """The process ids of the living children."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def open(self) -> None:
        """Start one worker, to see that the library can be used. Raise ArtdaqDBError if not."""
        self._closing = False
        async with self._free:
            with self._taken() as worker, deaths_told():
                await worker.start()

    async def call(self, function: str, *arguments: bytes) -> LibraryAnswer:
        """Have a function called by the next worker that is free; see ``Worker.call``. Raise ArtdaqDBError only.

        If cancelled in mid-call the worker is killed, as at its deadline: see to it that a store is not cancelled.
        """
        with deaths_told():
            return await self._call(function, arguments)

    async def ask(self, function: str, *arguments: bytes) -> LibraryAnswer:
        """Have a function called that changes nothing: if the worker dies in it, the next one is asked again.

        Without that a run of a hundred documents would begin anew whenever the library fails at one of them.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._call(function, arguments)
            except DiedError as died:
                _log.warning(f"{died.error.message}; it is asked again")
        return await self.call(function, *arguments)

    def stop(self) -> None:
        """Begin no further call; those that were begun go on to their end or deadline."""
        self._closing = True

    async def close(self) -> None:
        """End every worker; those in a call are killed."""
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
        """Take a worker that is idle; there is one for whoever has a turn."""
        worker = self._idle.pop()
        try:
            yield worker
        finally:
            self._idle.append(worker)
