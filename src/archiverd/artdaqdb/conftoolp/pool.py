"""A bounded number of workers: as many calls at once as there are, the others wait in line."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from archiverd.artdaqdb.conftoolp.failures import closing
from archiverd.artdaqdb.conftoolp.process import Worker

if TYPE_CHECKING:
    from archiverd.artdaqdb.conftoolp.process import Answer, Launch


class Pool:
    """The workers of one database. A child that died is replaced by the next call, which waits for its import only."""

    def __init__(self, workers: int, launch: Launch, seconds: float) -> None:
        """Make room for ``workers``; see `Worker` for the rest."""
        self._workers = [Worker(launch, seconds) for _ in range(workers)]
        self._idle: asyncio.LifoQueue[Worker] = asyncio.LifoQueue()  # the last used first: few are started in vain
        for worker in reversed(self._workers):
            self._idle.put_nowait(worker)
        self._closing = False

    @property
    def pids(self) -> list[int]:
        """The process ids of the living children."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def open(self) -> None:
        """Start one worker, to see that the library can be used. Raise ArtdaqDBError if not."""
        self._closing = False
        worker = await self._idle.get()
        try:
            await worker.start()
        finally:
            self._idle.put_nowait(worker)

    async def call(self, function: str, *arguments: bytes) -> Answer:
        """Have a function called by the next worker that is free; see ``Worker.call``.

        If cancelled in mid-call the worker is killed, as at its deadline: see to it that a store is not cancelled.
        """
        if self._closing:
            raise closing()
        worker = await self._idle.get()
        try:
            if self._closing:
                raise closing()
            return await worker.call(function, *arguments)
        finally:
            self._idle.put_nowait(worker)

    def stop(self) -> None:
        """Begin no further call; those that were begun go on to their end or deadline."""
        self._closing = True

    async def close(self) -> None:
        """End every worker; those in a call are killed."""
        self._closing = True
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(worker.close())
