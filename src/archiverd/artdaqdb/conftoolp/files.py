"""A FileSystemDB that the library writes: locked for others, made durable, and mended before each child starts."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from archiverd import log
from archiverd.artdaqdb.filesystem.failures import told
from archiverd.artdaqdb.filesystem.mending import Keeper
from archiverd.core.errors import ArtdaqDBError
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from archiverd.artdaqdb.filesystem.mending import Intent
    from archiverd.fhicl import Document

T = TypeVar("T")

_log = log.get("Import")


class Files:
    """A database's files; nothing at all for a MongoDB. Every method raises ArtdaqDBError, also for OSErrors."""

    def __init__(self, root: Path | None) -> None:
        """Name the directory; None for a database that has no files."""
        self._root = root or Path()
        self._keeper = Keeper(root, RealDisk()) if root is not None else None
        self._storing = asyncio.Lock()
        """One store's intent is noted at a time."""
        self._mending = asyncio.Lock()
        """A store that failed, and another's call that needs a new child, both see to it."""

    async def open(self) -> None:
        """Take the lock. Raise ArtdaqDBError if another archiverd, or a child that it left, has it."""
        if self._keeper is not None:
            await self._do(self._keeper.open)

    def close(self) -> None:
        """Let go of the lock, once no child lives."""
        if self._keeper is not None:
            self._keeper.close()

    async def prepare(self) -> Sequence[int]:
        """Mend what the last child left, while there is none; return the descriptors that the next one inherits."""
        if self._keeper is None:
            return ()
        await self._mend(self._keeper)
        if not self._storing.locked():
            await self._do(self._keeper.forget)
        return self._keeper.descriptors

    @asynccontextmanager
    async def storing(self, intent: Intent) -> AsyncIterator[list[tuple[str, Document]]]:
        """Note what is going to be stored; the block lists what was stored, which is durable when the block ends.

        If the block fails, what it left is mended; if it is cancelled, that is done before the next child starts.
        """
        stored: list[tuple[str, Document]] = []
        if self._keeper is None:
            yield stored
            return
        keeper = self._keeper
        async with self._storing:
            await self._do(lambda: keeper.begin(intent))
            try:
                yield stored
                await self._do(lambda: keeper.settle((collection, document.oid) for collection, document in stored))
            except ArtdaqDBError:
                await self._mend(keeper)
                await self._do(keeper.forget)
                raise
            await self._do(keeper.forget)

    async def _mend(self, keeper: Keeper) -> None:
        async with self._mending:
            for done in await self._do(keeper.mend):
                _log.warning(f"artdaqDB: {done}")

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(told, work, self._root)
