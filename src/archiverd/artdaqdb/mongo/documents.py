"""Documents as BSON and back, with everything FHiCL may hold: duplicate keys, dotted keys, nested arrays.

A document is the JSON text of artdaqdb_format.md section A.4 with strings un-escaped and ``_id`` an ObjectId (B.2).
Python mappings cannot hold a key twice, so BSON is written and read here byte by byte (bsonspec.org, version 1.1).
"""

from __future__ import annotations

import json
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from archiverd.artdaqdb.documents import text
from archiverd.core.errors import ArtdaqDBError

if TYPE_CHECKING:
    from collections.abc import Iterable

SIZE_LIMIT = 16 * 1024 * 1024
"""Most bytes of a document in MongoDB."""
DEPTH_LIMIT = 180
"""Most levels of objects and arrays in MongoDB; an entity's descriptors need two for each FHiCL table."""

_DOUBLE, _STRING, _OBJECT, _ARRAY, _OBJECT_ID, _BOOLEAN, _NULL, _INT32, _INT64 = 1, 2, 3, 4, 7, 8, 10, 16, 18
_SIZES = {_DOUBLE: 8, _OBJECT_ID: 12, _BOOLEAN: 1, _NULL: 0, _INT32: 4, _INT64: 8}
_NUMBERS = {_DOUBLE: "<d", _INT32: "<i", _INT64: "<q"}
_SHORT = 32
_OID_KEY = "$oid"
_pack_int32, _unpack_int32 = struct.Struct("<i").pack, struct.Struct("<i").unpack_from
_INT32_END, _INT64_END = 1 << 31, 1 << 63


_Encoded: TypeAlias = tuple[int, int, bytes]
"""An encoded object or object id: BSON type, levels of nested objects and arrays, bytes."""


def to_bson(document: bytes, what: str) -> bytes:
    """Return a document's JSON text as BSON.

    ``what`` names it in the ArtdaqDBError for a document that MongoDB cannot hold: beyond SIZE_LIMIT or DEPTH_LIMIT.
    """
    try:
        encoded: bytes
        _, depth, encoded = json.loads(document, object_pairs_hook=_encoded, strict=False)
    except RecursionError:
        raise _too_deep(what) from None
    if depth > DEPTH_LIMIT:
        raise _too_deep(what)
    if len(encoded) > SIZE_LIMIT:
        raise ArtdaqDBError(
            f"{what} has {len(encoded):,} bytes as BSON, above the {SIZE_LIMIT:,} that MongoDB holds in a document",
            remedy="split the file, or use a filesystemdb:// database; nothing was stored",
            context={"bytes": len(encoded)},
        )
    return encoded


def to_json(document: bytes) -> bytes:
    """Return BSON as the JSON text that `archiverd.fhicl.read_document` reads. Raise ValueError if it is damaged."""
    try:
        return _json_members(document, 0, named=True).encode()
    except (struct.error, IndexError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"BSON cut short or damaged: {error}") from error


def _too_deep(what: str) -> ArtdaqDBError:
    return ArtdaqDBError(
        f"{what} has tables inside each other, deeper than the {DEPTH_LIMIT} levels that MongoDB holds in a document",
        remedy="flatten the file, or use a filesystemdb:// database; nothing was stored",
    )


def _encoded(pairs: list[tuple[str, object]]) -> _Encoded:
    """Return an object's BSON; its inner objects are encoded already."""
    if len(pairs) == 1 and pairs[0][0] == _OID_KEY:
        return _OBJECT_ID, 0, bytes.fromhex(str(pairs[0][1]))
    return _framed(_OBJECT, pairs)


def _framed(kind: int, pairs: Iterable[tuple[str, object]]) -> _Encoded:
    """Return an object or array: length, elements of type, key and value, and a zero."""
    parts = [b""]
    deepest = 0
    for key, value in pairs:
        if isinstance(value, str):
            data = value.encode()
            parts += (b"\x02", key.encode(), b"\0", _pack_int32(len(data) + 1), data, b"\0")
            continue
        inner, depth, data = _value(value)
        deepest = max(deepest, depth)
        parts += (bytes((inner,)), key.encode(), b"\0", data)
    parts.append(b"\0")
    parts[0] = _pack_int32(sum(map(len, parts)) + 4)
    return kind, deepest + 1, b"".join(parts)


def _value(value: object) -> _Encoded:
    """Return type, depth and bytes of a value other than a string."""
    match value:
        case tuple():
            return value
        case list():
            return _framed(_ARRAY, ((str(index), one) for index, one in enumerate(value)))
        case bool():
            return _BOOLEAN, 0, bytes((value,))
        case int() if -_INT32_END <= value < _INT32_END:
            return _INT32, 0, _pack_int32(value)
        case int() if -_INT64_END <= value < _INT64_END:
            return _INT64, 0, struct.pack("<q", value)
    raise TypeError(f"a document of artdaqDB holds no {type(value).__name__}")


def _length(document: bytes, start: int) -> int:
    """Return the length of the object or string at ``start``."""
    (length,) = _unpack_int32(document, start)
    if not 0 < length <= len(document) - start:
        raise ValueError("BSON cut short or damaged: an impossible length")
    return int(length)


def _json_members(document: bytes, start: int, *, named: bool) -> str:
    """Return the JSON text of the object at ``start``; of an array, which has no keys, unless ``named``."""
    end = start + _length(document, start) - 1
    position = start + 4
    members = []
    while position < end:
        kind = document[position]
        key_end = document.index(b"\0", position + 1, end)
        value, following = _json_value(document, kind, key_end + 1)
        members.append(f"{_text(document[position + 1 : key_end])}:{value}" if named else value)
        position = following
    if position != end or document[end] != 0:
        raise ValueError("BSON damaged: an element is longer than its object, or an object has no end")
    return f"{{{','.join(members)}}}" if named else f"[{','.join(members)}]"


def _json_value(document: bytes, kind: int, start: int) -> tuple[str, int]:
    """Return the JSON text of the value at ``start``, and where it ends."""
    if kind == _STRING:
        end = start + 4 + _length(document, start)
        raw = document[start + 4 : end - 1]
        return _text(raw) if len(raw) <= _SHORT else text(raw.decode()), end
    if kind in (_OBJECT, _ARRAY):
        return _json_members(document, start, named=kind == _OBJECT), start + _length(document, start)
    if kind not in _SIZES:
        raise ValueError(f"BSON type {kind} is in no document of artdaqDB")
    return _json_scalar(document, kind, start), start + _SIZES[kind]


@lru_cache(4096)
def _text(raw: bytes) -> str:
    """Return a key or short string as JSON; descriptors repeat the same few for every value."""
    return text(raw.decode())


def _json_scalar(document: bytes, kind: int, start: int) -> str:
    """Return the JSON text of a value of fixed size; older documents hold numbers and booleans as such (A.4)."""
    if kind == _OBJECT_ID:
        return f'{{"{_OID_KEY}":"{document[start : start + 12].hex()}"}}'
    if kind == _NULL:
        return "null"
    if kind == _BOOLEAN:
        return "true" if document[start] else "false"
    return str(struct.unpack_from(_NUMBERS[kind], document, start)[0])
