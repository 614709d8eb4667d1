"""Repair of a FileSystemDB that another program writes for us, after that was killed during a store.

The library writes a document, then rewrites the collection's whole index.json, without lock, sync or rename
(artdaqdb_format.md sections A.2 and A.5). Killed in between it leaves a truncated document, one without an
index entry, or a truncated index that hides the collection. So we hold the writer's lock, record durably what is going
to be stored, and repair what was left before the next call. What is not part of that store is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem.check import collections_in, documents_in, names_of, rebuild_index
from archiverd.artdaqdb.filesystem.index import INDEX, Index, missing_index_error
from archiverd.artdaqdb.filesystem.lock import take_lock
from archiverd.artdaqdb.filesystem.object_ids import make_oid
from archiverd.artdaqdb.filesystem.redo import Redo
from archiverd.artdaqdb.filesystem.tree import Tree
from archiverd.artdaqdb.rules import SYSTEM_METADATA, VERSION
from archiverd.core.errors import ArtdaqDBError

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.artdaqdb.filesystem.index import Names
    from archiverd.disk import Disk

INTENT = ".archiverd.intent"
"""Name of the intent file, beside the collections; a directory would be a collection."""
_END = 64
"""Bytes at the end of an index.json that must hold its closing brace."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a program is going to store: documents of one version, in these collections."""

    configuration: str
    version: str
    collections: tuple[str, ...]


class DirectoryRepair:
    """Lock, intent and repair of one database directory that a program writes. Nothing here is asynchronous."""

    def __init__(self, root: Path, disk: Disk) -> None:
        """Name the directory."""
        self._root = root
        self._disk = disk
        self._lock: int | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Descriptors the program must inherit: they hold the lock while it runs, even if we are killed."""
        return () if self._lock is None else (self._lock,)

    def open(self) -> None:
        """Make the directory if it is not there, and take its lock. Raise ArtdaqDBError if another archiverd has it.

        What archiverd's own engine committed and did not publish, because it was killed, is published now.
        """
        self._disk.make_directory(self._root)
        if Redo(self._root, self._disk).read().begun:
            tree = Tree(self._root, "", self._disk, lambda: datetime.now().astimezone(), make_oid)
            tree.open()
            tree.close()
        self._lock = take_lock(self._root)

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_intent(self, intent: Intent) -> None:
        """Record durably what is going to be stored."""
        self._disk.write(self._root / INTENT, json.dumps(asdict(intent)).encode())
        self._disk.sync_directory(self._root)

    def make_durable(self, intent: Intent) -> None:
        """Sync the documents of an intent, their index and directories. No program may be storing."""
        for collection in intent.collections:
            directory = self._root / collection
            if oids := _index(directory / INDEX).of(VERSION, intent.version):
                self._disk.sync_files([*(directory / f"{oid}.json" for oid in oids), directory / INDEX])
                self._disk.sync_directory(directory)
        self._disk.sync_directory(self._root)

    def remove_intent(self) -> None:
        """Remove the intent: what it announced is durable or repaired."""
        self._disk.unlink(self._root / INTENT)

    def repair(self) -> list[str]:
        """Repair what a killed program left, and make durable what is there of its intent; return a sentence a repair.

        What is left alone, because another program may have written it, has a sentence too. No program may be storing.
        Raise OSError, and ArtdaqDBError if an index.json is lost: the program would make one without the old entries.
        """
        if not self._root.is_dir():
            return []
        intent = self._read_intent()
        self._demand_indexes(intent)
        done = [self._rebuild_index(name) for name in self._damaged_indexes()]
        if intent is not None:
            began = (self._root / INTENT).stat().st_mtime_ns
            for name in intent.collections:
                directory = self._root / name
                if directory.is_dir():
                    done += self._drop_damaged(directory, intent.version)
                    done += self._index_missing(directory, intent, began)
            self.make_durable(intent)
        return done

    def _demand_indexes(self, intent: Intent | None) -> None:
        """Raise ArtdaqDBError if a collection without index.json has documents that are not of the intent."""
        for directory in collections_in(self._root):
            if (directory / INDEX).exists():
                continue
            version = intent.version if intent is not None and directory.name in intent.collections else None
            for document in documents_in(directory):
                names = _read(document)
                if names is not None and names.version != version:
                    raise missing_index_error(directory / INDEX)

    def _damaged_indexes(self) -> list[str]:
        """Return the collections whose index.json is truncated."""
        with os.scandir(self._root) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
        return [name for name in names if _is_cut_short(self._root / name / INDEX)]

    def _rebuild_index(self, name: str) -> str:
        """Write a collection's index.json from its documents; return a sentence about it."""
        path = self._root / name / INDEX
        if name == SYSTEM_METADATA:  # its document is not one of runs: its index is always empty
            self._disk.publish(path, Index().chunks())
        else:
            rebuild_index(path.parent, self._disk)
        return f"{path} was damaged; it is written anew from the documents beside it"

    def _read_intent(self) -> Intent | None:
        """Return the intent; None without one, and for a truncated one: then nothing was stored yet."""
        try:
            noted = json.loads((self._root / INTENT).read_bytes())
            return Intent(noted["configuration"], noted["version"], tuple(noted["collections"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _drop_damaged(self, directory: Path, version: str) -> list[str]:
        """Rebuild an index that is damaged, or has damaged documents of ``version``; these are removed."""
        path = directory / INDEX
        try:
            index = _index(path)
        except ArtdaqDBError:
            return [self._rebuild_index(directory.name)]
        listed = (directory / f"{oid}.json" for oid in index.of(VERSION, version))
        damaged = [document for document in listed if _read(document) is None]
        if not damaged:
            return []
        for document in damaged:
            self._disk.unlink(document)
        done = [f"{document} was cut short; it is removed and stored again" for document in damaged]
        return [*done, self._rebuild_index(directory.name)]

    def _index_missing(self, directory: Path, intent: Intent, began: int) -> list[str]:
        """Index the intended documents that have no entry, and remove a truncated one."""
        index = _index(directory / INDEX)
        added: list[str] = []
        damaged: list[Path] = []
        for document in documents_in(directory):
            if document.stem in index:
                continue
            names = _read(document)
            if names is None:
                if document.stat().st_mtime_ns >= began:
                    damaged.append(document)
            elif names.version == intent.version and intent.configuration in names.configurations:
                index.add(document.stem, names)
                added.append(f"{document} was stored and not indexed; it is indexed now")
        if added:
            self._disk.publish(directory / INDEX, index.chunks())
        if len(damaged) > 1:  # one document is stored at a time: some other program is at it
            return [*added, *(f"{one} is cut short and in no index; it may not be ours" for one in damaged)]
        for document in damaged:
            self._disk.unlink(document)
            self._disk.sync_directory(directory)
        return [*added, *(f"{one} was cut short; it is removed and stored again" for one in damaged)]


def _index(path: Path) -> Index:
    """Return the index at ``path``, empty if there is none. Raise ArtdaqDBError if it is damaged."""
    return Index.parse(path.read_bytes(), str(path)) if path.exists() else Index()


def _read(document: Path) -> Names | None:
    """Return the names a document is indexed under, None if it is damaged or missing."""
    try:
        return names_of(document)
    except (ArtdaqDBError, FileNotFoundError):
        return None


def _is_cut_short(path: Path) -> bool:
    """Return whether a file is there and does not end with a closing brace."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
        return not file.read().rstrip().endswith(b"}")
    return False
