"""Messages to and from a worker: four bytes of length, the most significant first, and so many bytes of JSON."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

LONGEST_MESSAGE = 256 << 20
"""Bytes beyond which a message is taken for noise on the wrong stream."""

_LENGTH = struct.Struct(">I")


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as it goes through the pipe."""
    body = json.dumps(message).encode()
    return _LENGTH.pack(len(body)) + body


async def receive(stream: asyncio.StreamReader) -> dict[str, Any]:
    """Return the next message. Raise IncompleteReadError if the stream ends first, ValueError if it is no message."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    if length > LONGEST_MESSAGE:
        raise ValueError(f"a message of {length} bytes")
    message = json.loads(await stream.readexactly(length))
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")  # noqa: TRY004  whatever it is, it is no message
    return message
