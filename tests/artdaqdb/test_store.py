"""The FileSystemDB engine: what it stores, refuses, exports and survives."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
from typing import TYPE_CHECKING, TypeVar

import pytest

from archiverd.artdaqdb.filesystem.index import EMPTY
from archiverd.artdaqdb.filesystem.object_ids import make_oid
from archiverd.artdaqdb.filesystem.store import FileSystemDB, parse_uri
from archiverd.core.errors import ArtdaqDBError, ConfigurationError, FhiclError, Retry
from archiverd.disk import RealDisk

from .conftest import entities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Make = Callable[..., FileSystemDB]

T = TypeVar("T")


async def test_a_run_is_listed_found_and_exported_as_artdaqdb_re_makes_it(make: Make) -> None:
    """What is exported is the regenerated FHiCL of every entity, from either view of the archive."""
    db = make()
    await db.open()
    assert await db.insert(7, "demo", entities("a: 1 # x\n", "b: {c: 2}\n"))
    for _ in range(2):
        assert {run: one.configuration for run, one in (await db.list_runs()).items()} == {7: "7/demo"}
        found = await db.find(7)
        assert found is not None
        assert (found.configuration, found.update) == ("7/demo", 0)
        exported = {(one.collection, one.name): one.fcl for one in await db.export(7)}
        assert exported["RunHistory", "e0"] == b"\na: 1 # x\n"
        assert exported["RunHistory", "e1"] == b"\nb: {\n\nc: 2 \n\n}"
        assert ("SystemLayout", "schema") in exported
        await db.close()
        db = make()
        await db.open()
    await db.close()


async def test_storing_the_same_run_again_changes_nothing(make: Make, tmp_path: Path) -> None:
    """Identical content is success without a second copy (I5)."""
    db = make()
    await db.open()
    assert await db.insert(7, "demo", entities("a: 1\n"))
    before = sorted((tmp_path / "db" / "RunHistory").iterdir())
    assert not await db.insert(7, "demo", entities("a:   1\n"))
    assert sorted((tmp_path / "db" / "RunHistory").glob("*4abc*")) == [p for p in before if p.name != "index.json"]
    await db.close()


@pytest.mark.parametrize(
    ("configuration", "texts", "why"),
    [("demo", ("a: 2\n",), "its entity e0 is another"), ("other", ("a: 1\n",), "this record's configuration is other")],
)
async def test_other_content_under_a_run_number_is_refused(
    make: Make, configuration: str, texts: tuple[str, ...], why: str
) -> None:
    """A reused run number is refused in the runbook's words, and what is there stays."""
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 1\n"))
    with pytest.raises(ArtdaqDBError, match=r"Configuration 7/demo is already archived\.") as caught:
        await db.insert(7, configuration, entities(*texts))
    assert caught.value.context == {"difference": why}
    assert (await db.export(7))[0].fcl == b"\na: 1 \n"
    await db.close()


async def test_run_numbers_are_no_prefixes_of_each_other(make: Make) -> None:
    """Run 1001 is not run 10010."""
    db = make()
    await db.open()
    await db.insert(10010, "demo", entities("a: 1\n"))
    assert await db.find(1001) is None
    assert list(await db.list_runs()) == [10010]
    await db.close()


async def test_updates_are_numbered_by_number_and_the_newest_is_exported(make: Make) -> None:
    """v10 comes after v9, and an unchanged update is not stored again."""
    db = make()
    await db.open()
    await db.insert(7, "demov3", entities("a: 0\n"))
    for number in range(1, 12):
        assert await db.update(7, "demov3", entities(f"a: {number}\n")) == f"7/demov3v{number}"
    assert await db.update(7, "demov3", entities("a: 11\n")) == "7/demov3v11"
    found = await db.find(7)
    assert found is not None
    assert found.update == 11
    exported = {one.name: one for one in await db.export(7)}
    assert (exported["e0"].version, exported["e0"].fcl) == ("7/demov3v11", b"\na: 11 \n")
    await db.close()


async def test_an_update_of_what_is_not_there_is_refused(make: Make) -> None:
    """An update needs the run."""
    db = make()
    await db.open()
    with pytest.raises(ArtdaqDBError, match="Configuration 7/demo not found for update"):
        await db.update(7, "demo", entities("a: 1\n"))
    await db.close()


async def test_text_that_is_not_fhicl_leaves_nothing_behind(make: Make, tmp_path: Path) -> None:
    """One bad entity fails the run with its place, and no document of the run remains."""
    db = make()
    await db.open()
    with pytest.raises(FhiclError, match=r"e1\.fcl:2:4: "):
        await db.insert(7, "demo", entities("a: 1\n", "b: 1\nc: ]\n"))
    assert await db.find(7) is None
    await db.close()
    assert documents(tmp_path) == []


