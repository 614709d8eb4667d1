"""A FileSystemDB that another program writes for us: whatever it leaves when it is killed amid a store is mended.

The library writes a document, then rewrites the collection's whole index.json, without lock, sync or rename
(artdaqdb_format.md sections A.2 and A.5). Killed in between it leaves a document that is cut short, one that stands in
no index, or an index that is cut short and hides the collection. So we keep the writer's lock, note durably what is
going to be stored, and put right what was left before anything else is asked. What is not of that store stays alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem.check import collections_in, documents_in, names_of, rebuild_index
from archiverd.artdaqdb.filesystem.index import INDEX, Index, lost
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
"""A plain file beside the collections: any directory would be one."""
_END = 64
"""Bytes at the end of an index.json in which its closing brace must stand."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a program is told to store: documents of one version, in these collections."""

    configuration: str
    version: str
    collections: tuple[str, ...]


class DirectoryRepair:
    """Keeps one database directory fit for the program that writes it. Nothing here is asynchronous."""

    def __init__(self, root: Path, disk: Disk) -> None:
        """Name the directory."""
        self._root = root
        self._disk = disk
        self._lock: int | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the program must inherit: while it lives the lock is held, even if we are killed."""
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
        """Let go of the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def begin(self, intent: Intent) -> None:
        """Note durably what is going to be stored."""
        self._disk.write(self._root / INTENT, json.dumps(asdict(intent)).encode())
        self._disk.sync_directory(self._root)

    def settle(self, intent: Intent) -> None:
        """Make what is there of an intent durable, with all that leads to it. No program may be storing."""
        for collection in intent.collections:
            directory = self._root / collection
            if oids := _index(directory / INDEX).of(VERSION, intent.version):
                self._disk.sync_files([*(directory / f"{oid}.json" for oid in oids), directory / INDEX])
                self._disk.sync_directory(directory)
        self._disk.sync_directory(self._root)

    def forget(self) -> None:
        """Remove the note: what was begun is settled or mended."""
        self._disk.unlink(self._root / INTENT)

    def mend(self) -> list[str]:
        """Put right what a killed program left, and settle what of the intent is there; return what was done, in words.

        No program may be storing. What is left alone because it may be another's is told too. Raise OSError as the
        file system gives it, and ArtdaqDBError if an index.json is lost: the program would make one without the others.
        """
        if not self._root.is_dir():
            return []
        intent = self._intended()
        self._refuse_lost(intent)
        told = [self._index_anew(name) for name in self._cut_short()]
        if intent is not None:
            began = (self._root / INTENT).stat().st_mtime_ns
            for name in intent.collections:
                directory = self._root / name
                if directory.is_dir():
                    told += self._make_good(directory, intent.version)
                    told += self._complete(directory, intent, began)
            self.settle(intent)
        return told

    def _refuse_lost(self, intent: Intent | None) -> None:
        """Raise ArtdaqDBError if a collection without index.json has documents that are not of the intent."""
        for directory in collections_in(self._root):
            if (directory / INDEX).exists():
                continue
            version = intent.version if intent is not None and directory.name in intent.collections else None
            for document in documents_in(directory):
                names = _read(document)
                if names is not None and names.version != version:
                    raise lost(directory / INDEX)

    def _cut_short(self) -> list[str]:
        """Return the collections whose index.json does not end as it must."""
        with os.scandir(self._root) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
        return [name for name in names if _is_cut_short(self._root / name / INDEX)]

    def _index_anew(self, name: str) -> str:
        """Write the index.json of a collection from its documents; return what was done."""
        path = self._root / name / INDEX
        if name == SYSTEM_METADATA:  # its document is not one of runs: its index is always empty
            self._disk.publish(path, Index().chunks())
        else:
            rebuild_index(path.parent, self._disk)
        return f"{path} was damaged; it is written anew from the documents beside it"

    def _intended(self) -> Intent | None:
        """Return what was begun and not settled; a note that is cut short is of something that was not begun."""
        try:
            noted = json.loads((self._root / INTENT).read_bytes())
            return Intent(noted["configuration"], noted["version"], tuple(noted["collections"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _make_good(self, directory: Path, version: str) -> list[str]:
        """Have an index that can be read, and in it no document of ``version`` that a power cut took."""
        path = directory / INDEX
        try:
            index = _index(path)
        except ArtdaqDBError:
            return [self._index_anew(directory.name)]
        listed = (directory / f"{oid}.json" for oid in index.of(VERSION, version))
        damaged = [document for document in listed if _read(document) is None]
        if not damaged:
            return []
        for document in damaged:
            self._disk.unlink(document)
        told = [f"{document} was cut short; it is removed and stored again" for document in damaged]
        return [*told, self._index_anew(directory.name)]

    def _complete(self, directory: Path, intent: Intent, began: int) -> list[str]:
        """Index the intended documents that are in no index, and remove one that is cut short."""
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
    """Return what an index.json holds, nothing if it is not there. Raise ArtdaqDBError if it is damaged."""
    return Index.parse(path.read_bytes(), str(path)) if path.exists() else Index()


def _read(document: Path) -> Names | None:
    """Return what a document is to be indexed under, None if it is not whole or not there."""
    try:
        return names_of(document)
    except (ArtdaqDBError, FileNotFoundError):
        return None


def _is_cut_short(path: Path) -> bool:
    """Tell whether a file is there and does not end with a closing brace."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
        return not file.read().rstrip().endswith(b"}")
    return False
