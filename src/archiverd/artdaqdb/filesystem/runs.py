"""The runs of a FileSystemDB: listing, storing a run whole or not at all, reading one back.

The rules of every database are in ``rules``; here are its indexes and documents. Nothing here is asynchronous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd import fhicl
from archiverd.artdaqdb.filesystem.index import Index
from archiverd.artdaqdb.rules import (
    CONFIGURATION,
    SYSTEM_LAYOUT,
    VERSION,
    archived,
    check_names,
    decide_insert,
    decide_update,
    demand_archived,
    has_other_name,
    misplaced,
    newest_entities,
    no_run_to_export,
    run_of,
    update_number,
)
from archiverd.core.errors import ArtdaqDBError, FhiclError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archiverd.artdaqdb.filesystem.tree import Tree
    from archiverd.artdaqdb.port import ArchivedRun, Entity, ExportedEntity
    from archiverd.artdaqdb.rules import Key


class TreeRuns:
    """The runs of an open tree. One thread may store; any thread may export."""

    def __init__(self, tree: Tree) -> None:
        """Read and write through ``tree``."""
        self._tree = tree

    def archived(self) -> dict[int, ArchivedRun]:
        """Return every archived run."""
        self._tree.refresh()
        return archived_runs(self._layout())

    def find(self, run: int) -> ArchivedRun | None:
        """Return what is archived of ``run``, or None. Of several configurations the last assigned one is taken."""
        self._tree.refresh()
        return archived_run(self._layout(), run)

    def half_written(self) -> list[int]:
        """Return runs that have a version in some collection but none in SystemLayout."""
        whole = self.archived()
        versions = (version for index in self._tree.indexes.values() for version in index.keys(VERSION))
        runs = {run for version in versions if (run := run_of(version)) is not None}
        return sorted(runs - whole.keys())

    def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        """Store a run; see ``ArtdaqDB.insert``."""
        full = check_names(run, configuration, entities)
        found = self.find(run)
        held = {} if has_other_name(found, full) else self._held(full, full, run)
        if missing := decide_insert(found, full, held, entities).to_store(run):
            self._tree.store(missing, full, full, run)
        return bool(missing)

    def update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        """Store an update; see ``ArtdaqDB.update``."""
        full = check_names(run, configuration, entities)
        demand_archived(self.find(run), full, run)
        number, newest = max(self._updates(full, run), default=(0, full))
        held = self._held(full, newest, run) if number else {}
        decision = decide_update(full, number, newest, held, entities)
        if decision.missing:
            self._tree.store(decision.missing, full, decision.version, run)
        return decision.version

    def export(self, run: int) -> list[ExportedEntity]:
        """Read a run back; see ``ArtdaqDB.export``. Of equal versions the smallest id is taken, as the library does."""
        with self._tree.lock:
            found = archived_run(self._layout(), run)
        if found is None:
            raise no_run_to_export(run)
        return newest_entities(self._documents(found.configuration, run), found.configuration)

    def _layout(self) -> Index:
        return self._tree.indexes.get(SYSTEM_LAYOUT) or Index()

    def _updates(self, configuration: str, run: int) -> list[tuple[int, str]]:
        """Return number and version of every update, also of those another program left half-written."""
        versions = {v for index in self._tree.indexes.values() for v in index.versions_of(run)}
        known = {v for v in versions if any(v in index.keys(CONFIGURATION) for index in self._tree.indexes.values())}
        updates = ((update_number(v, known), v) for v in versions - known if v.startswith(configuration))
        return [(number, version) for number, version in updates if number]

    def _held(self, configuration: str, version: str, run: int) -> dict[Key, bytes]:
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


def archived_run(layout: Index, run: int) -> ArchivedRun | None:
    """Return what is archived of ``run`` by the index of SystemLayout, or None."""
    versions = layout.versions_of(run)
    known = (version for version in versions if version in layout.keys(CONFIGURATION))
    return archived(run, versions, {version: layout.last_assigned(version) for version in known})


def archived_runs(layout: Index) -> dict[int, ArchivedRun]:
    """Return every archived run, ascending, by the index of SystemLayout."""
    runs = {run for version in layout.keys(VERSION) if (run := run_of(version)) is not None}
    found = (archived_run(layout, run) for run in sorted(runs))
    return {one.run: one for one in found if one is not None}


def _document(path: Path, collection: str, configuration: str, run: int) -> fhicl.Document:
    """Read one document. Raise ArtdaqDBError if it is missing, damaged, or not the one its index promises."""
    try:
        document = fhicl.read_document(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise _wrong(path, run, "is in the index but not there") from None
    except FhiclError as error:
        raise _wrong(path, run, f"is damaged: {error}") from error
    if what := misplaced(document, collection, configuration, run):
        raise _wrong(path, run, what)
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
