"""One collection's index in memory, and its ``index.json`` (artdaqdb_format.md section A.5).

An object id is kept as 12 bytes; the ids under one key are one sorted run of bytes. So an archive of 10 000 runs with
93 entities each takes some 70 MB, and writing its index.json needs no sorting.
"""

from __future__ import annotations

import bisect
import itertools
import json
import re
from typing import TYPE_CHECKING, Any

from archiverd.artdaqdb.documents import text
from archiverd.core.errors import ArtdaqDBError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from archiverd.artdaqdb.documents import Place

OID = re.compile(r"[0-9a-f]{24}")
SIZE = 12
"""Bytes of an object id."""

OIDS, VERSION, CONFIGURATION = "ouid", "version", "configurations.name"
ENTITY, ALIAS, RUN, ASSIGNED = "entities.name", "aliases.active.name", "runs.name", "configurations.assigned"
SECTIONS = (VERSION, CONFIGURATION, ENTITY, ALIAS, RUN)
"""The sections that map a name to object ids, in the file's order."""

_MEMBER = re.compile(rb'"([^"\\]*)" : \[\n([^\]]*)\n\]')
"""A member of a section in the library's layout: its name, if nothing in it is escaped, and what its array holds."""

_BUCKETS = 256
_PIECE = 1 << 20
"""Index text is handed out in pieces of about so many bytes."""


class Oids:
    """A sorted set of object ids as one run of bytes."""

    __slots__ = ("packed",)

    def __init__(self, packed: bytes = b"") -> None:
        """Take over ids that are sorted and distinct already."""
        self.packed = bytearray(packed)

    def add(self, oid: bytes) -> bool:
        """Add one id; tell whether it is new."""
        low, high = 0, len(self.packed) // SIZE
        while low < high:
            middle = (low + high) // 2
            if self.packed[middle * SIZE : (middle + 1) * SIZE] < oid:
                low = middle + 1
            else:
                high = middle
        place = low * SIZE
        if self.packed[place : place + SIZE] == oid:
            return False
        self.packed[place:place] = oid
        return True

    def __len__(self) -> int:
        return len(self.packed) // SIZE

    def __iter__(self) -> Iterator[str]:
        """Yield the ids as text, ascending."""
        for place in range(0, len(self.packed), SIZE):
            yield self.packed[place : place + SIZE].hex()

    def array(self) -> str:
        """Return the ids as a JSON array in the library's layout (A.7)."""
        if not self.packed:
            return "[\n\n]"
        return '[\n"' + self.packed.hex(",", SIZE).replace(",", '",\n"') + '"\n]'


class Index:
    """What one collection's index.json says."""

    def __init__(self) -> None:
        """Make the index of an empty collection."""
        self.sections: dict[str, dict[str, Oids]] = {name: {} for name in SECTIONS}
        self.assigned: dict[str, list[str]] = {}
        self.buckets = [Oids() for _ in range(_BUCKETS)]
        """All ids, by their first byte."""

    def __contains__(self, oid: str) -> bool:
        packed = bytes.fromhex(oid)
        bucket = self.buckets[packed[0]].packed
        found = bucket.find(packed)
        while found >= 0 and found % SIZE:
            found = bucket.find(packed, found + 1)
        return found >= 0

    def __len__(self) -> int:
        return sum(map(len, self.buckets))

    def oids(self) -> Iterator[str]:
        """Yield all object ids, ascending."""
        for bucket in self.buckets:
            yield from bucket

    def fill(self, packed: bytes) -> None:
        """Take over all ids of the collection, sorted and distinct."""
        count = len(packed) // SIZE
        edges = [bisect.bisect_left(range(count), byte, key=lambda n: packed[n * SIZE]) for byte in range(_BUCKETS)]
        for byte, (start, end) in enumerate(itertools.pairwise((*edges, count))):
            self.buckets[byte] = Oids(packed[start * SIZE : end * SIZE])

    def of(self, section: str, key: str) -> Oids:
        """Return the ids under ``key`` of a section; none if there is no such key."""
        return self.sections[section].get(key) or Oids()

    def add(self, entity: str, place: Place) -> None:
        """Index one document as the library does on store; a second time changes nothing."""
        packed = bytes.fromhex(place.oid)
        self.buckets[packed[0]].add(packed)
        names = (
            (VERSION, place.version),
            (CONFIGURATION, place.configuration),
            (ENTITY, entity),
            (RUN, str(place.run)),
        )
        for section, key in names:
            self.sections[section].setdefault(key, Oids()).add(packed)
        _insert(self.assigned.setdefault(place.configuration, []), place.stamp)

    def merge(self, other: Index) -> int:
        """Take in whatever ``other`` has and this one does not; return how many documents were new."""
        before = len(self)
        for mine, theirs in zip(self.buckets, other.buckets, strict=True):
            mine.packed = _union(mine, theirs)
        for section, keys in other.sections.items():
            for key, theirs in keys.items():
                mine = self.sections[section].setdefault(key, Oids())
                mine.packed = _union(mine, theirs)
        for key, stamps in other.assigned.items():
            for stamp in stamps:
                _insert(self.assigned.setdefault(key, []), stamp)
        return len(self) - before

    def chunks(self) -> Iterator[bytes]:
        """Yield the text of index.json, byte for byte as the library writes it, in pieces."""
        if not len(self):
            yield EMPTY
            return
        piece: list[str] = []
        size = 0
        for part in self._parts():
            piece.append(part)
            size += len(part)
            if size >= _PIECE:
                yield "".join(piece).encode()
                piece, size = [], 0
        yield "".join(piece).encode()

    def _parts(self) -> Iterator[str]:
        """Yield the text in small parts."""
        yield f'{{\n"{OIDS}" : [\n'
        filled = [bucket for bucket in self.buckets if bucket]
        for number, bucket in enumerate(filled):
            yield bucket.array()[2:-2] + (",\n" if number + 1 < len(filled) else "\n")
        yield "],\n"
        for section in SECTIONS:
            yield from _mapping(section, ((key, oids.array()) for key, oids in self.sections[section].items()))
            yield ",\n"
        stamped = ((key, "[\n" + ",\n".join(map(text, stamps)) + "\n]") for key, stamps in self.assigned.items())
        yield from _mapping(ASSIGNED, stamped)
        yield "\n}"


