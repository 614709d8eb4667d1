"""Runs in a database: which are archived, storing one whole or not at all, reading one back.

What holds in every database is in ``rules``; here is what a FileSystemDB's indexes and documents say. Nothing here is
asynchronous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd import fhicl
from archiverd.artdaqdb.filesystem.index import CONFIGURATION, VERSION, Index
from archiverd.artdaqdb.port import ArchivedRun, ExportedEntity
from archiverd.artdaqdb.rules import (
    SYSTEM_LAYOUT,
    already,
    archived,
    checked,
    difference,
    no_run_to_export,
    no_run_to_update,
    run_of,
    update_number,
)
from archiverd.core.errors import ArtdaqDBError, FhiclError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archiverd.artdaqdb.filesystem.tree import Tree
    from archiverd.artdaqdb.port import Entity


class TreeRuns:
    """The runs of an open tree. One thread may store; any thread may export."""

    def __init__(self, tree: Tree) -> None:
        """Look at ``tree``."""
        self._tree = tree

    def archived(self) -> dict[int, ArchivedRun]:
        """Return every archived run."""
        self._tree.refresh()
        index = self._layout()
        runs = {run for version in index.keys(VERSION) if (run := run_of(version)) is not None}
        found = (self._archived(index, run) for run in sorted(runs))
        return {one.run: one for one in found if one is not None}

    def find(self, run: int) -> ArchivedRun | None:
        """Return what is archived of ``run``, or None. Of several configurations the last assigned one is taken."""
        self._tree.refresh()
        return self._archived(self._layout(), run)

    def half_written(self) -> list[int]:
        """Return runs that have a version in some collection but none in SystemLayout."""
        whole = self.archived()
        versions = (version for index in self._tree.indexes.values() for version in index.keys(VERSION))
        runs = {run for version in versions if (run := run_of(version)) is not None}
        return sorted(runs - whole.keys())

    def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        """Store a run; see ``ArtdaqDB.insert``."""
        full = checked(run, configuration, entities)
        found = self.find(run)
        if found is not None and found.configuration != full:
            raise already(found.configuration, run, f"this record's configuration is {configuration}")
        held = self._held(full, full, run)
        if why := difference(held, entities):
            raise already(full, run, why)
        missing = [entity for entity in entities if (entity.collection, entity.name) not in held]
        if missing and found is not None:
            raise already(full, run, f"it lacks what this record holds: {missing[0].name}")
        if missing:
            self._tree.store(missing, full, full, run)
        return bool(missing)

    def update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        """Store an update; see ``ArtdaqDB.update``."""
        full = checked(run, configuration, entities)
        found = self.find(run)
        if found is None or found.configuration != full:
            raise no_run_to_update(full, run)
        newest = max(self._updates(full, run), default=(0, full))
        if newest[0]:
            held = self._held(full, newest[1], run)
            if held.keys() == {(one.collection, one.name) for one in entities} and not difference(held, entities):
                return newest[1]
        version = f"{full}v{newest[0] + 1}"
        self._tree.store(entities, full, version, run)
        return version

    def export(self, run: int) -> list[ExportedEntity]:
        """Read a run back; see ``ArtdaqDB.export``. Of equal versions the smallest id is taken, as the library does."""
        with self._tree.lock:
            found = self._archived(self._layout(), run)
        if found is None:
            raise no_run_to_export(run)
        newest: dict[tuple[str, str], tuple[int, ExportedEntity]] = {}
        for document in self._documents(found.configuration, run):
            number = update_number(document.version, (found.configuration,))
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
        known = (version for version in versions if version in index.keys(CONFIGURATION))
        return archived(run, versions, {version: index.last_assigned(version) for version in known})

    def _updates(self, configuration: str, run: int) -> list[tuple[int, str]]:
        """Return number and version of every update, also of those another program left half-written."""
        versions = {v for index in self._tree.indexes.values() for v in index.versions_of(run)}
        known = {v for v in versions if any(v in index.keys(CONFIGURATION) for index in self._tree.indexes.values())}
        updates = ((update_number(v, known), v) for v in versions - known if v.startswith(configuration))
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


def _wrong(path: Path, run: int, what: str) -> ArtdaqDBError:
    return ArtdaqDBError(
        f"Document {path} {what}",
        remedy="restore it from a backup of artdaqDB; nothing was uploaded",
        run=run,
        context={"path": str(path)},
    )
