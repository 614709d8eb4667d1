"""The FileSystemDB engine when others meddle, names are odd, and disks fail at the worst moment."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.documents import DocumentPlace
from archiverd.artdaqdb.filesystem import store
from archiverd.artdaqdb.filesystem.check import rebuild_index
from archiverd.artdaqdb.filesystem.reader import FileSystemReader
from archiverd.artdaqdb.filesystem.redo import Filed, Redo
from archiverd.artdaqdb.port import Entity
from archiverd.core.errors import ArtdaqDBError, Retry
from archiverd.disk import RealDisk
from tests.waiting import DEADLINE_SECONDS

from .conftest import entities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from archiverd.artdaqdb.filesystem.store import FileSystemDB

    Make = Callable[..., FileSystemDB]


class FullRedo(RealDisk):
    """Has room for documents, but none for the n-th record of the redo file: half of it is written."""

    def __init__(self, room: int, *, stuck: bool = False) -> None:
        self.room = room
        self.stuck = stuck

    def append(self, path: Path, data: bytes) -> None:
        self.room -= 1
        if self.room == 0:
            super().append(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        super().append(path, data)

    def truncate(self, path: Path, length: int) -> None:
        if self.stuck:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        super().truncate(path, length)


def stored(tmp_path: Path) -> list[str]:
    """Return the names of all documents of runs."""
    return sorted(path.name for path in (tmp_path / "db").glob("[RS]*[yt]/*4abc*"))


@pytest.mark.parametrize("record", [1, 2])
async def test_a_full_disk_in_the_redo_file_leaves_nothing(make: Make, tmp_path: Path, record: int) -> None:
    """Whether the run was to be begun or committed: it is not there, and the next attempt stores it once."""
    db = make(FullRedo(record))
    await db.open()
    with pytest.raises(ArtdaqDBError, match="No space left on device") as caught:
        await db.insert(7, "demo", entities("a: 1\n"))
    assert caught.value.retry is Retry.TRANSIENT
    assert stored(tmp_path) == []
    assert await db.insert(7, "demo", entities("a: 1\n"))
    await db.close()
    assert len(stored(tmp_path)) == 2


@pytest.mark.parametrize("record", [1, 2])
async def test_a_record_nobody_knows_the_outcome_of_loses_nothing(make: Make, tmp_path: Path, record: int) -> None:
    """If a torn record cannot even be taken back nothing else is stored until it can; then the run is stored once."""
    disk = FullRedo(record, stuck=True)
    db = make(disk)
    await db.open()
    with pytest.raises(ArtdaqDBError, match="No space left on device"):
        await db.insert(7, "demo", entities("a: 1\n"))
    assert await db.find(7) is None
    with pytest.raises(ArtdaqDBError, match="Input/output error") as caught:
        await db.insert(7, "demo", entities("a: 1\n"))
    assert caught.value.retry is Retry.TRANSIENT
    disk.stuck = False
    assert await db.insert(7, "demo", entities("a: 1\n"))
    await db.close()
    assert len(stored(tmp_path)) == 2
    again = make()
    await again.open()
    assert [one.fcl for one in await again.export(7) if one.name == "e0"] == [b"\na: 1 \n"]
    assert await again.unindexed() == []
    await again.close()


def test_a_damaged_redo_record_removes_nothing(tmp_path: Path) -> None:
    """A torn last record is passed over; damage before a whole record makes every begun store doubtful."""
    redo = Redo(tmp_path, RealDisk())
    documents = [Filed("e0", DocumentPlace("a" * 24, "RunHistory", "7/demo", "7/demo", 7, "T"))]
    redo.commit(redo.begin(documents))
    whole = redo.path.read_bytes()
    redo.begin(documents)
    torn = redo.path.read_bytes()
    redo.path.write_bytes(torn[:-9])
    left = Redo(tmp_path, RealDisk()).read()
    assert ([one.committed for one in left.begun], left.doubtful) == ([True], False)
    redo.path.write_bytes(whole.replace(b'"commit"', b'"comnit"') + torn[len(whole) :])
    left = Redo(tmp_path, RealDisk()).read()
    assert ([one.committed for one in left.begun], left.doubtful) == ([False, False], True)


class MeddledDisk(RealDisk):
    """Another program writes to an index.json at the very moment it is replaced."""

    def __init__(self, text: str) -> None:
        self.text = text

    def publish(self, path: Path, chunks: Iterable[bytes]) -> None:
        if path.parent.name == "SystemLayout" and path.exists() and self.text:
            path.write_text(self.text)
            self.text = ""
        super().publish(path, chunks)


async def test_what_is_written_while_an_index_is_replaced_is_taken_in(make: Make, tmp_path: Path) -> None:
    """The entry of another program that came at the worst moment is not lost."""
    index = tmp_path / "db" / "SystemLayout" / "index.json"
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 7\n"))
    await db.close()
    db = make(MeddledDisk(index.read_text().replace("7/demo", "8/demo").replace('"7"', '"8"')))
    await db.open()
    await db.insert(9, "demo", entities("a: 9\n"))
    await db.close()
    db = make()
    await db.open()
    assert sorted(await db.list_runs()) == [7, 8, 9]
    await db.close()


async def test_what_another_program_lost_is_put_back_without_a_store(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rewrite that is noticed is repaired; no run needs to come."""
    monkeypatch.setattr(store, "SHORTEST_PUBLISH_SECONDS", 0.001)
    monkeypatch.setattr(store, "PUBLISH_SHARE", 0)
    index = tmp_path / "db" / "SystemLayout" / "index.json"
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 7\n"))
    await db.insert(8, "demo", entities("a: 8\n"))
    await db._write(db._tree.publish)
    lacking = json.loads(index.read_text())
    for section in ("version", "configurations.name", "configurations.assigned"):
        del lacking[section]["7/demo"]
    index.write_text(json.dumps(lacking))
    assert sorted(await db.list_runs()) == [7, 8]
    async with asyncio.timeout(DEADLINE_SECONDS):
        while "7/demo" not in index.read_text():
            await asyncio.sleep(0.01)
    await db.close()


