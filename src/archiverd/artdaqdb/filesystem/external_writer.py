"""The files of a database that another program writes for us: locked, made durable, repaired after a kill."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from archiverd import log
from archiverd.artdaqdb.filesystem.errors import run_on_database
from archiverd.artdaqdb.filesystem.repair import DirectoryRepair
from archiverd.core.errors import ArtdaqDBError
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from archiverd.artdaqdb.filesystem.repair import Intent

T = TypeVar("T")

_log = log.get("Import")


class ExternalWriterFiles:
    """A FileSystemDB's files; for a MongoDB every method does nothing. Every method raises ArtdaqDBError.

    Nothing is written before ``open``: without the lock another program may be writing.
    """

    def __init__(self, root: Path | None) -> None:
        """Name the directory; None for a database without files on this host."""
        self._root = root or Path()
        self._directory = DirectoryRepair(root, RealDisk()) if root is not None else None
        self._storing = asyncio.Lock()
        """Held while a store is under way: there is one intent file."""
        self._repairing = asyncio.Lock()
        """Held while repairing: a failed store and the start of a new program may both ask for it."""

    async def open(self) -> None:
        """Take the lock. Raise ArtdaqDBError if another archiverd, or a program it left running, has it."""
        if self._directory is not None:
            await self._run(self._directory.open)

    def close(self) -> None:
        """Release the lock; no program may be running."""
        if self._directory is not None:
            self._directory.close()

    @property
    def descriptors(self) -> Sequence[int]:
        """Descriptors a program must inherit: they hold the lock while it runs, even if we are killed."""
        return () if self._directory is None else self._directory.descriptors

    async def prepare(self) -> None:
        """Repair what the last program left, unless one is storing."""
        if self._directory is not None and self._directory.descriptors:
            await self._repair(self._directory)
            if not self._storing.locked():
                await self._run(self._directory.remove_intent)

    @asynccontextmanager
    async def storing(self, intent: Intent) -> AsyncIterator[None]:
        """Record what the block stores; it is durable when the block ends.

        What a failed block left is repaired; after a cancelled one `prepare` does that.
        """
        directory = self._directory
        if directory is None or not directory.descriptors:
            yield
            return
        async with self._storing:
            await self._run(lambda: directory.write_intent(intent))
            try:
                yield
                await self._run(lambda: directory.make_durable(intent))
            except ArtdaqDBError:
                await self._repair(directory)
                await self._run(directory.remove_intent)
                raise
            await self._run(directory.remove_intent)

    async def _repair(self, directory: DirectoryRepair) -> None:
        async with self._repairing:
            for done in await self._run(directory.repair):
                _log.warning(f"artdaqDB: {done}")

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(run_on_database, work, self._root)
