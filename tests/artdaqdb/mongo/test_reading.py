"""MongoDB opened to be read: nothing is written to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from archiverd.core.errors import ArtdaqDBError
from tests.artdaqdb.conftest import entities

if TYPE_CHECKING:
    from collections.abc import Callable

    from .scripted import Scripted

WRITING = {"insert", "update", "delete", "createIndexes", "create", "findAndModify"}


async def test_a_reader_writes_nothing(scripted: Scripted, connect: Callable[..., Any]) -> None:
    """A database that is new gets no description and no index; one that is filled is listed and exported."""
    reader = await connect(scripted.uri, reading=True)
    assert await reader.list_runs() == {}
    with pytest.raises(ArtdaqDBError, match="Run 7 is not in artdaqDB"):
        await reader.export(7)
    assert not WRITING & {name for command in scripted.asked for name in command}
    assert not any(scripted.collections.values())
    writer = await connect(scripted.uri)
    await writer.insert(7, "demo", entities("a: 1\n"))
    scripted.asked.clear()
    assert list(await reader.list_runs()) == [7]
    assert await reader.export(7) == await writer.export(7)
    assert not WRITING & {name for command in scripted.asked for name in command}
