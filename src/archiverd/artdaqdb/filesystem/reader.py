"""A FileSystemDB read beside whoever writes to it: no lock is taken, and nothing is written."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from archiverd.artdaqdb.filesystem.errors import ACCESS, LISTING, told
from archiverd.artdaqdb.filesystem.object_ids import make_oid
from archiverd.artdaqdb.filesystem.runs import TreeRuns
from archiverd.artdaqdb.filesystem.store import parse_uri
from archiverd.artdaqdb.filesystem.tree import Tree
from archiverd.artdaqdb.rules import no_run_to_export
from archiverd.core.errors import ArtdaqDBError
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from archiverd.artdaqdb.port import ArchivedRun, ExportedEntity

T = TypeVar("T")

ATTEMPTS = 4
PAUSE_SECONDS = 0.25
"""The library rewrites an index.json in place: one that is damaged now may be whole in a moment."""


class FileSystemReader:
    """artdaqDB as a directory tree, to be read only; see `archiverd.artdaqdb.port.ArtdaqDBReader`.

    Each call sees what was committed when it began, by archiverd or another program.
    """

    def __init__(self, uri: str) -> None:
        """Name the database by its URI. Raise ConfigurationError if it is not ``filesystemdb:///absolute/path``."""
        self._root = parse_uri(uri)
        self._tree = Tree(self._root, uri, RealDisk(), lambda: datetime.now().astimezone(), make_oid)
        self._runs = TreeRuns(self._tree)
        self.is_there = True
        """Whether there was a database when it was last listed; the first import makes it."""

    async def open(self) -> None:
        """See ``ArtdaqDBReader.open``; nothing is held."""

    async def close(self) -> None:
        """See ``ArtdaqDBReader.close``."""

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """See ``ArtdaqDBReader.list_runs``; none if there is no database yet."""
        return await self._look(self._runs.archived, LISTING) if await self._find_out() else {}

    async def export(self, run: int) -> Sequence[ExportedEntity]:
        """See ``ArtdaqDBReader.export``. Raise ArtdaqDBError naming a document that is missing or damaged."""
        if not await self._find_out():
            raise no_run_to_export(run)
        return await self._look(lambda: self._runs.export(run), ACCESS)

    async def _find_out(self) -> bool:
        self.is_there = await asyncio.to_thread(told, lambda: _exists(self._root), self._root, LISTING)
        return self.is_there

    async def _look(self, work: Callable[[], T], failure: str) -> T:
        """Take in what is there, then run ``work``, in another thread."""

        def looked() -> T:
            self._tree.look()
            return work()

        for _ in range(ATTEMPTS - 1):
            try:
                return await asyncio.to_thread(told, looked, self._root, failure)
            except ArtdaqDBError as error:
                if "path" not in error.context:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
        return await asyncio.to_thread(told, looked, self._root, failure)


def _exists(root: Path) -> bool:
    """Tell whether there is anything at ``root``. Raise OSError if that cannot be told."""
    try:
        root.stat()
    except FileNotFoundError:
        return False
    return True
