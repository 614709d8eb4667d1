"""A FileSystemDB read beside its writer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.filesystem import reader as module
from archiverd.artdaqdb.filesystem.reader import FileSystemReader
from archiverd.core.errors import ArtdaqDBError

from .conftest import entities

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archiverd.artdaqdb.filesystem.store import FileSystemDB


def files(root: Path) -> dict[Path, tuple[int, int]]:
    """Return every file of a database, its size and modification time."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(root.rglob("*"))}


@pytest.fixture
def reader(tmp_path: Path) -> FileSystemReader:
    """A reader of the database that ``make`` makes."""
    return FileSystemReader(f"filesystemdb://{tmp_path}/db")


async def test_a_reader_sees_what_a_writer_has_committed_and_not_yet_published(
    make: Callable[..., FileSystemDB], reader: FileSystemReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs, updates and texts are those of the writer, whose lock is no hindrance; nothing is written."""
    writer = make()
    monkeypatch.setattr(writer._tree, "publish", lambda: None)
    await writer.open()
    await writer.insert(7, "demo", entities("a: 1\n"))
    assert list(await reader.list_runs()) == [7]
    await writer.update(7, "demo", entities("a: 2\n", schema=False))
    await writer.insert(8, "demo", entities("b: 1\n"))
    before = files(tmp_path / "db")
    assert (tmp_path / "db" / "RunHistory" / "index.json") not in before
    assert await reader.list_runs() == await writer.list_runs()
    assert await reader.export(7) == await writer.export(7)
    assert files(tmp_path / "db") == before
    monkeypatch.undo()
    await writer.close()
    assert sorted(await reader.list_runs()) == [7, 8]


async def test_a_store_under_way_does_not_count(make: Callable[..., FileSystemDB], reader: FileSystemReader) -> None:
    """What was begun and not committed is no run, for a reader as for a writer."""
    writer = make()
    await writer.open()
    await writer.insert(7, "demo", entities("a: 1\n"))
    commit = writer._tree._redo.commit
    seen: list[list[int]] = []

    def looking(number: int) -> None:
        seen.append(sorted(asyncio.run(reader.list_runs())))
        commit(number)

    writer._tree._redo.commit = looking  # type: ignore[method-assign]
    await writer.insert(8, "demo", entities("b: 1\n"))
    assert seen == [[7]]
    assert sorted(await reader.list_runs()) == [7, 8]
    await writer.close()


async def test_an_index_that_is_being_rewritten_is_read_again(
    make: Callable[..., FileSystemDB], reader: FileSystemReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library writes an index in place: half of one is no damage if the rest comes."""
    writer = make()
    await writer.open()
    await writer.insert(7, "demo", entities("a: 1\n"))
    await writer.close()
    index = tmp_path / "db" / "SystemLayout" / "index.json"
    whole = index.read_bytes()
    index.write_bytes(whole[: len(whole) // 2])
    waited: list[float] = []

    async def completing(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            index.write_bytes(whole)

    monkeypatch.setattr(module.asyncio, "sleep", completing)
    assert list(await reader.list_runs()) == [7]
    assert len(waited) == 2
    index.write_bytes(whole[: len(whole) // 2])
    fresh = FileSystemReader(f"filesystemdb://{tmp_path}/db")
    with pytest.raises(ArtdaqDBError, match="SearchIndex is corrupt"):
        await fresh.list_runs()


async def test_a_database_that_is_not_there_yet_holds_nothing(reader: FileSystemReader, tmp_path: Path) -> None:
    """No run is listed, none can be exported, and no directory is made."""
    assert await reader.list_runs() == {}
    assert not reader.is_there
    with pytest.raises(ArtdaqDBError):
        await reader.export(7)
    assert not (tmp_path / "db").exists()