async def test_an_index_damaged_while_we_run_is_never_written_over(make: Make, tmp_path: Path) -> None:
    """What another program is still writing, or damaged, fails what needs it, and passes once it is sound again."""
    index = tmp_path / "db" / "SystemLayout" / "index.json"
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 7\n"))
    await db.close()
    db = make()
    await db.open()
    sound = index.read_text()
    index.write_text(sound[:100])
    with pytest.raises(ArtdaqDBError, match="SearchIndex is corrupt and needs to be rebuilt") as caught:
        await db.insert(8, "demo", entities("a: 8\n"))
    assert caught.value.retry is Retry.TRANSIENT
    assert index.read_text() == sound[:100]
    index.write_text(sound)
    assert await db.insert(8, "demo", entities("a: 8\n"))
    await db.close()


async def test_half_written_runs_are_listed_until_they_are_completed(make: Make) -> None:
    """A run with documents but none in SystemLayout is not archived; it is listed, and an insert completes it."""
    db = make()
    await db.open()
    await db._write(lambda: db._tree.store(entities("a: 1\n", schema=False), "7/demo", "7/demo", 7))
    assert (await db.half_written(), dict(await db.list_runs())) == ([7], {})
    await db.insert(7, "demo", entities("a: 1\n"))
    assert await db.half_written() == []
    await db.close()


async def test_half_written_content_of_another_kind_is_refused(make: Make) -> None:
    """Where what is there is not what was meant, nothing is added to it."""
    db = make()
    await db.open()
    await db._write(lambda: db._tree.store(entities("a: 2\n", schema=False), "7/demo", "7/demo", 7))
    with pytest.raises(ArtdaqDBError, match=r"Configuration 7/demo is already archived\."):
        await db.insert(7, "demo", entities("a: 1\n"))
    assert await db.find(7) is None
    await db.close()


async def test_an_archived_run_is_never_added_to(make: Make) -> None:
    """What artdaqDB counts as archived may already be in UconDB: it stays as it is, also where it lacks something."""
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 1\n"))
    with pytest.raises(ArtdaqDBError, match=r"Configuration 7/demo is already archived\.") as caught:
        await db.insert(7, "demo", entities("a: 1\n", "b: 1\n"))
    assert caught.value.context == {"difference": "it lacks what this record holds: e1"}
    assert len(await db.export(7)) == 2
    await db.close()


