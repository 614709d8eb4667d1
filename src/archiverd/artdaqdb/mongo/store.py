"""MongoDB behind the `ArtdaqDB` port.

No transaction is needed, so a single server will do: a run's documents are stored and read back before the one in
SystemLayout, which alone makes the run count as archived. Object ids follow from a document's names, so whatever was
interrupted anywhere is completed by doing it again, without doubles.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.artdaqdb.documents import DocumentPlace, stored, system_metadata, timestamp
from archiverd.artdaqdb.mongo.connection import Connection
from archiverd.artdaqdb.mongo.documents import to_bson
from archiverd.artdaqdb.mongo.runs import MongoRuns, object_id
from archiverd.artdaqdb.mongo.uri import parse_uri
from archiverd.artdaqdb.rules import (
    CONFIGURATION,
    RUN_HISTORY,
    SYSTEM_LAYOUT,
    SYSTEM_METADATA,
    VERSION,
    check_names,
    decide_insert,
    decide_update,
    demand_archived,
    has_other_name,
    layout_last,
    newest_entities,
    no_run_to_export,
    not_as_stored,
)
from archiverd.core.errors import ArtdaqDBError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from archiverd.artdaqdb.port import ArchivedRun, Entity, ExportedEntity
    from archiverd.artdaqdb.rules import Key
    from archiverd.config.models import ArtdaqDb

_log = log.get("Import")


class MongoDB:
    """artdaqDB in MongoDB; see `archiverd.artdaqdb.port.ArtdaqDB`."""

    def __init__(
        self,
        settings: ArtdaqDb,
        *,
        reading: bool = False,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        """Name the database by its section of the configuration; ``environment`` may name certificates.

        One opened only for ``reading`` gets nothing written to it. Raise ConfigurationError, without the password, for
        a URI that names no database in MongoDB.
        """
        self._connection = Connection(parse_uri(settings.database_uri, environment), settings.call_timeout_seconds)
        self._runs = MongoRuns(self._connection)
        self._reading = reading
        self._clock = clock

    async def open(self) -> None:
        """See ``ArtdaqDB.open``. A new database gets its SystemMetadata, and indexes where we may make them."""
        await self._connection.open()
        try:
            await self.ping()
            if self._reading:
                return
            await self._describe()
            await self._index({RUN_HISTORY, SYSTEM_LAYOUT, *await self._runs.collections()})
        except BaseException:
            await self._connection.close()
            raise

    async def close(self) -> None:
        """See ``ArtdaqDB.close``."""
        await self._connection.close()

    async def ping(self) -> None:
        """Return if the server answers. Raise ArtdaqDBError if not."""
        await self._connection.ping()

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """See ``ArtdaqDB.list_runs``."""
        return await self._runs.archived()

    async def find(self, run: int) -> ArchivedRun | None:
        """See ``ArtdaqDB.find``."""
        return await self._runs.find(run)

    async def half_written(self) -> Sequence[int]:
        """Return runs that have documents but none in SystemLayout, so that they do not count as archived.

        Another process stores them or was interrupted. ``insert`` completes them.
        """
        return await self._runs.half_written()

    async def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        """See ``ArtdaqDB.insert``.

        A run that was left half-written (documents of it, but none in SystemLayout) is completed if what is there is
        what was meant, and refused otherwise.
        """
        full = check_names(run, configuration, entities)
        found = await self._runs.find(run)
        held = {} if has_other_name(found, full) else await self._held(full, full, run)
        decision = await asyncio.to_thread(decide_insert, found, full, held, entities)
        return await self._store(decision.to_store(run), full, full, run)

    async def update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        """See ``ArtdaqDB.update``. An update that was left half-written is completed if it was this one."""
        full = check_names(run, configuration, entities)
        demand_archived(await self._runs.find(run), full, run)
        number, newest, published = await self._runs.newest(run, full)
        held = await self._held(full, newest, run) if number else {}
        decision = await asyncio.to_thread(decide_update, full, number, newest, held, entities, whole=published)
        await self._store(decision.missing, full, decision.version, run)
        return decision.version

    async def export(self, run: int) -> Sequence[ExportedEntity]:
        """See ``ArtdaqDB.export``. Of several documents of one version that with the smallest id is taken."""
        found = await self._runs.find(run)
        if found is None:
            raise no_run_to_export(run)
        return newest_entities(await self._runs.documents(found.configuration, run), found.configuration)

    async def _held(
        self, configuration: str, version: str, run: int, collections: Collection[str] | None = None
    ) -> dict[Key, bytes]:
        """Return the exported FHiCL of what a version holds, by collection and entity."""
        held: dict[Key, bytes] = {}
        for one in await self._runs.documents(configuration, run, collections):
            if one.version == version:
                held.setdefault((one.collection, one.entities[0]), one.fcl)
        return held

    async def _store(self, entities: Sequence[Entity], configuration: str, version: str, run: int) -> bool:
        """Store a version's entities and read them back, those of SystemLayout after all others.

        Return whether this call completed the version; of several at once one does.
        """
        stored = 0
        stamp = timestamp(self._clock())
        documents = await asyncio.to_thread(_encoded, entities, configuration, version, run, stamp)
        for some in layout_last(entities):
            if not some:
                continue
            stored = 0
            collections = sorted({one.collection for one in some})
            for collection in collections:
                mine = [documents[one.name] for one in some if one.collection == collection]
                purpose = f"Failed to store run {run} in artdaqDB"
                stored += await self._connection.insert(collection, mine, purpose, run)
            await self._compare(some, configuration, version, run, collections)
        return stored > 0

    async def _compare(
        self, entities: Sequence[Entity], configuration: str, version: str, run: int, collections: Collection[str]
    ) -> None:
        """Raise ArtdaqDBError unless a version holds these entities as meant."""
        held = await self._held(configuration, version, run, collections)
        if why := await asyncio.to_thread(not_as_stored, held, entities):
            raise ArtdaqDBError(
                f"What artdaqDB holds of {version} is not what was stored: {why}",
                remedy="another program stores this run too, or the server alters documents (MongoDB does not); "
                f"compare, then `archiverd retry import {run}`",
                run=run,
                context={"difference": why},
            )

    async def _describe(self) -> None:
        """Give a new database the document that describes it; without the URI's password, unlike the library's."""
        purpose = "Failed to open artdaqDB"
        if not await self._connection.project(SYSTEM_METADATA, {}, ("_id",), purpose):
            document = system_metadata(self._connection.address.shown, object_id(SYSTEM_METADATA), self._clock())
            await self._connection.insert(SYSTEM_METADATA, [to_bson(document, SYSTEM_METADATA)], purpose, None)

    async def _index(self, collections: Collection[str]) -> None:
        """Make indexes on the fields that runs are searched by, where our login may."""
        for collection in sorted(collections):
            for field in (CONFIGURATION, VERSION):
                if not await self._connection.index(collection, field):
                    _log.warning(
                        f"artdaqDB: not allowed to make indexes; without them a run takes longer the more there are: "
                        f"have an administrator make them on {CONFIGURATION} and {VERSION} of {RUN_HISTORY} and "
                        f"{SYSTEM_LAYOUT}"
                    )
                    return


def _encoded(entities: Sequence[Entity], configuration: str, version: str, run: int, stamp: str) -> dict[str, bytes]:
    """Return the BSON of each entity by name. Raise FhiclError or ArtdaqDBError for what cannot be stored."""
    documents = {}
    for one in entities:
        oid = object_id(one.collection, version, one.name)
        document = stored(one, DocumentPlace(oid, one.collection, configuration, version, run, stamp))
        documents[one.name] = to_bson(document, f"Entity {one.name} of run {run}")
    return documents
