"""Messages between us and a worker."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.artdaqdb.conftoolp.frames import encode, receive

MESSAGES = st.dictionaries(st.text(), st.one_of(st.booleans(), st.integers(), st.text(), st.lists(st.text())))


def reader(data: bytes) -> asyncio.StreamReader:
    """Return a stream that gives ``data`` and ends."""
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return stream


@given(st.lists(MESSAGES, max_size=4))
def test_messages_come_through_whole_and_in_order(messages: list[dict[str, object]]) -> None:
    """Whatever texts they hold, messages that follow each other are told apart."""

    async def received() -> list[dict[str, object]]:
        stream = reader(b"".join(map(encode, messages)))
        return [await receive(stream) for _ in messages]

    assert asyncio.run(received()) == messages


@given(MESSAGES, st.data())
def test_a_message_that_breaks_off_is_no_message(message: dict[str, object], data: st.DataObject) -> None:
    """A stream that ends within a message, or before it, gives none."""
    whole = encode(message)
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]

    async def received() -> None:
        with pytest.raises(asyncio.IncompleteReadError):
            await receive(reader(part))

    asyncio.run(received())


@pytest.mark.parametrize("data", [b"noise on the wrong stream", b"\0\0\0\2[]", b"\0\0\0\2{{", b"\0\0\0\1\xff"])
async def test_noise_is_no_message(data: bytes) -> None:
    """Bytes that are no message are told so, at once and without reading what they seem to announce."""
    with pytest.raises(ValueError, match=r"."):
        await receive(reader(data))