async def test_a_second_writer_is_refused(make: Make) -> None:
    """The index has one writer: the error of a second names it."""
    db = make()
    await db.open()
    with pytest.raises(ArtdaqDBError, match=f"process {os.getpid()}") as caught:
        await make().open()
    assert caught.value.retry is Retry.TRANSIENT
    await db.close()


async def test_a_run_that_someone_left_half_written_is_completed(make: Make) -> None:
    """Documents without one in SystemLayout do not count as archived; storing the run completes it."""
    db = make()
    await db.open()
    await db._write(lambda: db._tree.store(entities("a: 1\n", schema=False), "7/demo", "7/demo", 7))
    assert await db.find(7) is None
    assert await db.insert(7, "demo", entities("a: 1\n", "b: 2\n"))
    names = sorted(one.name for one in await db.export(7))
    assert names == ["e0", "e1", "schema"]
    await db.close()


async def test_a_foreign_rewrite_of_an_index_is_noticed_and_mended(make: Make, tmp_path: Path) -> None:
    """What another program's index.json adds is taken in, what it lost of ours is put back."""
    index = tmp_path / "db" / "SystemLayout" / "index.json"
    other = make()
    await other.open()
    await other.insert(9, "demo", entities("a: 9\n"))
    await other.close()
    foreign = index.read_text()
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 7\n"))
    for _ in range(3):  # until the publishing task has nothing left to do
        await asyncio.sleep(0)
        await db._write(db._tree.publish)
    index.write_text(foreign.replace("9/demo", "8/demo").replace('"9"', '"8"'))
    assert sorted(await db.list_runs()) == [7, 8, 9]
    await db.close()
    content = json.loads(index.read_text())
    assert sorted(content["version"]) == ["7/demo", "8/demo", "9/demo"]


async def test_a_missing_or_foreign_document_is_never_exported(make: Make, tmp_path: Path) -> None:
    """An export proves each document to be the one asked for; anything else is an error that names the path."""
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 7\n"))
    await db.insert(8, "demo", entities("a: 8\n"))
    mine, others = sorted((tmp_path / "db" / "RunHistory").glob("*4abc*"))
    text = mine.read_bytes()
    mine.write_bytes(others.read_bytes())
    with pytest.raises(ArtdaqDBError, match=f"Document {mine} is not of configuration 7/demo"):
        await db.export(7)
    mine.write_bytes(text[:100])
    with pytest.raises(ArtdaqDBError, match=f"Document {mine} is damaged: "):
        await db.export(7)
    mine.unlink()
    with pytest.raises(ArtdaqDBError, match=f"Document {mine} is in the index but not there"):
        await db.export(7)
    await db.close()


@pytest.mark.parametrize("text", ["", "{", '{"ouid": []}', '{"ouid": [1]}', "[]"])
async def test_a_damaged_index_is_told_in_the_librarys_words(make: Make, tmp_path: Path, text: str) -> None:
    """A damaged index.json is an error with its path, and it is left as it is."""
    (tmp_path / "db" / "RunHistory").mkdir(parents=True)
    index = tmp_path / "db" / "RunHistory" / "index.json"
    index.write_text(text)
    with pytest.raises(ArtdaqDBError, match="SearchIndex is corrupt and needs to be rebuilt") as caught:
        await make().open()
    assert caught.value.context == {"path": str(index)}
    assert index.read_text() == text


@pytest.mark.parametrize(
    "uri",
    [
        "filesystemdb://relative",
        "mongodb://h/db",
        "/abs",
        "filesystemdb:///a b",
        "filesystemdb:///a/$HOME",
        "filesystemdb://",
    ],
)
def test_a_uri_the_library_would_read_otherwise_is_refused(uri: str) -> None:
    """The library expands its URI like a shell; what it would change is a configuration error."""
    with pytest.raises(ConfigurationError, match="database_uri"):
        parse_uri(uri)


def test_object_ids_have_the_librarys_form() -> None:
    """An object id is the first 24 digits of a random UUID."""
    for _ in range(50):
        assert len(oid := make_oid()) == 24
        assert oid[12] == "4"
        assert oid[16] in "89ab"


class Crash(BaseException):
    """The power went."""