EMPTY = (
    b'{"ouid":[], "version":{},"configurations.name":{}, "entities.name":{},"aliases.active.name":{}, '
    b'"runs.name":{},"configurations.assigned":{} }'
)
"""The text of a new index (A.5)."""


def parse(data: bytes, path: str) -> Index:
    """Read an index.json, in any layout and order.

    Raise ArtdaqDBError in the library's words if it is damaged: it then hides every document of the collection.
    """
    try:
        return _as_written(data) or _from_json(json.loads(data, strict=False))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtdaqDBError(
            f"SearchIndex is corrupt and needs to be rebuilt, path={path}: {type(error).__name__} {error}",
            remedy=f"set {path} aside; the documents beside it are untouched and can be indexed again",
            context={"path": path},
        ) from error


def _as_written(data: bytes) -> Index | None:
    """Read the layout that the library and we write, without a general JSON reader: 130 MB in half a second.

    Whether it was understood is proven by writing it again; None if that does not give ``data``.
    """
    starts = [data.find(f'\n"{name}" : {{\n'.encode()) for name in (*SECTIONS, ASSIGNED)]
    if min(starts) < 0 or starts != sorted(starts):
        return None
    index = Index()
    try:
        index.fill(bytes.fromhex(data[data.find(b"[") + 1 : data.find(b"]")].translate(None, b'",\n').decode()))
        for section, start, end in zip(SECTIONS, starts, starts[1:], strict=False):
            keys = {
                match[1].decode(): Oids(bytes.fromhex(match[2].translate(None, b'",\n').decode()))
                for match in _MEMBER.finditer(data, start, end)
            }
            index.sections[section] = keys
        stamped = _MEMBER.finditer(data, starts[-1])
        index.assigned = {match[1].decode(): match[2].decode().strip('"').split('",\n"') for match in stamped}
    except ValueError:
        return None
    position = 0
    for chunk in index.chunks():
        if data[position : position + len(chunk)] != chunk:
            return None
        position += len(chunk)
    return index if position == len(data) else None


def _from_json(content: dict[str, Any]) -> Index:
    """Take over an index as a JSON reader gives it. Raise ValueError, KeyError or TypeError if it is none."""
    index = Index()
    index.fill(_packed(_checked(content[OIDS])))
    for section in SECTIONS:
        keys: Mapping[str, list[str]] = content[section]
        index.sections[section] = {key: Oids(_packed(_checked(oids))) for key, oids in keys.items()}
    index.assigned = {key: sorted(set(stamps)) for key, stamps in content[ASSIGNED].items()}
    return index


def _checked(oids: Iterable[str]) -> list[str]:
    """Return ``oids`` if each is 24 hexadecimal digits. Raise ValueError if not."""
    listed = list(oids)
    for oid in listed:
        if not OID.fullmatch(oid):
            raise ValueError(f"{oid!r} is not an object id")
    return listed


def _packed(oids: Iterable[str]) -> bytes:
    """Return ids as sorted bytes."""
    return bytes.fromhex("".join(sorted(set(oids))))


def _union(mine: Oids, theirs: Oids) -> bytearray:
    """Return the ids of both, sorted."""
    if mine.packed == theirs.packed:
        return mine.packed
    parts = {
        bytes(one.packed[place : place + SIZE]) for one in (mine, theirs) for place in range(0, len(one.packed), SIZE)
    }
    return bytearray(b"".join(sorted(parts)))


def _insert(stamps: list[str], stamp: str) -> None:
    """Insert a time stamp into a sorted list without repeating it."""
    place = bisect.bisect_left(stamps, stamp)
    if stamps[place : place + 1] != [stamp]:
        stamps.insert(place, stamp)


def _mapping(name: str, members: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a section that maps names to arrays, in the library's layout."""
    yield f'"{name}" : {{\n'
    first = True
    for key, array in members:
        yield f"{'' if first else ',' + chr(10)}{text(key)} : {array}"
        first = False
    yield "\n}"
