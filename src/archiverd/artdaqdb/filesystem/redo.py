"""The redo file: what was begun and what was committed since the indexes were last published.

A plain file beside the collections (any subdirectory would become a collection). One line a record: a CRC-32 in eight
hexadecimal digits, a blank, JSON. Each record begins with a newline of its own, so that one torn by a power cut or a
full disk cannot swallow the next. A torn record was never acknowledged.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from archiverd.artdaqdb.documents import DocumentPlace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archiverd.disk import Disk

NAME = ".archiverd.redo"


@dataclass(frozen=True, slots=True)
class Filed:
    """One document to be, or being, stored: its entity and its place."""

    entity: str
    place: DocumentPlace


@dataclass(frozen=True, slots=True)
class Begun:
    """A store that was begun; ``committed`` if all its documents are durable and count."""

    documents: tuple[Filed, ...]
    committed: bool


@dataclass(frozen=True, slots=True)
class Left:
    """The content of a redo file."""

    begun: tuple[Begun, ...]
    doubtful: bool
    """Whether a damaged record precedes a whole one: what seems uncommitted may have been committed."""

    @property
    def uncommitted(self) -> frozenset[str]:
        """Object ids of the documents of stores that did not end; these documents do not count."""
        return frozenset(one.place.oid for begun in self.begun if not begun.committed for one in begun.documents)


class Redo:
    """The redo file of one database."""

    def __init__(self, root: Path, disk: Disk) -> None:
        """Name the file in the database directory ``root``."""
        self.path = root / NAME
        self._disk = disk
        self._number = 0
        self._named = False
        """Whether the file's name is known to be durable."""
        self._sound_size: int | None = None
        """Bytes of the file without a record that failed and could not be removed; None if there is no such record."""

    def begin(self, documents: Sequence[Filed]) -> int:
        """Record durably which documents are going to be written; return the number to commit with."""
        self._number += 1
        self._append({"begin": self._number, "documents": [_packed(one) for one in documents]})
        if not self._named:
            self._disk.sync_directory(self.path.parent)
            self._named = True
        return self._number

    def commit(self, number: int) -> None:
        """Record durably that every document of ``number`` is durable: from now on they count."""
        self._append({"commit": number})

    def settle(self) -> None:
        """Remove a record that failed and could not be removed then. Raise OSError if it still cannot."""
        if self._sound_size is not None:
            if self.path.exists():
                self._disk.truncate(self.path, self._sound_size)
            self._sound_size = None

    def clear(self) -> None:
        """Forget everything: the published indexes hold it."""
        if self.path.exists() and self.path.stat().st_size:
            self._disk.truncate(self.path, 0)
        self._sound_size = None

    def read(self) -> Left:
        """Return the file's content in order, after a sync: what a killed process wrote may not be durable."""
        if self.path.exists():
            self._disk.sync_files([self.path])
        begun: dict[int, Begun] = {}
        records, doubtful = self._records()
        for record in records:
            if "begin" in record:
                begun[record["begin"]] = Begun(tuple(map(_unpacked, record["documents"])), committed=False)
            elif record["commit"] in begun:
                begun[record["commit"]] = Begun(begun[record["commit"]].documents, committed=True)
        self._number = max(begun, default=0)
        return Left(tuple(begun.values()), doubtful)

    def _append(self, record: dict[str, Any]) -> None:
        """Append a record durably; if that fails remove what was written of it, and raise OSError.

        If even that fails it is unknown whether the record counts, and nothing is appended before it is removed.
        """
        self.settle()
        line = json.dumps(record, separators=(",", ":")).encode()
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            self._disk.append(self.path, b"\n%08x %s\n" % (zlib.crc32(line), line))
        except BaseException:
            self._sound_size = before
            with contextlib.suppress(OSError):
                self.settle()
            raise

    def _records(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the whole records, and whether a damaged one precedes a whole one."""
        records: list[dict[str, Any]] = []
        damaged = doubtful = False
        for line in self.path.read_bytes().split(b"\n") if self.path.exists() else ():
            check, _, content = line.partition(b" ")
            if content and check == b"%08x" % zlib.crc32(content):
                records.append(json.loads(content))
                doubtful = damaged
            elif line:
                damaged = True
        return records, doubtful


def _packed(one: Filed) -> dict[str, Any]:
    return {"entity": one.entity, **asdict(one.place)}


def _unpacked(record: dict[str, Any]) -> Filed:
    return Filed(record["entity"], DocumentPlace(**{key: value for key, value in record.items() if key != "entity"}))
