"""The redo file: what was begun and what was committed since the indexes were last published.

A plain file beside the collections (any subdirectory would become a collection). One line a record: a CRC-32 in eight
hexadecimal digits, a blank, JSON. A line torn by a power cut or a full disk fails its check and is passed over: what it
would have said was never acknowledged. Each record begins with a newline of its own, so that a torn one before it
cannot swallow it.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from archiverd.artdaqdb.documents import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from archiverd.disk import Disk

NAME = ".archiverd.redo"


@dataclass(frozen=True, slots=True)
class Filed:
    """One document to be, or being, stored: its entity and its place."""

    entity: str
    place: Place


@dataclass(frozen=True, slots=True)
class Begun:
    """A store that was begun; ``committed`` once all its documents are durable and count."""

    number: int
    documents: tuple[Filed, ...]
    committed: bool


class Redo:
    """The redo file of one database."""

    def __init__(self, root: Path, disk: Disk) -> None:
        """Name the file in the database directory ``root``."""
        self._path = root / NAME
        self._disk = disk
        self._number = 0

    def begin(self, documents: Sequence[Filed]) -> int:
        """Note durably which documents are going to be written; return the number to commit with."""
        self._number += 1
        fresh = not self._path.exists()
        self._append({"begin": self._number, "documents": [_packed(one) for one in documents]})
        if fresh:
            self._disk.sync_directory(self._path.parent)
        return self._number

    def commit(self, number: int) -> None:
        """Note durably that every document of ``number`` is durable: from now on they count."""
        self._append({"commit": number})

    def clear(self) -> None:
        """Forget everything: the published indexes hold it."""
        if self._path.exists() and self._path.stat().st_size:
            self._disk.publish(self._path, [b""])

    def read(self) -> list[Begun]:
        """Return what the file tells, in order."""
        begun: dict[int, Begun] = {}
        for record in self._records():
            if "begin" in record:
                documents = tuple(_unpacked(one) for one in record["documents"])
                begun[record["begin"]] = Begun(record["begin"], documents, committed=False)
            elif record["commit"] in begun:
                started = begun[record["commit"]]
                begun[started.number] = Begun(started.number, started.documents, committed=True)
        self._number = max(begun, default=0)
        return list(begun.values())

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, separators=(",", ":")).encode()
        self._disk.append(self._path, b"\n%08x %s\n" % (zlib.crc32(line), line))

    def _records(self) -> Iterator[dict[str, Any]]:
        """Yield the records that are whole."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in data.split(b"\n"):
            check, _, content = line.partition(b" ")
            if content and check == b"%08x" % zlib.crc32(content):
                yield json.loads(content)


def _packed(one: Filed) -> dict[str, Any]:
    return {"entity": one.entity, **asdict(one.place)}


def _unpacked(record: dict[str, Any]) -> Filed:
    entity = record.pop("entity")
    return Filed(entity, Place(**record))
