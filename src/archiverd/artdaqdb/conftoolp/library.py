"""The library's functions with the requests they take and what their answers mean (artdaqdb_format.md section D).

An answer is believed only as far as it can be checked: asked for a document that is not there, the library's
FileSystemDB gives another one (A.6.3), so every document is compared with what was asked for.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from archiverd import fhicl
from archiverd.artdaqdb.conftoolp.failures import NOTHING_THERE, refused, wrong_answer
from archiverd.core.errors import FhiclError

if TYPE_CHECKING:
    from archiverd.artdaqdb.conftoolp.pool import Pool
    from archiverd.artdaqdb.port import Entity

    Key = tuple[str, str]
    """Collection and entity name."""

ORIGINS = ("", "fhicl")
"""Formats of which a document's export is FHiCL."""


class Library:
    """Calls of the library. Every method raises ArtdaqDBError if it fails, crashes, hangs or answers wrongly."""

    def __init__(self, pool: Pool) -> None:
        """Call through ``pool``."""
        self._pool = pool

    async def configurations(self, name: str) -> list[str]:
        """Return the configurations that ``name`` matches (a ``*`` at its end matches anything), last assigned first.

        The library orders by whole seconds.
        """
        filters = {"configurations.name": name}
        found = await self._ask("find_configurations", {"operation": "findconfigs", "dataformat": "gui"}, filters)
        return [str(item["name"]) for item in found]

    async def versions(self, collection: str, configuration: str | None = None) -> set[str]:
        """Return the versions in a collection, of one configuration or of all."""
        filters = {"entities.name": "*"} if configuration is None else {"configurations.name": configuration}
        request = {"operation": "findversions", "dataformat": "gui", "collection": collection}
        return {str(item["name"]) for item in await self._ask("find_versions", request, filters)}

    async def composition(self, configuration: str) -> set[Key]:
        """Return collection and name of every entity that a configuration has in any of its versions."""
        filters = {"configurations.name": configuration}
        request = {"operation": "buildfilter", "dataformat": "gui"}
        found = await self._ask("configuration_composition", request, filters)
        queries = [item["query"] for item in found]
        strangers = [query for query in queries if query["filter"]["configurations.name"] != configuration]
        if strangers:
            what = f"asked for {configuration}, it tells of {strangers[0]['filter']['configurations.name']}"
            raise wrong_answer("configuration_composition", what, None)
        return {(str(query["collection"]), str(query["filter"]["entities.name"])) for query in queries}

    async def load(self, key: Key, configuration: str, version: str, run: int) -> bytes | None:
        """Return an entity's FHiCL in one version as artdaqDB exports it, None if that version has no such entity."""
        collection, name = key
        filters = {"configurations.name": configuration, "version": version, "entities.name": name}
        request = {"operation": "load", "dataformat": "db", "collection": collection, "filter": filters}
        answer = await self._pool.call("read_document", json.dumps(request, ensure_ascii=False))
        if not answer.success:
            if any(words in answer.text for words in NOTHING_THERE):
                return None
            raise refused("read_document", answer.text, run)
        label = f"{name} of {version}"
        try:
            text = answer.text.encode(errors="surrogateescape")
            document = await asyncio.to_thread(fhicl.read_document, text, label)
        except FhiclError as error:
            raise wrong_answer("read_document", f"{label} is no document: {error}", run) from error
        if document.version != version or configuration not in document.configurations:
            return None
        if document.entities != (name,):
            return None
        if document.collection not in ("", collection) or (document.runs and str(run) not in document.runs):
            whose = f"run {', '.join(document.runs)} in collection {document.collection}"
            raise wrong_answer("read_document", f"{label} is of {whose}", run)
        if document.origin_format not in ORIGINS:
            raise wrong_answer("read_document", f"{label} was stored as {document.origin_format}", run)
        return document.fcl

    async def store(self, entity: Entity, configuration: str, version: str, run: int) -> None:
        """Store an entity's FHiCL, which must be known to be FHiCL; a second time makes a second document."""
        filters = {
            "configurations.name": configuration,
            "version": version,
            "entities.name": entity.name,
            "runs.name": str(run),
        }
        request = {"operation": "store", "dataformat": "fhicl", "collection": entity.collection, "filter": filters}
        answer = await self._pool.call("write_document", json.dumps(request, ensure_ascii=False), entity.fcl.decode())
        if not answer.success:
            raise refused("write_document", answer.text, run)

    async def _ask(self, function: str, request: dict[str, str], filters: dict[str, str]) -> list[dict[str, Any]]:
        """Return the items of an answer's ``search``; none if the library says that there is nothing."""
        answer = await self._pool.call(function, json.dumps({**request, "filter": filters}, ensure_ascii=False))
        if not answer.success:
            if any(words in answer.text for words in NOTHING_THERE):
                return []
            raise refused(function, answer.text, None)
        try:
            found = await asyncio.to_thread(json.loads, answer.text, strict=False)
            return [dict(item) for item in found["search"] if item["name"]]
        except (ValueError, KeyError, TypeError) as error:
            raise wrong_answer(function, f"{answer.text[:200]!r} is no list of names", None) from error
