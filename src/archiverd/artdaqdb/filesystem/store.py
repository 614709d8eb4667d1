"""The built-in engine behind the `ArtdaqDB` port: `FileSystemDB`.

One thread writes (`tree`); exports read documents in other threads. An index.json is published at a bounded share of
time: at most every max(1 s, 20 x the time the last one took), and at closing. So another program that reads the
database sees a run a little after it was stored, and always whole.
"""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from archiverd import log
from archiverd.artdaqdb.filesystem.errors import ACCESS, LISTING, run_on_database
from archiverd.artdaqdb.filesystem.object_ids import make_oid
from archiverd.artdaqdb.filesystem.runs import TreeRuns
from archiverd.artdaqdb.filesystem.tree import Tree
from archiverd.core.errors import ArtdaqDBError, ConfigurationError
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from archiverd.artdaqdb.port import ArchivedRun, Entity, ExportedEntity
    from archiverd.disk import Disk

T = TypeVar("T")

_log = log.get("Import")

SCHEME = "filesystemdb://"
SHORTEST_PUBLISH_SECONDS = 1.0
"""Least pause between two publishes."""
PUBLISH_SHARE = 20
"""Least pause between two publishes, as a multiple of the last one's duration."""


class FileSystemDB:
    """artdaqDB as a directory tree; see `archiverd.artdaqdb.port.ArtdaqDB`."""

    def __init__(
        self,
        uri: str,
        *,
        disk: Disk | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
        new_oid: Callable[[], str] | None = None,
    ) -> None:
        """Name the database by its URI. Raise ConfigurationError if it is not ``filesystemdb:///absolute/path``."""
        self._root = parse_uri(uri)
        self._tree = Tree(self._root, uri, disk or RealDisk(), clock, new_oid or make_oid)
        self._runs = TreeRuns(self._tree)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="artdaqdb")
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """See ``ArtdaqDB.open``."""
        for path in await self._write(self._tree.open, LISTING):
            _log.error(f"artdaqDB: {path} was stored and is gone; restore it from a backup")
        self._tasks = [
            asyncio.create_task(self._publish_periodically(), name="artdaqdb-publish"),
            asyncio.create_task(self._log_unindexed(), name="artdaqdb-unindexed"),
        ]

    async def close(self) -> None:
        """See ``ArtdaqDB.close``."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._write(self._tree.close)
        self._writer.shutdown()

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """See ``ArtdaqDB.list_runs``."""
        return await self._write(self._runs.archived, LISTING)

    async def find(self, run: int) -> ArchivedRun | None:
        """See ``ArtdaqDB.find``."""
        return await self._write(lambda: self._runs.find(run), LISTING)

    async def half_written(self) -> Sequence[int]:
        """Return runs that have documents but none in SystemLayout, and so do not count as archived.

        Another program stores them or was interrupted; our own stores are all or nothing. ``insert`` completes them.
        """
        return await self._write(self._runs.half_written, LISTING)

    async def unindexed(self) -> Sequence[Path]:
        """Return documents without an index entry, which therefore do not count; they are left alone.

        Reads every collection's directory: a second for a million documents.
        """
        suspects = await asyncio.to_thread(self._run, self._tree.unindexed)
        return await self._write(lambda: self._tree.still_unindexed(suspects))

    async def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        """See ``ArtdaqDB.insert``.

        A run that another program left half-written (documents, but none in SystemLayout) is completed if its documents
        are as meant, and refused otherwise.
        """
        return await self._write(lambda: self._runs.insert(run, configuration, entities))

    async def update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        """See ``ArtdaqDB.update``."""
        return await self._write(lambda: self._runs.update(run, configuration, entities))

    async def export(self, run: int) -> Sequence[ExportedEntity]:
        """See ``ArtdaqDB.export``. Raise ArtdaqDBError naming the path of a document that is missing or damaged."""
        return await asyncio.to_thread(self._run, lambda: self._runs.export(run))

    async def _write(self, work: Callable[[], T], failure: str = ACCESS) -> T:
        """Run ``work`` in the writing thread, and have what it changed published."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._writer, self._run, work, failure)
        finally:
            if self._tree.dirty:
                self._changed.set()

    async def _publish_periodically(self) -> None:
        """Publish changed indexes at a bounded share of time, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            began = time.monotonic()
            try:
                await self._write(self._tree.publish, "Failed to publish artdaqDB's index")
            except ArtdaqDBError as error:  # nothing is lost: the redo file holds it; it is tried again
                log.failure(_log, error)
            took = time.monotonic() - began
            await asyncio.sleep(max(SHORTEST_PUBLISH_SECONDS, PUBLISH_SHARE * took))

    async def _log_unindexed(self) -> None:
        """Log once the documents without an index entry; opening does not wait for it."""
        try:
            for path in await self.unindexed():
                _log.warning(f"artdaqDB: {path} stands in no index; it is not ours and left alone")
        except ArtdaqDBError as error:
            log.failure(_log, error)

    def _run(self, work: Callable[[], T], failure: str = ACCESS) -> T:
        return run_on_database(work, self._root, failure)


def parse_uri(uri: str) -> Path:
    """Return the directory a URI names (A.1). Raise ConfigurationError if the library would not read it so."""
    path = uri.removeprefix(SCHEME)
    if path == uri or not path.startswith("/"):
        raise ConfigurationError(
            f"Configuration validation failed: artdaq_db.database_uri is not filesystemdb:///absolute/path: {uri}",
            remedy="note the three slashes: filesystemdb:// and an absolute path",
        )
    if not path.strip("/") or re.search(r"[\s\x00-\x1f$`\"'\\*?\[~&|;<>(){}#]", path):
        raise ConfigurationError(
            f"Configuration validation failed: artdaq_db.database_uri is a path artdaqDB cannot take: {uri}",
            remedy="the library expands the path as a shell does: use letters, digits and / . _ - + = , : @ only",
        )
    return Path(path)
