"""The text of a stored document (artdaqdb_format.md sections A.3, A.4 and A.7).

One document is one entity of one version of one configuration. Its FHiCL parts come from the engine; the rest is put
around them here, byte for byte as the library does.
"""

from __future__ import annotations

import getpass
import locale
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd import fhicl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from archiverd.artdaqdb.port import Entity

_ESCAPED = re.compile(r'["\\\b\f\n\r\t]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

FORMAT = 3
"""``database_format`` of SystemMetadata (A.3)."""


@dataclass(frozen=True, slots=True)
class DocumentPlace:
    """Where a document belongs: its object id, collection, configuration, version, run and time of storing."""

    oid: str
    collection: str
    configuration: str
    version: str
    run: int
    stamp: str


def timestamp(when: datetime) -> str:
    """Return an aware local time as documents have it: ``2026-11-23T16:40:16.255-0600`` (A.4)."""
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}{when:%z}"


def oid_of(digits: bytes) -> str:
    """Return twelve bytes as an object id: the first 24 hexadecimal digits of a UUID of version 4 (A.3)."""
    oid = bytearray(digits)
    oid[6] = 0x40 | oid[6] & 0x0F
    oid[8] = 0x80 | oid[8] & 0x3F
    return oid.hex()


def text(value: str) -> str:
    """Return ``value`` as a JSON string of the library's dialect: only seven characters are escaped (A.7)."""
    return '"' + _ESCAPED.sub(lambda match: _ESCAPES[match.group()], value) + '"'


def stored(entity: Entity, place: DocumentPlace) -> bytes:
    """Return the document of ``entity``. Raise FhiclError, naming the entity's file, if its text is not FHiCL."""
    parts = fhicl.convert(entity.fcl, f"{entity.name}.fcl")
    name, stamp, version = text(entity.name), text(place.stamp), text(place.version)
    configuration, collection, run = text(place.configuration), text(place.collection), text(str(place.run))
    updates = (
        ("addConfiguration", configuration),
        ("setVersion", version),
        ("setCollection", collection),
        ("addEntity", name),
        ("addRun", run),
    )
    before = b'{\n"document" : {\n"data" : '
    origin = _object(
        ('"format"', '"fhicl"'),
        ('"name"', name),
        ('"source"', '"fhicl_to_json"'),
        ('"timestamp"', stamp),
        ('"created"', stamp),
        ('"rawdata"', _EMPTY),
    )
    bookkeeping = _object(
        ('"isdeleted"', "false"),
        ('"isreadonly"', "false"),
        ('"updates"', _array(_update(event, value, stamp) for event, value in updates)),
        ('"created"', stamp),
    )
    after = ",\n".join(
        f"{key} : {value}"
        for key, value in (
            ('"origin"', origin),
            ('"version"', version),
            ('"entities"', _named(name, stamp)),
            ('"configurations"', _named(configuration, stamp)),
            ('"changelog"', '"notprovided"'),
            ('"bookkeeping"', bookkeeping),
            ('"_id"', _object(('"$oid"', text(place.oid)))),
            ('"collection"', collection),
            ('"aliases"', _object(('"active"', _EMPTY), ('"history"', _EMPTY))),
            ('"runs"', _named(run, stamp)),
            ('"attachments"', _EMPTY),
            ('"configtype"', '"notprovided"'),
        )
    )
    middle = f',\n"search" : {_EMPTY}\n}},\n"comments" : '.encode()
    return b"".join(
        (before, parts.data, b',\n"metadata" : ', parts.metadata, middle, parts.comments, f",\n{after}\n}}".encode())
    )


def system_metadata(uri: str, oid: str, when: datetime) -> bytes:
    """Return the document that describes a new database (A.3)."""
    system = os.uname()
    uname = ",".join(
        f'"{name}":{text(getattr(system, name))}' for name in ("sysname", "nodename", "release", "version", "machine")
    )
    return (
        f'{{"document":{{"name":"artdaq","uri":{text(uri)},"locale":{text(_locale())},'
        f'"create_time":{text(timestamp(when))},"create_user":{text(_user())},"uname":{{{uname}}},'
        f'"database_format":{FORMAT}}},"_id": {{ "$oid":{text(oid)}}}}}'
    ).encode()


_EMPTY = "[\n\n]"


def _object(*members: tuple[str, str]) -> str:
    """Return an object in the library's layout (A.7); keys and values are JSON texts."""
    return "{\n" + ",\n".join(f"{key} : {value}" for key, value in members) + "\n}"


def _array(items: Iterable[str]) -> str:
    """Return an array in the library's layout (A.7)."""
    return "[\n" + ",\n".join(items) + "\n]"


def _named(name: str, stamp: str) -> str:
    """Return the array of one name with the time it was assigned."""
    return _array([_object(('"name"', name), ('"assigned"', stamp))])


def _update(event: str, name: str, stamp: str) -> str:
    """Return one entry of the bookkeeping."""
    value = _object(('"name"', name), ('"assigned"', stamp))
    return _object(('"event"', f'"{event}"'), ('"timestamp"', stamp), ('"value"', value))


def _locale() -> str:
    """Return the name of the process's locale, as the library records it."""
    return ".".join(part for part in locale.getlocale() if part) or "C"


def _user() -> str:
    """Return the name of the user who creates the database; empty if it is unknown."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        return ""
