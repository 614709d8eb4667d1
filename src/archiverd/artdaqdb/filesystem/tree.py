"""The database directory: collections, their indexes in memory, and the one durable way to change them.

A store goes: redo file says which documents are coming (durable) → documents written and synced, their names synced →
redo file says committed (durable) → indexes in memory. An ``index.json`` is published whole by rename from time to
time: RunHistory's before SystemLayout's, because "is archived" is decided on SystemLayout. At opening, documents begun
and never committed are removed, committed ones that an index.json lacks are indexed again. Nothing here is
asynchronous.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from archiverd.artdaqdb.documents import DocumentPlace, stored, system_metadata, timestamp
from archiverd.artdaqdb.filesystem.index import INDEX, Index, Names, missing_index_error
from archiverd.artdaqdb.filesystem.lock import take_lock
from archiverd.artdaqdb.filesystem.redo import Filed, Redo
from archiverd.artdaqdb.rules import SYSTEM_LAYOUT, SYSTEM_METADATA
from archiverd.core.errors import ArtdaqDBError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from archiverd.artdaqdb.port import Entity
    from archiverd.disk import Disk

WRITERS = 4
"""Documents converted, written and synced at a time; simultaneous syncs share the disk's effort."""

_ATTEMPTS = 3
"""Attempts to publish an index that another program writes at the same time."""

Signature = tuple[int, int, int]
"""Inode, size, modification time in nanoseconds: they distinguish the versions of a file."""


