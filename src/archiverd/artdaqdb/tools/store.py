"""artdaqDB through bulkloader and bulkdownloader (artdaqdb_format.md sections E.3 and E.4), behind the `ArtdaqDB` port.

bulkloader knows two collections, ``SystemLayout`` for the schema and
``RunHistory`` for everything else, and one version: ``<run>/<name>``. So an update can add entities, and an entity
that is stored already cannot be replaced; both are refused in words before anything is changed. It checks for no
duplicates and may end well though it failed: what is there is downloaded first, only what is missing is loaded, and
what was loaded is downloaded and compared. The schema, on which "is archived" is decided, is loaded last.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from archiverd import fhicl
from archiverd.artdaqdb.filesystem.external_writer import ExternalWriterFiles
from archiverd.artdaqdb.filesystem.repair import Intent
from archiverd.artdaqdb.filesystem.store import SCHEME, parse_uri
from archiverd.artdaqdb.port import ExportedEntity
from archiverd.artdaqdb.rules import (
    LAST_UPDATE_IN_ORDER,
    RUN_HISTORY,
    SCHEMA_ENTITY,
    SCHEMA_FILE,
    SYSTEM_LAYOUT,
    check_names,
    decide_insert,
    demand_archived,
    has_other_name,
    layout_last,
    missing_from,
    no_run_to_export,
)
from archiverd.artdaqdb.tools.command import DOWNLOADER, LOADER
from archiverd.artdaqdb.tools.listing import IndexListing
from archiverd.artdaqdb.tools.verdict import check_downloaded, check_loaded
from archiverd.core.errors import ArtdaqDBError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from archiverd.artdaqdb.port import ArchivedRun, Entity
    from archiverd.artdaqdb.rules import Key
    from archiverd.artdaqdb.tools.host import Host
    from archiverd.artdaqdb.tools.listing import Listing

LONGEST_NAME = 250
"""Bytes of an entity name that fit into a file name, with its ending."""
MONGODB_THREADS = 4


class ToolsDB:
    """artdaqDB through its command line tools; see `archiverd.artdaqdb.port.ArtdaqDB`."""

    def __init__(
        self, uri: str, host: Host, listing: Listing | None = None, files: ExternalWriterFiles | None = None
    ) -> None:
        """Name the database as ``host`` knows it.

        ``listing`` returns the archived runs; without it a FileSystemDB's index is read. ``files`` are those of a
        FileSystemDB on this host. Raise ConfigurationError if a listing is needed, or for a URI that the library would
        read otherwise.
        """
        on_files = uri.startswith(SCHEME)
        if listing is None:
            if not on_files:
                raise ConfigurationError(
                    "Configuration validation failed: artdaq_db.use_tools: the tools cannot list what a MongoDB holds",
                    remedy="leave use_tools out: archiverd speaks to MongoDB itself",
                )
            listing = IndexListing(host, parse_uri(uri))
        self._host = host
        self._listing = listing
        self._files = files or ExternalWriterFiles(None)
        self._threads = 1 if on_files else MONGODB_THREADS  # on files bulkloader's threads lose index entries (E.4)
        self._turn = asyncio.Lock()
        """On files the library locks nothing, so one call at a time; elsewhere a check and its load stay together."""

    async def check_tools(self) -> None:
        """Check that both tools are there, without touching the database. Raise ArtdaqDBError if not."""
        await self._host.check()

    async def open(self) -> None:
        """See ``ArtdaqDB.open``."""
        await self.check_tools()
        await self._files.open()
        try:
            await self._files.prepare()
            await self._listing.open()
        except BaseException:
            self._files.close()
            raise

    async def close(self) -> None:
        """See ``ArtdaqDB.close``."""
        await self._listing.close()
        self._files.close()

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """See ``ArtdaqDB.list_runs``."""
        async with self._ready():
            return await self._listing.list_runs()

    async def find(self, run: int) -> ArchivedRun | None:
        """See ``ArtdaqDB.find``."""
        async with self._ready():
            return await self._listing.find(run)

    async def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        """See ``ArtdaqDB.insert``.

        Entities that an archived run has beyond ``entities`` are taken for those of its updates: they look the same.
        """
        full = _storable(run, configuration, entities)
        await asyncio.to_thread(_exported, entities)
        async with self._ready():
            found = await self._listing.find(run)
            held = {} if has_other_name(found, full) else await self._held(run, configuration)
            decision = await asyncio.to_thread(decide_insert, found, full, held, entities, updates=True)
            missing = decision.to_store(run)
            await self._add(run, configuration, missing)
        return bool(missing)

    async def update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        """Add entities to an archived run; see ``ArtdaqDB.update``.

        They are stored under the run's one version, ``<run>/<configuration>``, which is returned. Raise ArtdaqDBError
        if an entity is there with another text: the tools cannot store its new version.
        """
        full = _storable(run, configuration, entities)
        meant = await asyncio.to_thread(_exported, entities)
        async with self._ready():
            demand_archived(await self._listing.find(run), full, run)
            held = await self._held(run, configuration)
            changed = [name for (collection, name), fcl in meant.items() if held.get((collection, name), fcl) != fcl]
            if changed:
                raise ArtdaqDBError(
                    f"bulkloader cannot update {', '.join(changed)} of configuration {full}: it stores no versions",
                    remedy=f"nothing was changed; set artdaq_db.use_tools to false, then `archiverd release {run}`",
                    run=run,
                    context={"entities": changed},
                )
            await self._add(run, configuration, missing_from(held, entities))
        return full

    async def export(self, run: int) -> Sequence[ExportedEntity]:
        """See ``ArtdaqDB.export``.

        The tools give neither an entity's version nor its collection: the version returned is the configuration, and
        the collection ``RunHistory`` for all but the schema. Raise ArtdaqDBError for a run with more than nine
        updates, of which they would give the wrong one.
        """
        async with self._ready():
            found = await self._listing.find(run)
            if found is None:
                raise no_run_to_export(run)
            if found.update > LAST_UPDATE_IN_ORDER:
                raise ArtdaqDBError(
                    f"bulkdownloader would export update 9 of {found.configuration} instead of {found.update}",
                    remedy="set artdaq_db.use_tools to false: archiverd's own engines count versions by number",
                    run=run,
                )
            held = await self._held(run, found.configuration.partition("/")[2])
        return [ExportedEntity(*key, found.configuration, fcl) for key, fcl in sorted(held.items())]

    @asynccontextmanager
    async def _ready(self) -> AsyncIterator[None]:
        """Wait for our turn, and repair what a killed tool left."""
        async with self._turn:
            await self._files.prepare()
            yield

    async def _held(self, run: int, configuration: str) -> dict[Key, bytes]:
        """Return what a configuration holds, as exported; nothing if there is no such configuration."""
        outcome, files = await self._host.download(self._words(DOWNLOADER, run, configuration))
        if not await asyncio.to_thread(check_downloaded, outcome, len(files), run):
            return {}
        return {_key(path): fcl for path, fcl in files.items()}

    async def _add(self, run: int, configuration: str, entities: Sequence[Entity]) -> None:
        """Load entities that are not there, the schema last, each load proven by downloading."""
        for part in layout_last(entities):
            if not part:
                continue
            files = {f"{one.name}.fcl": one.fcl for one in part}
            full = f"{run}/{configuration}"
            async with self._files.storing(Intent(full, full, (part[0].collection,))):
                outcome = await self._host.load(self._words(LOADER, run, configuration), files)
                await asyncio.to_thread(check_loaded, outcome, len(files), run)
            held = await self._held(run, configuration)
            meant = await asyncio.to_thread(_exported, part)
            if wrong := [name for (collection, name), fcl in meant.items() if held.get((collection, name)) != fcl]:
                raise ArtdaqDBError(
                    f"bulkloader stored {run}/{configuration}, but does not give back what was meant: "
                    f"{', '.join(wrong)}",
                    remedy=f"compare the bundle's version; `archiverd release {run}` adds what is missing",
                    run=run,
                    context={"entities": wrong},
                )

    def _words(self, tool: str, run: int, configuration: str) -> list[str]:
        return [tool, "-r", str(run), "-c", configuration, "-t", str(self._threads)]


def _storable(run: int, configuration: str, entities: Sequence[Entity]) -> str:
    """Return ``<run>/<configuration>``. Raise ArtdaqDBError for what the tools would store otherwise than meant."""
    full = check_names(run, configuration, entities)
    prefix = re.sub(r"[0-9]+$", "", configuration)
    if configuration.startswith("-") or prefix in (".", ".."):
        raise ArtdaqDBError(f"The tools of artdaqDB cannot take {configuration!r} as a configuration's name", run=run)
    for entity in entities:
        schema = (entity.collection, entity.name) == (SYSTEM_LAYOUT, SCHEMA_ENTITY)
        # bulkloader takes any file with schema.fcl in its path for the schema
        ordinary = entity.collection == RUN_HISTORY and SCHEMA_FILE not in f"{entity.name}.fcl"
        if not (schema or ordinary) or len(entity.name.encode()) > LONGEST_NAME:
            raise ArtdaqDBError(
                f"bulkloader cannot store entity {entity.name} in collection {entity.collection}",
                remedy="with use_tools schema.fcl may name RunHistory, and SystemLayout for the schema; nothing was "
                "stored",
                run=run,
                context={"collection": entity.collection, "entity": entity.name},
            )
    return full


def _key(path: str) -> Key:
    """Return whose file ``path`` is: ``schema.fcl`` at the top, the others below the configuration's prefix.

    A configuration of digits alone has an empty prefix, and then all are at the top.
    """
    name = path.rpartition("/")[2].removesuffix(".fcl")
    return (SYSTEM_LAYOUT if path == SCHEMA_FILE else RUN_HISTORY, name)


def _exported(entities: Sequence[Entity]) -> dict[Key, bytes]:
    """Return entities as artdaqDB exports them. Raise FhiclError for the first that is not FHiCL."""
    return {(one.collection, one.name): fhicl.as_exported(one.fcl, f"{one.name}.fcl") for one in entities}