class CrashingDisk(RealDisk):
    """Dies at its n-th effect, and forgets names of files that were not synced into their directory by then."""

    def __init__(self, after: int, seed: int) -> None:
        self.left = after
        self.dice = random.Random(seed)
        self.unsynced: set[Path] = set()

    def _effect(self) -> None:
        if self.left == 0:
            for path in sorted(self.unsynced):
                if self.dice.random() < 0.5:
                    path.unlink(missing_ok=True)
            self.unsynced.clear()
        if self.left <= 0:
            self.left = -1
            raise Crash
        self.left -= 1

    def create(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        self._effect()
        super().create(path, data if self.left else data[: len(data) // 2], mode=mode)
        self.unsynced.add(path)

    def truncate(self, path: Path, length: int) -> None:
        self._effect()
        super().truncate(path, length)

    def append(self, path: Path, data: bytes) -> None:
        self._effect()
        super().append(path, data if self.left else data[: len(data) // 2])
        if not self.left:
            self._effect()

    def publish(self, path: Path, chunks: Iterable[bytes]) -> None:
        self._effect()
        super().publish(path, chunks)

    def sync_directory(self, path: Path) -> None:
        self._effect()
        super().sync_directory(path)
        self.unsynced = {one for one in self.unsynced if one.parent != path}

    def unlink(self, path: Path) -> None:
        self._effect()
        super().unlink(path)


def documents(tmp_path: Path) -> list[Path]:
    """Return all documents of the database."""
    return sorted(path for name in ("RunHistory", "SystemLayout") for path in (tmp_path / "db" / name).glob("*4abc*"))


async def crash_at(make: Make, tmp_path: Path, effect: int, seed: int) -> bool:
    """Let the power go at one effect of two runs and an update; check what is left. Tell whether it went at all."""
    acknowledged: dict[int, str] = {}
    db = make(CrashingDisk(effect, seed))
    crashed = False
    try:
        await db.open()
        for run in (7, 8):
            await db.insert(run, "demo", entities(f"a: {run}\n", "b: 0\n"))
            acknowledged[run] = "\nb: 0 \n"
        await db._write(db._tree.publish)
        await db.update(7, "demo", entities(f"a: {run}\n", "b: 1\n"))
        acknowledged[7] = "\nb: 1 \n"
        await db.close()
    except Crash:
        crashed = True
        for task in db._tasks:
            task.cancel()
        if db._tree._lock_descriptor is not None:
            os.close(db._tree._lock_descriptor)  # a dead process holds no lock
    again = make()
    await again.open()
    runs = await again.list_runs()
    assert set(acknowledged) <= set(runs)
    for run in runs:
        exported = {one.name: one.fcl.decode() for one in await again.export(run)}
        assert set(exported) == {"e0", "e1", "schema"}, "a run is visible whole or not at all"
        assert exported["e1"] in ("\nb: 0 \n", "\nb: 1 \n")
        assert run not in acknowledged or exported["e1"] >= acknowledged[run]
    assert await again.unindexed() == []
    for run in (7, 8):
        await again.insert(run, "demo", entities(f"a: {run}\n", "b: 0\n"))
    await again.close()
    for name in ("RunHistory", "SystemLayout"):
        index = json.loads((tmp_path / "db" / name / "index.json").read_text())
        there = {path.stem for path in documents(tmp_path) if path.parent.name == name}
        assert set(index["ouid"]) == there
    return crashed


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_power_may_go_at_every_single_effect(make: Make, tmp_path: Path, seed: int) -> None:
    """Whenever the power goes: nothing half-visible, nothing acknowledged lost, every index valid (I6)."""
    for effect in range(200):
        for path in sorted((tmp_path / "db").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        if not await crash_at(make, tmp_path, effect, seed):
            assert effect > 20, "the scenario must have effects to crash at"
            return
    pytest.fail("the scenario never ended")


class FullDisk(RealDisk):
    """Has no room for the n-th document and all after it, until `room` is raised."""

    def __init__(self, room: int) -> None:
        self.room = room

    def create(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self.room -= 1
        super().create(path, data, mode=mode)


async def test_a_full_disk_is_a_retry_and_leaves_nothing_half_visible(make: Make, tmp_path: Path) -> None:
    """Without room the run waits, in the runbook's words; with room it is stored."""
    disk = FullDisk(room=3)
    db = make(disk)
    await db.open()
    with pytest.raises(ArtdaqDBError, match=r"\[Errno 28\] No space left on device") as caught:
        await db.insert(7, "demo", entities("a: 1\n", "b: 2\n", "c: 3\n"))
    assert caught.value.retry is Retry.TRANSIENT
    assert (await db.find(7), documents(tmp_path)) == (None, [])
    disk.room = 100
    assert await db.insert(7, "demo", entities("a: 1\n", "b: 2\n", "c: 3\n"))
    await db.close()


async def test_unindexed_documents_of_others_are_left_alone(make: Make, tmp_path: Path) -> None:
    """A document that stands in no index is reported and neither removed nor taken in."""
    (tmp_path / "db" / "RunHistory").mkdir(parents=True)
    (tmp_path / "db" / "RunHistory" / "index.json").write_text(EMPTY)
    stray = tmp_path / "db" / "RunHistory" / "aaaaaaaaaaaa4abc8def0000.json"
    stray.write_text("{}")
    db = make()
    await db.open()
    assert await db.unindexed() == [stray]
    await db.close()
    assert stray.read_text() == "{}"


async def test_beside_the_collections_stand_only_plain_files(make: Make, tmp_path: Path) -> None:
    """What we need of our own is no directory: the library would take it for a collection."""
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 1\n"))
    await db.close()
    directories = {path.name for path in (tmp_path / "db").iterdir() if path.is_dir()}
    assert directories == {"RunHistory", "SystemLayout", "SystemMetadata"}
