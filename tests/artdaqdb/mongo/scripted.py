"""A server of the MongoDB protocol that keeps every byte, and fails as scripted (OP_MSG, MongoDB wire protocol)."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

import bson
from bson.raw_bson import RawBSONDocument

if TYPE_CHECKING:
    from collections.abc import Callable

_QUERY, _REPLY, _MESSAGE = 2004, 1, 2013
_HELLO = {
    "helloOk": True,
    "ismaster": True,
    "isWritablePrimary": True,
    "maxBsonObjectSize": 16 * 1024 * 1024,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "logicalSessionTimeoutMinutes": 30,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "readOnly": False,
    "ok": 1.0,
}


class Scripted:
    """Holds documents as the bytes they came in, so that duplicate keys stay."""

    def __init__(self) -> None:
        self.uri = ""
        self.serving: set[asyncio.Task[None]] = set()
        self.collections: dict[str, list[bytes]] = defaultdict(list)
        self.asked: list[dict[str, Any]] = []
        """Every command but greetings, without its documents."""
        self.replies: dict[str, dict[str, Any]] = {}
        """What a command is answered with, instead of being done."""
        self.hanging: set[str] = set()
        """Commands that are never answered."""
        self.hung = asyncio.Event()
        self.gone = False
        """Every connection is broken, greetings included."""
        self.released = asyncio.Event()
        """Ends all hanging, by breaking the connection."""
        self.room: int | None = None
        """How many more documents are stored before the connection breaks; None for any number."""
        self.alter: Callable[[bytes], bytes] = lambda document: document

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        self.serving.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length, number, _, code = struct.unpack("<4i", await reader.readexactly(16))
                payload = await reader.readexactly(length - 16)
                command, documents = _query(payload) if code == _QUERY else _message(payload)
                reply = await self._answer(command, documents)
                if reply is None:
                    break
                encoded = bson.encode(reply)
                body = struct.pack("<iqii", 8, 0, 0, 1) if code == _QUERY else struct.pack("<iB", 0, 0)
                header = (16 + len(body) + len(encoded), 0, number, _REPLY if code == _QUERY else _MESSAGE)
                writer.write(struct.pack("<4i", *header) + body + encoded)
                await writer.drain()
        writer.close()

    def versions(self, collection: str) -> list[str]:
        """Return the versions of a collection's documents."""
        return [bson.decode(one)["version"] for one in self.collections[collection]]

    async def _answer(self, command: dict[str, Any], documents: list[bytes]) -> dict[str, Any] | None:
        """Return the reply to a command; None breaks the connection."""
        name = next(iter(command))
        if self.gone:
            return None
        if name in ("hello", "ismaster", "isMaster"):
            return _HELLO
        self.asked.append(command)
        if name in self.hanging:
            self.hung.set()
            await self.released.wait()
            return None
        if name in self.replies:
            return self.replies[name]
        if name == "insert":
            return self._insert(command["insert"], documents)
        return self._read(command)

    def _read(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the reply to a command that stores nothing; one that is not known does as if it had been done."""
        if "find" in command:
            found = [one for one in self.collections[command["find"]] if _matches(one, command["filter"])]
            return _cursor(map(RawBSONDocument, found))
        if "listCollections" in command:
            return _cursor({"name": one, "type": "collection"} for one in self.collections)
        return {"ok": 1.0}

    def _insert(self, collection: str, documents: list[bytes]) -> dict[str, Any] | None:
        errors = []
        for index, document in enumerate(documents):
            if self.room == 0:
                return None
            if self.room is not None:
                self.room -= 1
            ids = {bson.decode(one)["_id"] for one in self.collections[collection]}
            if bson.decode(document)["_id"] in ids:
                errors.append({"index": index, "code": 11000, "errmsg": "E11000 duplicate key error"})
            else:
                self.collections[collection].append(self.alter(document))
        reply = {"n": len(documents) - len(errors), "ok": 1.0}
        return {**reply, "writeErrors": errors} if errors else reply


def _query(payload: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Read an OP_QUERY, which drivers greet with: flags, name, two numbers, the command."""
    return bson.decode(payload[payload.index(b"\0", 4) + 9 :]), []


def _message(payload: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Read an OP_MSG: the command and the documents that follow it."""
    command: dict[str, Any] = {}
    documents = []
    position = 4
    while position < len(payload):
        (size,) = struct.unpack_from("<i", payload, position + 1)
        section = payload[position + 1 : position + 1 + size]
        if payload[position] == 0:
            command = bson.decode(section)
        else:
            at = section.index(b"\0", 4) + 1
            while at < size:
                (length,) = struct.unpack_from("<i", section, at)
                documents.append(section[at : at + length])
                at += length
        position += 1 + size
    return command, documents


def _cursor(found: Any) -> dict[str, Any]:
    return {"cursor": {"id": 0, "ns": "d.c", "firstBatch": list(found)}, "ok": 1.0}


def _matches(document: bytes, wanted: dict[str, Any]) -> bool:
    """Tell whether a document has a configuration's name, or a version within a range."""
    read = bson.decode(document)
    if "configurations.name" in wanted:
        return wanted["configurations.name"] in [one["name"] for one in read["configurations"]]
    version = wanted.get("version", {"$gte": "", "$lt": "\U0010ffff"})
    return bool(version["$gte"] <= read.get("version", "") < version["$lt"])
