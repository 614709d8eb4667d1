"""A FileSystemDB that another program writes for us: locked for others, made durable, mended after that was killed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from archiverd import log
from archiverd.artdaqdb.filesystem.errors import told
from archiverd.artdaqdb.filesystem.repair import DirectoryRepair
from archiverd.core.errors import ArtdaqDBError
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from archiverd.artdaqdb.filesystem.repair import Intent

T = TypeVar("T")

_log = log.get("Import")


class ExternalWriterFiles:
    """A database's files; nothing at all for a MongoDB. Every method raises ArtdaqDBError, also for OSErrors.

    Nothing is written before it is open: without the lock others may be at the files.
    """

    def __init__(self, root: Path | None) -> None:
        """Name the directory; None for a database that has no files here."""
        self._root = root or Path()
        self._keeper = DirectoryRepair(root, RealDisk()) if root is not None else None
        self._storing = asyncio.Lock()
        """One store's intent is noted at a time."""
        self._mending = asyncio.Lock()
        """A store that failed, and another's call that needs a new program, both see to it."""

    async def open(self) -> None:
        """Take the lock. Raise ArtdaqDBError if another archiverd, or a program that it left, has it."""
        if self._keeper is not None:
            await self._do(self._keeper.open)

    def close(self) -> None:
        """Let go of the lock, once no program lives."""
        if self._keeper is not None:
            self._keeper.close()

    @property
    def descriptors(self) -> Sequence[int]:
        """What a program must inherit: while it lives the lock is held, even if we are killed."""
        return () if self._keeper is None else self._keeper.descriptors

    async def prepare(self) -> None:
        """Mend what the last program left, while none stores."""
        if self._keeper is not None and self._keeper.descriptors:
            await self._mend(self._keeper)
            if not self._storing.locked():
                await self._do(self._keeper.forget)

    @asynccontextmanager
    async def storing(self, intent: Intent) -> AsyncIterator[None]:
        """Note what is stored in the block; it is durable when the block ends.

        If the block fails, what it left is mended; if it is cancelled, `prepare` does that.
        """
        keeper = self._keeper
        if keeper is None or not keeper.descriptors:
            yield
            return
        async with self._storing:
            await self._do(lambda: keeper.begin(intent))
            try:
                yield
                await self._do(lambda: keeper.settle(intent))
            except ArtdaqDBError:
                await self._mend(keeper)
                await self._do(keeper.forget)
                raise
            await self._do(keeper.forget)

    async def _mend(self, keeper: DirectoryRepair) -> None:
        async with self._mending:
            for done in await self._do(keeper.mend):
                _log.warning(f"artdaqDB: {done}")

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(told, work, self._root)
