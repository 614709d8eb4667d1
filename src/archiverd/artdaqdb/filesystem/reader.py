"""Reads a FileSystemDB while another process writes to it: takes no lock, writes nothing."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from archiverd.artdaqdb.filesystem.errors import ACCESS, LISTING, run_on_database
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
"""Reads of an index.json that is damaged: the library rewrites it in place, so it may be whole in a moment."""
PAUSE_SECONDS = 0.25


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
        """Whether the database existed when it was last listed; the first import creates it."""

    async def open(self) -> None:
        """See ``ArtdaqDBReader.open``; nothing is held."""

    async def close(self) -> None:
        """See ``ArtdaqDBReader.close``."""

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """See ``ArtdaqDBReader.list_runs``; none if there is no database yet."""
        return await self._read(self._runs.archived, LISTING) if await self._probe() else {}

    async def export(self, run: int) -> Sequence[ExportedEntity]:
        """See ``ArtdaqDBReader.export``. Raise ArtdaqDBError naming a document that is missing or damaged."""
        if not await self._probe():
            raise no_run_to_export(run)
        return await self._read(lambda: self._runs.export(run), ACCESS)

    async def _probe(self) -> bool:
        self.is_there = await asyncio.to_thread(run_on_database, lambda: _exists(self._root), self._root, LISTING)
        return self.is_there

    async def _read(self, work: Callable[[], T], failure: str) -> T:
        """Reload the indexes, then run ``work``, in another thread."""

        def reload_and_work() -> T:
            self._tree.reload()
            return work()

        for _ in range(ATTEMPTS - 1):
            try:
                return await asyncio.to_thread(run_on_database, reload_and_work, self._root, failure)
            except ArtdaqDBError as error:
                if "path" not in error.context:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
        return await asyncio.to_thread(run_on_database, reload_and_work, self._root, failure)


def _exists(root: Path) -> bool:
    """Return whether ``root`` exists. Raise OSError if that cannot be found out."""
    try:
        root.stat()
    except FileNotFoundError:
        return False
    return True
