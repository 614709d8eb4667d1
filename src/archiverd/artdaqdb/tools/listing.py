"""The archived runs, which the tools cannot list.

bulkloader stores and bulkdownloader fetches a configuration by name. For a FileSystemDB the runs are read from its own
index (artdaqdb_format.md section A.5), wherever the tools run; for a MongoDB another backend lists them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from archiverd.artdaqdb.filesystem.index import INDEX, Index
from archiverd.artdaqdb.filesystem.runs import archived_runs
from archiverd.artdaqdb.rules import SYSTEM_LAYOUT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from archiverd.artdaqdb.port import ArchivedRun
    from archiverd.artdaqdb.tools.host import Host


class Listing(Protocol):
    """The part of the `ArtdaqDB` port that the tools lack; every other backend has it."""

    async def open(self) -> None:
        """See ``ArtdaqDB.open``."""

    async def close(self) -> None:
        """See ``ArtdaqDB.close``."""

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """See ``ArtdaqDB.list_runs``."""

    async def find(self, run: int) -> ArchivedRun | None:
        """See ``ArtdaqDB.find``."""


class IndexListing:
    """Reads the index of SystemLayout again at every call, so that other writers' runs are listed."""

    def __init__(self, host: Host, database: Path) -> None:
        """Name the directory of a FileSystemDB as ``host`` knows it."""
        self._host = host
        self._path = database / SYSTEM_LAYOUT / INDEX

    async def open(self) -> None:
        """See ``ArtdaqDB.open``: read it once, to raise errors now."""
        await self.list_runs()

    async def close(self) -> None:
        """See ``ArtdaqDB.close``; nothing is held."""

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """See ``ArtdaqDB.list_runs``."""
        text = await self._host.read(self._path)
        return {} if text is None else await asyncio.to_thread(_runs, text, str(self._path))

    async def find(self, run: int) -> ArchivedRun | None:
        """See ``ArtdaqDB.find``."""
        return (await self.list_runs()).get(run)


def _runs(text: bytes, path: str) -> dict[int, ArchivedRun]:
    """Return the archived runs by an index. Raise ArtdaqDBError if it is damaged."""
    return archived_runs(Index.parse(text, path))
