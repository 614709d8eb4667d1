"""Runs in a database: which are archived, storing one whole or not at all, reading one back.

A run is archived when its configuration ``<run>/<name>`` is a version in SystemLayout (artdaqdb_format.md E.2); its
updates are the versions ``<run>/<name>v1``, ``v2``, … Names may end in digits, and run 1001 is no prefix of 10010:
versions are compared whole, with the configurations the index knows. Nothing here is asynchronous.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archiverd import fhicl
from archiverd.artdaqdb.documents import Place, stored
from archiverd.artdaqdb.filesystem.index import CONFIGURATION, VERSION, Index
from archiverd.artdaqdb.filesystem.tree import SYSTEM_LAYOUT, SYSTEM_METADATA
from archiverd.artdaqdb.port import ArchivedRun, Entity, ExportedEntity
from archiverd.core.errors import ArtdaqDBError, FhiclError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from archiverd.artdaqdb.filesystem.tree import Tree

_RUN = re.compile(r"([1-9][0-9]{0,17})/.")
_UPDATES = re.compile(r"(?:v[0-9]{1,9})+")
_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_NAME = re.compile(r"[^\x00-\x1f\x7f/\ud800-\udfff]{1,1000}")


class Runs:
    """The runs of an open tree. One thread may store; any thread may export."""

    def __init__(self, tree: Tree) -> None:
        """Look at ``tree``."""
        self._tree = tree

    def archived(self) -> dict[int, ArchivedRun]:
        """Return every archived run."""
        self._tree.refresh()
        index = self._layout()
        runs = {int(match[1]) for version in index.keys(VERSION) if (match := _RUN.match(version))}
        found = (self._archived(index, run) for run in sorted(runs))
        return {one.run: one for one in found if one is not None}

    def find(self, run: int) -> ArchivedRun | None:
        """Return what is archived of ``run``, or None. Of several configurations the last assigned one is taken."""
        self._tree.refresh()
        return self._archived(self._layout(), run)

    def half_written(self) -> list[int]:
        """Return runs that have a version in some collection but none in SystemLayout."""
        archived = self.archived()
        versions = (version for index in self._tree.indexes.values() for version in index.keys(VERSION))
        runs = {int(match[1]) for version in versions if (match := _RUN.match(version))}
        return sorted(runs - archived.keys())

    def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        """Store a run; see ``ArtdaqDB.insert``."""
        full = _checked(run, configuration, entities)
        found = self.find(run)
        if found is not None and found.configuration != full:
            raise _already(found.configuration, run, f"this record's configuration is {configuration}")
        held = self._held(full, full, run)
        difference = _difference(held, entities)
        if difference:
            raise _already(full, run, difference)
        missing = [entity for entity in entities if (entity.collection, entity.name) not in held]
        if missing and found is not None:
            raise _already(full, run, f"it lacks what this record holds: {missing[0].name}")
        if missing:
            self._tree.store(missing, full, full, run)
        return bool(missing)

    def update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        """Store an update; see ``ArtdaqDB.update``."""
        full = _checked(run, configuration, entities)
        found = self.find(run)
        if found is None or found.configuration != full:
            raise ArtdaqDBError(
                f"Configuration {full} not found for update",
                remedy=f"find out what removed it from artdaqDB; `archiverd why {run}` tells when it was imported",
                run=run,
            )
        newest = max(self._updates(full, run), default=(0, full))
        if newest[0]:
            held = self._held(full, newest[1], run)
            if held.keys() == {(one.collection, one.name) for one in entities} and not _difference(held, entities):
                return newest[1]
        version = f"{full}v{newest[0] + 1}"
        self._tree.store(entities, full, version, run)
        return version

    def export(self, run: int) -> list[ExportedEntity]:
        """Read a run back; see ``ArtdaqDB.export``. Of equal versions the smallest id is taken, as the library does."""
        with self._tree.lock:
            found = self._archived(self._layout(), run)
        if found is None:
            raise ArtdaqDBError(
                f"Run {run} is not in artdaqDB",
                remedy="it was there when it was imported: find out what removed it; nothing was uploaded",
                run=run,
            )
        newest: dict[tuple[str, str], tuple[int, ExportedEntity]] = {}
        for document in self._documents(found.configuration, run):
            number = _update_number(document.version, (found.configuration,))
            one = ExportedEntity(document.collection, document.entities[0], document.version, document.fcl)
            key = (one.collection, one.name)
            if key not in newest or number > newest[key][0]:
                newest[key] = (number, one)
        return [newest[key][1] for key in sorted(newest)]

    def _layout(self) -> Index:
        return self._tree.indexes.get(SYSTEM_LAYOUT) or Index()

    def _archived(self, index: Index, run: int) -> ArchivedRun | None:
        """Return what SystemLayout's ``index`` says of a run."""
        versions = index.versions_of(run)
        configurations = [version for version in versions if version in index.keys(CONFIGURATION)]
        if not configurations:
            return None
        chosen = max(configurations, key=index.last_assigned)
        updates = (_update_number(version, configurations) for version in versions if version.startswith(chosen))
        return ArchivedRun(run, chosen, max(updates, default=0))

    def _updates(self, configuration: str, run: int) -> list[tuple[int, str]]:
        """Return number and version of every update, also of those another program left half-written."""
        versions = {v for index in self._tree.indexes.values() for v in index.versions_of(run)}
        known = {v for v in versions if any(v in index.keys(CONFIGURATION) for index in self._tree.indexes.values())}
        updates = ((_update_number(v, known), v) for v in versions - known if v.startswith(configuration))
        return [(number, version) for number, version in updates if number]

    def _held(self, configuration: str, version: str, run: int) -> dict[tuple[str, str], bytes]:
        """Return the exported FHiCL of what a version holds, by collection and entity."""
        documents = (one for one in self._documents(configuration, run) if one.version == version)
        return {(one.collection, one.entities[0]): one.fcl for one in documents}

    def _documents(self, configuration: str, run: int) -> list[fhicl.Document]:
        """Read every document of a configuration, each proven to be the one its index promises."""
        with self._tree.lock:
            places = [
                (self._tree.root / collection / f"{oid}.json", collection)
                for collection, index in sorted(self._tree.indexes.items())
                for oid in index.of(CONFIGURATION, configuration)
            ]
        return [_document(path, collection, configuration, run) for path, collection in places]


