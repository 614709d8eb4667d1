"""Messages to and from a worker: the number of texts, then length and bytes of each; numbers have four bytes.

Texts go as bytes and not in JSON: a document of many megabytes must cost the event loop no more than its copying.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

LONGEST_TEXT = 256 << 20
"""Most bytes of a text; more is taken for other output on the pipe."""
MOST_TEXTS = 8
"""Most texts of a message."""

_NUMBER = struct.Struct(">I")


def encode(*texts: bytes) -> bytes:
    """Return a message as it goes through the pipe."""
    framed = (part for text in texts for part in (_NUMBER.pack(len(text)), text))
    return b"".join((_NUMBER.pack(len(texts)), *framed))


async def receive(stream: asyncio.StreamReader) -> list[bytes]:
    """Return the texts of the next message.

    Raise IncompleteReadError if the stream ends first, ValueError if what comes is no message.
    """
    count = await _number(stream)
    if count > MOST_TEXTS:
        raise ValueError(f"a message of {count} texts")
    texts = []
    for _ in range(count):
        length = await _number(stream)
        if length > LONGEST_TEXT:
            raise ValueError(f"a text of {length} bytes")
        texts.append(await stream.readexactly(length))
    return texts


async def _number(stream: asyncio.StreamReader) -> int:
    (number,) = _NUMBER.unpack(await stream.readexactly(_NUMBER.size))
    return int(number)
