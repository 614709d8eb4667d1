"""The database directory: collections, their indexes in memory, and the one durable way to change them.

A store goes: redo file says which documents are coming (durable) → documents written and synced, their names synced →
redo file says committed (durable) → indexes in memory. An ``index.json`` is published whole by rename from time to
time: RunHistory's before SystemLayout's, because "is archived" is decided on SystemLayout. At opening, documents begun
and never committed are removed, committed ones that an index.json lacks are indexed again. Nothing here is
asynchronous.
"""

from __future__ import annotations

import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from archiverd.artdaqdb.documents import Place, stored, system_metadata, timestamp
from archiverd.artdaqdb.filesystem.index import OID, Index, parse
from archiverd.artdaqdb.filesystem.redo import Filed, Redo
from archiverd.core.errors import ArtdaqDBError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from archiverd.artdaqdb.port import Entity
    from archiverd.disk import Disk

SYSTEM_METADATA = "SystemMetadata"
SYSTEM_LAYOUT = "SystemLayout"
INDEX = "index.json"
LOCK = ".archiverd.lock"

WRITERS = 4
"""So many documents are converted, written and synced at a time; syncs of one moment share the disk's effort."""


class Tree:
    """An open database directory. One thread writes; readers may look at the indexes under ``lock``."""

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
        self._signatures: dict[str, tuple[int, int, int] | None] = {}
        self._dirty: set[str] = set()
        self._held: int | None = None
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="artdaqdb-write")

    def open(self) -> None:
        """Take the writer's lock, make the database if it is new, read its indexes, and recover.

        Raise ArtdaqDBError if another writer has it or an index is damaged; OSError as the file system gives it.
        """
        self._disk.make_directory(self.root)
        self._take_lock()
        if not (self.root / SYSTEM_METADATA).is_dir():
            self._describe()
        self.refresh()
        self._recover()

    def close(self) -> None:
        """Publish what is to be published and let go of the lock."""
        try:
            self.publish()
        finally:
            self._writers.shutdown()
            if self._held is not None:
                os.close(self._held)
                self._held = None

    @property
    def dirty(self) -> bool:
        """Whether an index in memory holds what its file does not."""
        return bool(self._dirty)

    def refresh(self) -> None:
        """Take in what another program wrote to an index.json since we last read or wrote it.

        What its version lacks of ours stays in memory and is put back at the next publish.
        """
        for name in self._collections():
            path = self.root / name / INDEX
            signature = _signature(path)
            if name in self.indexes and signature == self._signatures.get(name):
                continue
            found = Index() if signature is None else parse(path.read_bytes(), str(path))
            self._signatures[name] = signature
            with self.lock:
                if name in self.indexes:
                    found_count = len(found)
                    self.indexes[name].merge(found)
                    if len(self.indexes[name]) != found_count:
                        self._dirty.add(name)
                else:
                    self.indexes[name] = found

    def store(self, entities: Sequence[Entity], configuration: str, version: str, run: int) -> None:
        """Store ``entities`` as documents of ``version``, all or none, durable on return.

        Raise FhiclError if one is not FHiCL and OSError as the file system gives it; then nothing of it counts.
        """
        stamp = timestamp(self._clock())
        filed = [self._file(entity, configuration, version, run, stamp) for entity in entities]
        for collection in dict.fromkeys(entity.collection for entity in entities):
            self._disk.make_directory(self.root / collection)
        number = self._redo.begin(filed)
        try:
            self._write(zip(entities, filed, strict=True))
            for collection in dict.fromkeys(one.place.collection for one in filed):
                self._disk.sync_directory(self.root / collection)
            self._redo.commit(number)
        except BaseException:
            self._remove(filed)
            raise
        self._index(filed)

    def publish(self) -> None:
        """Write every changed index.json, RunHistory's before SystemLayout's, and forget the redo file."""
        self.refresh()
        for name in sorted(self._dirty, key=lambda name: (name == SYSTEM_LAYOUT, name)):
            path = self.root / name / INDEX
            self._disk.publish(path, self.indexes[name].chunks())
            self._signatures[name] = _signature(path)
        self._dirty.clear()
        self._redo.clear()

    def unindexed(self) -> list[Path]:
        """Return documents that stand in a collection and in no index."""
        found = []
        for name, index in self.indexes.items():
            with os.scandir(self.root / name) as entries:
                stems = sorted(entry.name.removesuffix(".json") for entry in entries if entry.name != INDEX)
            known = set(index.oids())
            found += [self.root / name / f"{stem}.json" for stem in stems if OID.fullmatch(stem) and stem not in known]
        return found

    def _file(self, entity: Entity, configuration: str, version: str, run: int, stamp: str) -> Filed:
        """Give an entity its place."""
        return Filed(entity.name, Place(self._new_oid(), entity.collection, configuration, version, run, stamp))

    def _write(self, documents: Iterable[tuple[Entity, Filed]]) -> None:
        """Convert, write and sync documents, several at a time; the first failure is raised once all have ended."""
        writing = [self._writers.submit(self._write_one, entity, filed) for entity, filed in documents]
        failures = [error for error in (one.exception() for one in writing) if error is not None]
        if failures:
            raise failures[0]

    def _write_one(self, entity: Entity, filed: Filed) -> None:
        self._disk.write(self._path(filed), stored(entity, filed.place))

    def _path(self, filed: Filed) -> Path:
        return self.root / filed.place.collection / f"{filed.place.oid}.json"

    def _index(self, filed: Iterable[Filed]) -> None:
        """Make documents count in memory."""
        with self.lock:
            for one in filed:
                self.indexes.setdefault(one.place.collection, Index()).add(one.entity, one.place)
                self._dirty.add(one.place.collection)

    def _remove(self, filed: Sequence[Filed]) -> None:
        """Remove documents that do not count."""
        for one in filed:
            self._disk.unlink(self._path(one))

    def _recover(self) -> None:
        """Finish or undo what an earlier process left; afterwards the indexes on disk hold all that counts."""
        left = self._redo.read()
        for begun in left:
            if begun.committed:
                self._index(one for one in begun.documents if self._path(one).exists())
            else:
                self._remove(begun.documents)
                for collection in {one.place.collection for one in begun.documents}:
                    self._disk.sync_directory(self.root / collection)
        if left:
            self.publish()

    def _describe(self) -> None:
        """Write the document that describes a new database (A.3)."""
        oid = self._new_oid()
        self._disk.make_directory(self.root / SYSTEM_METADATA)
        self._disk.write(self.root / SYSTEM_METADATA / f"{oid}.json", system_metadata(self._uri, oid, self._clock()))
        self._disk.sync_directory(self.root / SYSTEM_METADATA)

    def _collections(self) -> list[str]:
        """Return the collections: every directory but the database's description (A.2)."""
        with os.scandir(self.root) as entries:
            return sorted(e.name for e in entries if e.is_dir() and e.name != SYSTEM_METADATA)

    def _take_lock(self) -> None:
        """Be the only archiverd that writes here; the library knows no lock."""
        descriptor = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise ArtdaqDBError(
                f"Another archiverd (process {holder or 'unknown'}) writes to {self.root}",
                retry=Retry.TRANSIENT,
                remedy="one writer at a time: stop the other, or point one of them at another database_uri",
                context={"database": str(self.root), "pid": holder},
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._held = descriptor


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Return what tells one version of a file from another: inode, size, modification time in nanoseconds."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