def _document(path: Path, collection: str, configuration: str, run: int) -> fhicl.Document:
    """Read one document. Raise ArtdaqDBError if it is missing, damaged, or not the one its index promises."""
    try:
        document = fhicl.read_document(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise _wrong(path, run, "is in the index but not there") from None
    except FhiclError as error:
        raise _wrong(path, run, f"is damaged: {error}") from error
    if configuration not in document.configurations:
        raise _wrong(path, run, f"is not of configuration {configuration}")
    if len(document.entities) != 1 or document.collection not in ("", collection):
        raise _wrong(path, run, f"is not one entity of collection {collection}")
    if document.runs and str(run) not in document.runs:
        raise _wrong(path, run, f"is not of run {run}")
    if document.oid not in ("", path.stem):
        raise _wrong(path, run, f"has the object id {document.oid} of another")
    return document


def _update_number(version: str, configurations: Collection[str]) -> int:
    """Return how many updates led to ``version``: 0 for the first archiving, n for ``<configuration>vn``.

    conftool.py appends another ``v1`` each time if the name does not end in five digits (E.2): ``v1v1`` is the second.
    """
    if version in configurations:
        return 0
    for configuration in sorted(configurations, key=len, reverse=True):
        rest = version.removeprefix(configuration)
        if rest != version and _UPDATES.fullmatch(rest):
            return sum(map(int, rest[1:].split("v")))
    return 0


def _checked(run: int, configuration: str, entities: Sequence[Entity]) -> str:
    """Return ``<run>/<configuration>``. Raise ArtdaqDBError for names that artdaqDB or a file system cannot hold."""
    if not _NAME.fullmatch(configuration):
        raise ArtdaqDBError(f"{configuration!r} cannot be the name of a configuration", run=run)
    names = set()
    for entity in entities:
        if not _COLLECTION.fullmatch(entity.collection) or entity.collection == SYSTEM_METADATA:
            raise ArtdaqDBError(f"{entity.collection!r} cannot be the name of a collection", run=run)
        if not _NAME.fullmatch(entity.name):
            raise ArtdaqDBError(f"{entity.name!r} cannot be the name of an entity", run=run)
        if entity.name in names:
            raise ArtdaqDBError(
                f"Two files of configuration {run}/{configuration} would both become entity {entity.name}",
                remedy="make the rules of schema.fcl tell them apart; nothing was stored",
                run=run,
            )
        names.add(entity.name)
    return f"{run}/{configuration}"


def _difference(held: dict[tuple[str, str], bytes], entities: Sequence[Entity]) -> str:
    """Return in what ``held`` is no part of ``entities``, as artdaqDB would export them; empty if it is."""
    meant = {(entity.collection, entity.name): entity for entity in entities}
    for key, fcl in held.items():
        if key not in meant:
            return f"it holds what this record does not: {key[1]}"
        if fcl != _exported(meant[key]):
            return f"its entity {key[1]} is another"
    return ""


def _exported(entity: Entity) -> bytes:
    """Return an entity's FHiCL as artdaqDB would export it."""
    document = stored(entity, Place("0" * 24, entity.collection, "0/x", "0/x", 0, ""))
    return fhicl.from_json(document, f"{entity.name}.fcl")


def _already(configuration: str, run: int, why: str) -> ArtdaqDBError:
    return ArtdaqDBError(
        f"Configuration {configuration} is already archived.",
        remedy=f"{why}: a reused run number? nothing was changed; compare, then `archiverd waive {run} --reason …`",
        run=run,
        context={"difference": why},
    )


def _wrong(path: Path, run: int, what: str) -> ArtdaqDBError:
    return ArtdaqDBError(
        f"Document {path} {what}",
        remedy="restore it from a backup of artdaqDB; nothing was uploaded",
        run=run,
        context={"path": str(path)},
    )
