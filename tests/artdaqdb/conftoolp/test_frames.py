"""Messages between us and a worker."""

from __future__ import annotations

import asyncio
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.artdaqdb.conftoolp import worker
from archiverd.artdaqdb.conftoolp.frames import encode, receive

MESSAGES = st.lists(st.binary(), max_size=5)


def reader(data: bytes) -> asyncio.StreamReader:
    """Return a stream that gives ``data`` and ends."""
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return stream


@given(st.lists(MESSAGES, max_size=4))
def test_messages_come_through_whole_and_in_order(messages: list[list[bytes]]) -> None:
    """Messages that follow each other are separated, whatever texts they hold, here and by the worker."""
    data = b"".join(encode(*texts) for texts in messages)

    async def received() -> list[list[bytes]]:
        stream = reader(data)
        return [await receive(stream) for _ in messages]

    assert asyncio.run(received()) == messages
    stream = io.BytesIO(data)
    assert [worker.receive(stream) for _ in messages] == messages
    with pytest.raises(EOFError):
        worker.receive(stream)


@given(st.tuples(st.binary(), st.binary()))
def test_the_workers_messages_are_ours(texts: tuple[bytes, bytes]) -> None:
    """What the worker writes is what we write."""
    stream = io.BytesIO()
    worker.send(stream, texts)
    assert stream.getvalue() == encode(*texts)


@given(MESSAGES, st.data())
def test_a_message_that_breaks_off_is_no_message(message: list[bytes], data: st.DataObject) -> None:
    """A stream that ends within a message, or before it, gives none, and no half of a text to the library."""
    whole = encode(*message)
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]

    async def received() -> None:
        with pytest.raises(asyncio.IncompleteReadError):
            await receive(reader(part))

    asyncio.run(received())
    with pytest.raises(EOFError):
        worker.receive(io.BytesIO(part))


@pytest.mark.parametrize("data", [b"noise on the wrong stream", b"\0\0\0\2noise", b"\0\0\0\1\x7f\xff\xff\xff"])
async def test_noise_is_no_message(data: bytes) -> None:
    """Bytes that are not a message are an error at once, without reading what they seem to announce."""
    with pytest.raises(ValueError, match=r"a (message|text) of \d+"):
        await receive(reader(data))
