"""UconDB's records of versions as they come over the wire (ucondb_protocol.md sections 4 and 6)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from archiverd.ucondb.port import StoredVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECORD_SEPARATOR = "\x1e"
_DECODER = json.JSONDecoder()


def parse_metadata(body: bytes) -> StoredVersion | None:
    """Return the version that a metadata reply describes, or None if it describes none that has a key."""
    try:
        return _found(json.loads(body))
    except (ValueError, RecursionError):
        return None


def parse_listing(body: bytes) -> dict[str, StoredVersion]:
    """Return the versions with a key in a reply of ``/versions``, by key.

    Raise ValueError unless the array is whole: a server whose database dies sends status 200 and no closing bracket.
    Works record by record, so that in a thread of its own it leaves the event loop time.
    """
    listed = (_found(record) for record in _elements(body.decode("utf-8")))
    return {found.key: found for found in listed if found is not None}


def parse_sequence(body: bytes) -> dict[str, StoredVersion]:
    """Return the versions with a key in a reply of ``/lookup_versions`` (RFC 7464), by key.

    What cannot be read is left out: nobody may take a version's absence here for a proof (T11).
    """
    found = (parse_metadata(record.encode()) for record in body.decode("utf-8", "replace").split(_RECORD_SEPARATOR))
    return {version.key: version for version in found if version is not None}


def _elements(text: str) -> Iterator[object]:
    """Yield the elements of a JSON array; NaN and Infinity are numbers. Raise ValueError where it is none."""
    position = _after_spaces(text, 0)
    if text[position : position + 1] != "[":
        raise ValueError("not a JSON array")
    position = _after_spaces(text, position + 1)
    if text[position : position + 1] == "]":
        return
    while True:
        element, position = _DECODER.raw_decode(text, position)
        yield element
        position = _after_spaces(text, position)
        if text[position : position + 1] == "]":
            return
        if text[position : position + 1] != ",":
            raise ValueError("the JSON array is cut off")
        position = _after_spaces(text, position + 1)


def _after_spaces(text: str, position: int) -> int:
    """Return the first position from ``position`` on that is not JSON white space."""
    while text[position : position + 1] in (" ", "\n", "\r", "\t"):
        position += 1
    return position


def _found(record: object) -> StoredVersion | None:
    """Return a record's version, or None if it has no key. Raise ValueError if it is no record of a version."""
    match record:
        case {"key": None}:
            return None
        case {"key": str(key), "id": int(number), "data_size": int(size), "uadler32": int(adler32)}:
            return StoredVersion(key, number, size, adler32)
        case _:
            raise ValueError("not the record of a version")
