"""The library's functions, their requests, and the meaning of their answers (artdaqdb_format.md section D).

Answers are checked: asked for a document that is not there, the library's
FileSystemDB gives another one (A.6.3), so every document is compared with what was asked for.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

from archiverd import fhicl
from archiverd.artdaqdb.conftoolp.errors import NOTHING_THERE, refused, wrong_answer
from archiverd.artdaqdb.rules import CONFIGURATION, ENTITY, RUN, VERSION
from archiverd.core.errors import FhiclError

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.artdaqdb.conftoolp.pool import Pool
    from archiverd.artdaqdb.port import Entity
    from archiverd.artdaqdb.rules import Key

T = TypeVar("T")

_SEARCH = re.compile(r'\s*\{\s*"search"\s*:\s*\[\s*')
_BETWEEN = re.compile(r"\s*(?:,\s*|(?=\]))")
ORIGINS = ("", "fhicl")
"""Origin formats of documents that are exported as FHiCL."""


class Library:
    """Calls of the library. Every method raises ArtdaqDBError if it fails, crashes, hangs or answers wrongly."""

    def __init__(self, pool: Pool) -> None:
        """Call through ``pool``."""
        self._pool = pool

    async def configurations(self, name: str) -> list[str]:
        """Return the configurations that ``name`` matches (a ``*`` at its end matches anything), last assigned first.

        The library orders by whole seconds.
        """
        filters = {CONFIGURATION: name}
        request = {"operation": "findconfigs", "dataformat": "gui", "filter": filters}
        return await self._ask("find_configurations", request, _names)

    async def versions(self, collection: str, configuration: str | None = None) -> set[str]:
        """Return the versions in a collection, of one configuration or of all."""
        filters = {ENTITY: "*"} if configuration is None else {CONFIGURATION: configuration}
        request = {"operation": "findversions", "dataformat": "gui", "collection": collection, "filter": filters}
        return set(await self._ask("find_versions", request, _names))

    async def composition(self, configuration: str) -> set[Key]:
        """Return collection and name of every entity that a configuration has in any of its versions."""
        filters = {CONFIGURATION: configuration}
        request = {"operation": "buildfilter", "dataformat": "gui", "filter": filters}
        found = await self._ask("configuration_composition", request, _items)
        queries = [item["query"] for item in found]
        strangers = [query for query in queries if query["filter"][CONFIGURATION] != configuration]
        if strangers:
            what = f"asked for {configuration}, it tells of {strangers[0]['filter'][CONFIGURATION]}"
            raise wrong_answer("configuration_composition", what, None)
        return {(str(query["collection"]), str(query["filter"][ENTITY])) for query in queries}

    async def load(self, key: Key, configuration: str, version: str | None, run: int) -> fhicl.Document | None:
        """Return an entity's document in one version, None if that version has no such entity.

        Without ``version`` it is the one whose version is the greatest text: the library takes ``v9`` for newer than
        ``v10``.
        """
        collection, name = key
        filters = {CONFIGURATION: configuration, ENTITY: name}
        if version is not None:
            filters[VERSION] = version
        request = {"operation": "load", "dataformat": "db", "collection": collection, "filter": filters}
        answer = await self._pool.ask("read_document", _written(request))
        if not answer.success:
            if any(words in answer.words for words in NOTHING_THERE):
                return None
            raise refused("read_document", answer.words, run)
        label = f"{name} of {version or configuration}"
        try:
            document = await asyncio.to_thread(fhicl.read_document, answer.text, label)
        except FhiclError as error:
            raise wrong_answer("read_document", f"{label} is no document: {error}", run) from error
        if version not in (None, document.version) or configuration not in document.configurations:
            return None
        if document.entities != (name,):
            return None
        if document.collection not in ("", collection) or (document.runs and str(run) not in document.runs):
            whose = f"run {', '.join(document.runs)} in collection {document.collection}"
            raise wrong_answer("read_document", f"{label} is of {whose}", run)
        if document.origin_format not in ORIGINS:
            raise wrong_answer("read_document", f"{label} was stored as {document.origin_format}", run)
        return document

    async def store(self, entity: Entity, configuration: str, version: str, run: int) -> None:
        """Store an entity's FHiCL, which must be known to be FHiCL; a second time makes a second document."""
        filters = {
            CONFIGURATION: configuration,
            VERSION: version,
            ENTITY: entity.name,
            RUN: str(run),
        }
        request = {"operation": "store", "dataformat": "fhicl", "collection": entity.collection, "filter": filters}
        answer = await self._pool.call("write_document", _written(request), entity.fcl)
        if not answer.success:
            raise refused("write_document", answer.words, run)

    async def _ask(self, function: str, request: dict[str, Any], read: Callable[[bytes], list[T]]) -> list[T]:
        """Return what ``read`` finds in the answer; nothing if the library says that there is nothing."""
        answer = await self._pool.ask(function, _written(request))
        if not answer.success:
            if any(words in answer.words for words in NOTHING_THERE):
                return []
            raise refused(function, answer.words, None)
        try:
            return await asyncio.to_thread(read, answer.text)
        except (ValueError, KeyError, TypeError) as error:
            raise wrong_answer(function, f"{answer.words[:200]!r} is no list of names", None) from error


def _written(request: dict[str, Any]) -> bytes:
    """Return a request as the library reads it: its JSON knows no escaped code points (A.7)."""
    return json.dumps(request, ensure_ascii=False).encode()


def _names(answer: bytes) -> list[str]:
    """Return the names in an answer; see `_items`."""
    return [str(item["name"]) for item in _items(answer)]


def _items(answer: bytes) -> list[dict[str, Any]]:
    """Return the items of a list of names (D.2). Raise ValueError, KeyError or TypeError if it is none.

    One is read at a time: the reader of JSON holds Python's lock, and a list of all runs is long.
    """
    text = answer.decode(errors="surrogateescape")
    begin = _SEARCH.match(text)
    if begin is None:
        raise ValueError("no search")
    reader = json.JSONDecoder(strict=False)
    place, items = begin.end(), []
    while not text.startswith("]", place):
        item, place = reader.raw_decode(text, place)
        if item["name"]:
            items.append(item)
        separator = _BETWEEN.match(text, place)
        if separator is None:
            raise ValueError("no end")
        place = separator.end()
    return items