async def test_updates_another_program_numbered_its_own_way_are_counted(make: Make) -> None:
    """conftool.py appends v1 to v1 where a name does not end in five digits: the next update comes after both."""
    db = make()
    await db.open()
    await db.insert(7, "standard", entities("a: 0\n"))
    for version in ("7/standardv1", "7/standardv1v1"):
        await db._write(lambda version=version: db._tree.store(entities("a: 1\n"), "7/standard", version, 7))
    found = await db.find(7)
    assert found is not None
    assert (found.configuration, found.update) == ("7/standard", 2)
    assert await db.update(7, "standard", entities("a: 3\n")) == "7/standardv3"
    assert {one.version for one in await db.export(7)} == {"7/standardv3"}
    await db.close()


@pytest.mark.parametrize(
    ("configuration", "collection", "name", "why"),
    [
        ("", "RunHistory", "e1", "configuration"),
        ("a/b", "RunHistory", "e1", "configuration"),
        ("demo", "..", "e1", "collection"),
        ("demo", "a/b", "e1", "collection"),
        ("demo", "SystemMetadata", "e1", "collection"),
        ("demo", "RunHistory", "../e1", "entity"),
        ("demo", "RunHistory", "a\nb", "entity"),
        ("demo", "RunHistory", "e0", "would both become entity e0"),
    ],
)
async def test_names_that_could_harm_are_refused(
    make: Make, tmp_path: Path, configuration: str, collection: str, name: str, why: str
) -> None:
    """No name leads out of the database or hides another entity."""
    db = make()
    await db.open()
    with pytest.raises(ArtdaqDBError, match=why):
        await db.insert(7, configuration, [*entities("a: 1\n"), Entity(collection, name, b"a: 1\n")])
    await db.close()
    assert stored(tmp_path) == []


async def test_a_committed_document_that_is_gone_is_told_at_opening(make: Make, tmp_path: Path) -> None:
    """What was acknowledged and then removed by somebody is not passed over in silence, nor indexed."""
    db = make()
    await db.open()
    for task in db._tasks:
        task.cancel()
    await db.insert(7, "demo", entities("a: 7\n"))
    db._tree._release_lock()
    gone = tmp_path / "db" / "RunHistory" / stored(tmp_path)[0]
    gone.unlink()
    again = make()
    assert await again._write(again._tree.open) == [gone]
    await again._write(again._tree.close)


async def test_documents_without_their_index_are_not_hidden_for_good(make: Make, tmp_path: Path) -> None:
    """Somebody set an index.json aside: writer and reader refuse, and say how it is made anew; then all is there."""
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 7\n"))
    await db.close()
    collection = tmp_path / "db" / "RunHistory"
    (collection / "index.json").rename(tmp_path / "index.json")
    with pytest.raises(ArtdaqDBError, match=rf"{collection}/index\.json is not there, though documents are") as refused:
        await make().open()
    assert "then `archiverd artdaqdb rebuild-index RunHistory`" in refused.value.remedy
    with pytest.raises(ArtdaqDBError, match="is not there, though documents are"):
        await FileSystemReader(f"filesystemdb://{tmp_path}/db").list_runs()
    rebuild_index(collection, RealDisk())
    again = make()
    await again.open()
    assert set(await again.list_runs()) == {7}
    await again.close()


@pytest.mark.parametrize("doubtful", [False, True])
async def test_a_collection_that_is_being_made_is_not_taken_for_one_that_lost_its_index(
    make: Make, tmp_path: Path, doubtful: bool
) -> None:
    """A process ended between the first documents and the first index: the redo file knows them, damaged or not."""
    db = make()
    await db.open()
    for task in db._tasks:
        task.cancel()
    await db.insert(7, "demo", entities("a: 7\n"))
    await db.insert(8, "demo", entities("a: 8\n"))
    db._tree._release_lock()
    redo = tmp_path / "db" / ".archiverd.redo"
    assert not (tmp_path / "db" / "RunHistory" / "index.json").exists()
    runs = await FileSystemReader(f"filesystemdb://{tmp_path}/db").list_runs()
    assert set(runs) == {7, 8}
    if doubtful:
        redo.write_bytes(redo.read_bytes().replace(b'"commit":1', b'"comnit":1'))
    for _ in range(2):
        again = make()
        await again.open()
        assert set(await again.list_runs()) == ({8} if doubtful else {7, 8})
        await again.close()


async def test_a_database_that_cannot_be_reached_is_told_in_the_runbooks_words(make: Make, tmp_path: Path) -> None:
    """A path that is no directory fails with what and where."""
    (tmp_path / "db").write_text("a file")
    with pytest.raises(ArtdaqDBError, match=rf"Failed to get configurations: .*{tmp_path}/db"):
        await make().open()
