"""Runs in MongoDB: which are archived, and the documents of each."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from archiverd import fhicl
from archiverd.artdaqdb.documents import oid_of
from archiverd.artdaqdb.mongo.documents import to_json
from archiverd.artdaqdb.rules import (
    ASSIGNED,
    CONFIGURATION,
    SYSTEM_LAYOUT,
    SYSTEM_METADATA,
    VERSION,
    archived,
    misplaced,
    run_of,
    update_number,
)
from archiverd.core.errors import ArtdaqDBError, FhiclError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from archiverd.artdaqdb.mongo.connection import Connection
    from archiverd.artdaqdb.port import ArchivedRun

_FIELDS = (VERSION, CONFIGURATION, ASSIGNED)
_PURPOSE = "Failed to get configurations"


class MongoRuns:
    """The runs in an open connection's database."""

    def __init__(self, connection: Connection) -> None:
        """Read through ``connection``."""
        self._connection = connection

    async def archived(self) -> dict[int, ArchivedRun]:
        """Return every archived run. The server reads one small document for each version of each run."""
        rows = await self._connection.project(SYSTEM_LAYOUT, {}, _FIELDS, _PURPOSE)
        return await asyncio.to_thread(_archived, rows)

    async def find(self, run: int) -> ArchivedRun | None:
        """Return what is archived of ``run``, or None."""
        rows = await self._connection.project(SYSTEM_LAYOUT, _of_run(run), _FIELDS, _PURPOSE, run)
        return _archived(rows).get(run)

    async def half_written(self) -> list[int]:
        """Return runs that have a version in some collection but none in SystemLayout."""
        whole = await self.archived()
        runs = set()
        for collection in await self.collections():
            rows = await self._connection.project(collection, {}, (VERSION,), _PURPOSE)
            runs |= {run_of(str(row.get(VERSION, ""))) for row in rows}
        return sorted(run for run in runs - whole.keys() if run is not None)

    async def newest(self, run: int, configuration: str) -> tuple[int, str, bool]:
        """Return number and version of the newest update, and whether SystemLayout has it; number 0 without any.

        Includes updates without a document in SystemLayout: interrupted ones, and those that changed no schema.
        """
        found: dict[str, set[str]] = defaultdict(set)
        configurations = set()
        for collection in await self.collections():
            for row in await self._connection.project(collection, _of_run(run), _FIELDS, _PURPOSE, run):
                found[str(row[VERSION])].add(collection)
                configurations |= {name for name, _ in _assigned(row)}
        updates = [(update_number(one, configurations), one) for one in found if one.startswith(configuration)]
        number, version = max(updates, default=(0, configuration))
        return number, version, SYSTEM_LAYOUT in found[version]

    async def documents(
        self, configuration: str, run: int, collections: Collection[str] | None = None
    ) -> list[fhicl.Document]:
        """Read every document of a configuration, each proven to be what was asked for, by object id.

        ``collections`` are those to search, None for all.
        """
        purpose = f"Failed to read run {run} from artdaqDB"
        found = []
        for collection in await self.collections() if collections is None else collections:
            documents = await self._connection.find(collection, {CONFIGURATION: configuration}, purpose, run)
            found += await asyncio.to_thread(
                lambda some, where: [_document(one, where, configuration, run) for one in some], documents, collection
            )
        return sorted(found, key=lambda one: one.oid)

    async def collections(self) -> list[str]:
        """Return the collections that may hold documents of runs."""
        return [name for name in await self._connection.collections(_PURPOSE) if name != SYSTEM_METADATA]


def object_id(*names: str) -> str:
    """Return the object id of the document with these names, in the form the library's have (A.3).

    It depends on the names alone: storing a document again after an interruption, or from two places at once, gives
    no second one, for a server takes each ``_id`` of a collection once.
    """
    return oid_of(hashlib.sha256("\0".join(names).encode()).digest()[:12])


def _of_run(run: int) -> dict[str, object]:
    """Return the filter for a run's versions: from ``7/`` up to, but without, ``70``, the character after ``/``."""
    return {VERSION: {"$gte": f"{run}/", "$lt": f"{run}0"}}


def _archived(rows: Iterable[Mapping[str, Any]]) -> dict[int, ArchivedRun]:
    """Return the runs that SystemLayout's rows make archived."""
    versions: dict[int, set[str]] = defaultdict(set)
    assigned: dict[int, dict[str, str]] = defaultdict(dict)
    for row in rows:
        run = run_of(str(row.get(VERSION, "")))
        if run is not None:
            versions[run].add(row[VERSION])
            for name, when in _assigned(row):
                assigned[run][name] = max(when, assigned[run].get(name, ""))
    found = (archived(run, versions[run], assigned[run]) for run in sorted(versions))
    return {one.run: one for one in found if one is not None}


def _assigned(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the configurations of a row with the times they were assigned; entries of another form are left out."""
    entries = row.get("configurations")
    entries = entries if isinstance(entries, list) else []
    return [(str(one.get("name", "")), str(one.get("assigned", ""))) for one in entries if isinstance(one, dict)]


def _document(document: bytes, collection: str, configuration: str, run: int) -> fhicl.Document:
    """Read one document. Raise ArtdaqDBError if it is damaged, or not the one asked for."""
    try:
        read = fhicl.read_document(to_json(document), f"a document of {collection}")
    except (FhiclError, ValueError) as error:
        raise _wrong("?", collection, run, f"is damaged: {error}") from error
    if what := misplaced(read, collection, configuration, run):
        raise _wrong(read.oid, collection, run, what)
    return dataclasses.replace(read, collection=collection)  # older documents do not say where they are


def _wrong(oid: str, collection: str, run: int, what: str) -> ArtdaqDBError:
    return ArtdaqDBError(
        f"Document {oid} in {collection} {what}",
        remedy="restore it from a backup of artdaqDB; nothing was uploaded",
        run=run,
        context={"collection": collection, "oid": oid},
    )
