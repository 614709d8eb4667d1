"""Object ids, and sets of them, packed: twelve bytes an id, ascending, one ``bytes`` a set.

Only ids of the form the library makes are packed: 24 lower-case hexadecimal digits (artdaqdb_format.md section A.3).
Sets are never changed in place, so that equal ones can be one object: a run's documents are indexed under its version,
its configuration and its number.
"""

from __future__ import annotations

import bisect
import os
import re
from typing import TYPE_CHECKING

from archiverd.artdaqdb.documents import oid_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORM = re.compile(r"[0-9a-f]{24}")
SIZE = 12
"""Bytes of a packed id."""


def make_oid() -> str:
    """Return a fresh object id: the first 24 hexadecimal digits of a random UUID (A.3)."""
    return oid_of(os.urandom(SIZE))


def pack(oids: Iterable[str]) -> bytes:
    """Return a set of ids, each of the library's form."""
    return bytes.fromhex("".join(sorted(set(oids))))


def unpack(ids: bytes) -> Iterator[str]:
    """Yield the ids as text, ascending."""
    for place in range(0, len(ids), SIZE):
        yield ids[place : place + SIZE].hex()


def including(ids: bytes, oid: bytes) -> bytes:
    """Return the set ``ids`` with the packed id ``oid`` in it."""
    place = _place(ids, oid)
    return ids if ids[place : place + SIZE] == oid else b"".join((ids[:place], oid, ids[place:]))


def contains(ids: bytes, oid: bytes) -> bool:
    """Return whether the packed id ``oid`` is in ``ids``."""
    place = _place(ids, oid)
    return ids[place : place + SIZE] == oid


def union(one: bytes, other: bytes) -> bytes:
    """Return the ids of both sets; the object ``one`` itself if ``other`` adds nothing."""
    if one == other or not other:
        return one
    both = {ids[place : place + SIZE] for ids in (one, other) for place in range(0, len(ids), SIZE)}
    return one if len(both) * SIZE == len(one) else b"".join(sorted(both))


def inside(ids: bytes) -> str:
    """Return the text between the brackets of a JSON array in the library's layout (A.7)."""
    return '"' + ids.hex(",", SIZE).replace(",", '",\n"') + '"' if ids else ""


def outside(text: bytes) -> bytes:
    """Return the set that ``inside`` wrote. Raise ValueError for what is not hexadecimal; nothing else is checked."""
    return bytes.fromhex(text.translate(None, b'",\n').decode("ascii"))


def by_first_byte(ids: bytes) -> list[bytes]:
    """Return ``ids`` cut into 256 sets by first byte, so that a large set can be added to at little cost."""
    count = len(ids) // SIZE
    edges = [bisect.bisect_left(range(count), byte, key=lambda number: ids[number * SIZE]) for byte in range(256)]
    ends = (*edges[1:], count)
    return [ids[start * SIZE : end * SIZE] for start, end in zip(edges, ends, strict=True)]


def _place(ids: bytes, oid: bytes) -> int:
    """Return where in ``ids`` the first id not below ``oid`` begins."""
    low, high = 0, len(ids) // SIZE
    while low < high:
        middle = (low + high) // 2
        if ids[middle * SIZE : (middle + 1) * SIZE] < oid:
            low = middle + 1
        else:
            high = middle
    return low * SIZE