class Tree:
    """An open database directory. One thread writes; other threads read the indexes under ``lock``."""

    def __init__(
        self, root: Path, uri: str, disk: Disk, clock: Callable[[], datetime], new_oid: Callable[[], str]
    ) -> None:
        """Name the directory; ``clock`` gives aware local time, ``new_oid`` fresh object ids."""
        self.root = root
        self.lock = threading.Lock()
        self.indexes: dict[str, Index] = {}
        self._uri = uri
        self._disk = disk
        self._clock = clock
        self._new_oid = new_oid
        self._redo = Redo(root, disk)
        self._signatures: dict[str, Signature | None] = {}
        self._dirty: set[str] = set()
        self._failed: list[Filed] = []
        """Documents of failed stores that may still exist, or come back after a power cut."""
        self._lock_descriptor: int | None = None
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="artdaqdb-write")

    def open(self) -> list[Path]:
        """Take the writer's lock, make the database if it is new, read its indexes, and recover.

        Return committed documents that are no longer there. Raise ArtdaqDBError if another writer has the database or
        an index is damaged; OSError as the file system gives it.
        """
        self._disk.make_directory(self.root)
        self._lock_descriptor = take_lock(self.root)
        try:
            if not (self.root / SYSTEM_METADATA).is_dir():
                self._write_description()
            self.refresh()
            return self._recover()
        except BaseException:
            self._release_lock()
            raise

    def reload(self) -> None:
        """Read indexes and redo file as they are now, for a reader beside a writer: locks and writes nothing.

        Raise as ``refresh``.
        """
        begun = self._redo.read().begun  # before the indexes: these hold what is published meanwhile
        self.refresh()
        for one in begun:
            if one.committed:
                self._index([filed for filed in one.documents if self._path(filed).exists()])

    def close(self) -> None:
        """Publish changed indexes and release the lock."""
        try:
            self.publish()
        finally:
            self._writers.shutdown()
            self._release_lock()

    @property
    def dirty(self) -> bool:
        """Whether an index in memory holds what its file does not."""
        return bool(self._dirty)

    def refresh(self) -> None:
        """Merge what another program wrote to an index.json since we last read or wrote it.

        Entries of ours that it lacks stay in memory and are written at the next publish. Raise ArtdaqDBError if it is
        damaged, in which case it is never overwritten (transient while the other program may be writing it), and if a
        collection that is new to us has documents and no index.json.
        """
        for name in self._collections():
            path = self.root / name / INDEX
            signature = _signature(path)
            if name in self.indexes and signature == self._signatures.get(name):
                continue
            if signature is None and name not in self.indexes:
                demand_index(self.root / name, self._redo)
            found = Index() if signature is None else self._read(path, again=name in self.indexes)
            self._signatures[name] = signature
            self._merge(name, found)

    def store(self, entities: Sequence[Entity], configuration: str, version: str, run: int) -> None:
        """Store ``entities`` as documents of ``version``, all or none, durable on return.

        Raise FhiclError if one is not FHiCL and OSError as the file system gives it; then nothing of it counts.
        """
        self._undo_failed()
        stamp = timestamp(self._clock())
        filed = [self._assign_place(entity, configuration, version, run, stamp) for entity in entities]
        for collection in dict.fromkeys(entity.collection for entity in entities):
            self._disk.make_directory(self.root / collection)
        number = self._redo.begin(filed)
        try:
            self._write(zip(entities, filed, strict=True))
            for collection in dict.fromkeys(one.place.collection for one in filed):
                self._disk.sync_directory(self.root / collection)
            self._redo.commit(number)
        except BaseException:
            self._failed += filed
            with contextlib.suppress(OSError):  # then before anything else is stored
                self._undo_failed()
            raise
        self._index(filed)

    def publish(self) -> None:
        """Write every changed index.json, RunHistory's before SystemLayout's, and forget the redo file."""
        self.refresh()
        for _ in range(_ATTEMPTS):
            for name in sorted(self._dirty, key=lambda name: (name == SYSTEM_LAYOUT, name)):
                self._publish(name)
            if not self._dirty:
                self._undo_failed()
                self._redo.clear()
                return

    def unindexed(self) -> list[Path]:
        """Return the documents without an index entry; may be called from any thread.

        Includes those of a store under way: check again with ``still_unindexed``.
        """
        found = []
        for name, index in list(self.indexes.items()):
            with os.scandir(self.root / name) as entries:
                stems = (entry.name.removesuffix(".json") for entry in entries if is_document(entry.name))
                found += [self.root / name / f"{stem}.json" for stem in stems if stem not in index]
        return sorted(found)

    def still_unindexed(self, paths: Iterable[Path]) -> list[Path]:
        """Return those of ``paths`` that exist without an index entry; for the writing thread."""
        return [path for path in paths if path.exists() and path.stem not in self.indexes[path.parent.name]]

    def _publish(self, name: str) -> None:
        """Replace one index.json, and merge what another program wrote to the old one meanwhile."""
        path = self.root / name / INDEX
        with contextlib.ExitStack() as stack:
            old = stack.enter_context(path.open("rb")) if path.exists() else None
            self._disk.publish(path, self.indexes[name].chunks())
            known, self._signatures[name] = self._signatures.get(name), _signature(path)
            self._dirty.discard(name)
            if old is not None and _signature_of(os.fstat(old.fileno())) != known:
                self._merge(name, Index.parse(old.read(), str(path)))
                self._dirty.add(name)

    def _read(self, path: Path, *, again: bool) -> Index:
        """Read an index.json; damage is transient if it was sound before."""
        try:
            return Index.parse(path.read_bytes(), str(path))
        except ArtdaqDBError as error:
            if again:
                error.retry = Retry.TRANSIENT
            raise

    def _merge(self, name: str, found: Index) -> None:
        """Merge an index that was found on disk into ours."""
        with self.lock:
            if name not in self.indexes:
                self.indexes[name] = found
            elif self.indexes[name].merge(found):
                self._dirty.add(name)

    def _assign_place(self, entity: Entity, configuration: str, version: str, run: int, stamp: str) -> Filed:
        """Return an entity's place, under an unused object id."""
        while True:
            filed = Filed(
                entity.name, DocumentPlace(self._new_oid(), entity.collection, configuration, version, run, stamp)
            )
            if not self._path(filed).exists():
                return filed

    def _write(self, documents: Iterable[tuple[Entity, Filed]]) -> None:
        """Convert, write and sync documents, several at a time; the first failure is raised once all have ended."""
        writing = [self._writers.submit(self._write_one, entity, filed) for entity, filed in documents]
        failures = [error for error in (one.exception() for one in writing) if error is not None]
        if failures:
            raise failures[0]

    def _write_one(self, entity: Entity, filed: Filed) -> None:
        self._disk.create(self._path(filed), stored(entity, filed.place))

    def _path(self, filed: Filed) -> Path:
        return self.root / filed.place.collection / f"{filed.place.oid}.json"

    def _index(self, filed: Iterable[Filed]) -> None:
        """Add documents to the indexes in memory, where they count from now on."""
        with self.lock:
            for one in filed:
                place = one.place
                names = Names(place.version, (place.configuration,), (place.stamp,), (one.entity,), (str(place.run),))
                self.indexes.setdefault(place.collection, Index()).add(place.oid, names)
                self._dirty.add(place.collection)

    def _undo_failed(self) -> None:
        """Remove durably what failed stores left; until then the redo file must list it.

        Raise OSError while that is not possible.
        """
        if self._failed:
            self._redo.settle()
            self._remove(self._failed)
            self._failed.clear()

    def _remove(self, filed: Sequence[Filed]) -> None:
        """Remove documents that do not count, durably."""
        for one in filed:
            self._disk.unlink(self._path(one))
        for collection in {one.place.collection for one in filed}:
            if (self.root / collection).is_dir():
                self._disk.sync_directory(self.root / collection)

    def _recover(self) -> list[Path]:
        """Finish or undo what an earlier process left, then publish; return committed documents that are missing."""
        left = self._redo.read()
        lost: list[Path] = []
        for begun in left.begun:
            if begun.committed:
                there = [one for one in begun.documents if self._path(one).exists()]
                lost += [self._path(one) for one in begun.documents if one not in there]
                self._index(there)
            elif not left.doubtful:
                self._remove(begun.documents)
            else:  # they stay, and count for nobody: a collection that is new has an index without them
                collections = {one.place.collection for one in begun.documents}
                self._dirty |= {name for name in collections if self._signatures.get(name, ()) is None}
        self.publish()
        return lost

    def _write_description(self) -> None:
        """Write the document that describes a new database (A.3)."""
        oid = self._new_oid()
        self._disk.make_directory(self.root / SYSTEM_METADATA)
        self._disk.create(self.root / SYSTEM_METADATA / f"{oid}.json", system_metadata(self._uri, oid, self._clock()))
        self._disk.sync_directory(self.root / SYSTEM_METADATA)

    def _collections(self) -> list[str]:
        """Return the collections: every directory but the database's description (A.2)."""
        with os.scandir(self.root) as entries:
            return sorted(e.name for e in entries if e.is_dir() and e.name != SYSTEM_METADATA)

    def _release_lock(self) -> None:
        """Release the writer's lock."""
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None


def demand_index(collection: Path, redo: Redo) -> None:
    """Raise ArtdaqDBError if a collection without index.json has a document that is not of a store of ours."""
    with os.scandir(collection) as entries:
        documents = (entry.name.removesuffix(".json") for entry in entries if is_document(entry.name))
        first = next(documents, None)
        if first is None:
            return
        ours = {filed.place.oid for begun in redo.read().begun for filed in begun.documents}
        if not all(oid in ours for oid in itertools.chain([first], documents)):
            raise missing_index_error(collection / INDEX)


def is_document(name: str) -> bool:
    """Return whether a file of a collection is a document, by its name."""
    return name.endswith(".json") and name != INDEX and not name.startswith(".")


def _signature(path: Path) -> Signature | None:
    """Return the signature of a file, None if it is not there."""
    try:
        return _signature_of(path.stat())
    except FileNotFoundError:
        return None


def _signature_of(status: os.stat_result) -> Signature:
    return status.st_ino, status.st_size, status.st_mtime_ns
