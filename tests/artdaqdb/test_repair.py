"""What a program leaves when it is killed storing into a FileSystemDB is repaired, and nothing else is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.documents import DocumentPlace, stored
from archiverd.artdaqdb.filesystem.check import check_database
from archiverd.artdaqdb.filesystem.index import EMPTY, Index, Names
from archiverd.artdaqdb.filesystem.object_ids import make_oid
from archiverd.artdaqdb.filesystem.repair import INTENT, DirectoryRepair, Intent
from archiverd.artdaqdb.port import Entity
from archiverd.core.errors import ArtdaqDBError, Retry
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

STAMP = "2026-11-24T10:00:00.000+0000"
SEVEN = Intent("7/demo", "7/demo", ("RunHistory",))


class Watched(RealDisk):
    """A disk that remembers what was made durable."""

    def __init__(self) -> None:
        self.synced: set[str] = set()

    def sync_files(self, paths: Iterable[Path]) -> None:
        listed = list(paths)
        super().sync_files(listed)
        self.synced |= {path.name for path in listed}

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self.synced.add(path.name)


@pytest.fixture
def disk() -> Watched:
    """Return the disk."""
    return Watched()


@pytest.fixture
def keeper(tmp_path: Path, disk: Watched) -> Iterator[DirectoryRepair]:
    """Return an open keeper of a database with run 5 in it."""
    put(tmp_path / "db" / "RunHistory", document("5/demo", "boot"))
    put(tmp_path / "db" / "SystemLayout", document("5/demo", "schema"))
    opened = DirectoryRepair(tmp_path / "db", disk)
    opened.open()
    yield opened
    opened.close()


def document(version: str, entity: str) -> tuple[str, bytes, Names]:
    """Return object id, text and names of a document."""
    oid, run = make_oid(), version.partition("/")[0]
    configuration = f"{run}/demo"
    text = stored(Entity("c", entity, b"a: 1\n"), DocumentPlace(oid, "c", configuration, version, int(run), STAMP))
    return oid, text, Names(version, (configuration,), (STAMP,), (entity,), (run,))


def put(collection: Path, *documents: tuple[str, bytes, Names], indexed: bool = True) -> None:
    """Write documents and, if they are to be ``indexed``, the index, as the library does."""
    collection.mkdir(parents=True, exist_ok=True)
    path = collection / "index.json"
    index = Index.parse(path.read_bytes(), "") if path.exists() else Index()
    for oid, text, names in documents:
        (collection / f"{oid}.json").write_bytes(text)
        index.add(oid, names)
    if indexed:
        path.write_bytes(b"".join(index.chunks()))


def indexed(collection: Path) -> set[str]:
    """Return the ids in an index."""
    return set(Index.parse((collection / "index.json").read_bytes(), ""))


def there(collection: Path) -> set[str]:
    """Return the ids of the documents of a collection."""
    return {path.stem for path in collection.glob("*.json")} - {"index"}


def test_a_whole_database_is_left_as_it_is(keeper: DirectoryRepair, tmp_path: Path) -> None:
    """With nothing begun, mending does nothing."""
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "db").rglob("*")}
    assert keeper.repair() == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "db").rglob("*")} == before


def test_an_unindexed_document_of_the_intent_is_indexed(keeper: DirectoryRepair, tmp_path: Path, disk: Watched) -> None:
    """A document that was written and not indexed counts, durably; one of another version stays out."""
    collection = tmp_path / "db" / "RunHistory"
    mine, another = document("7/demo", "boot"), document("8/demo", "boot")
    keeper.write_intent(SEVEN)
    put(collection, mine, another, indexed=False)
    (told,) = keeper.repair()
    assert told == f"{collection}/{mine[0]}.json was stored and not indexed; it is indexed now"
    assert indexed(collection) == there(collection) - {another[0]}
    assert {f"{mine[0]}.json", "index.json", "RunHistory", "db"} <= disk.synced
    keeper.remove_intent()
    assert keeper.repair() == []


def test_a_document_that_is_cut_short_is_removed(keeper: DirectoryRepair, tmp_path: Path) -> None:
    """Half a document, in no index, of the store that was interrupted: it is stored again."""
    collection = tmp_path / "db" / "RunHistory"
    keeper.write_intent(SEVEN)
    oid, text, _ = document("7/demo", "boot")
    (collection / f"{oid}.json").write_bytes(text[: len(text) // 2])
    assert keeper.repair() == [f"{collection}/{oid}.json was cut short; it is removed and stored again"]
    assert there(collection) == indexed(collection)


def test_what_may_be_anothers_is_left_alone(keeper: DirectoryRepair, tmp_path: Path) -> None:
    """Damaged documents that are older than the intent, or more than the one that can be ours, are not removed."""
    collection = tmp_path / "db" / "RunHistory"
    old = collection / f"{make_oid()}.json"
    old.write_bytes(b"{")
    os.utime(old, (1, 1))
    keeper.write_intent(SEVEN)
    assert keeper.repair() == []
    two = sorted(collection / f"{make_oid()}.json" for _ in range(2))
    for path in two:
        path.write_bytes(b"{")
    assert keeper.repair() == [f"{path} is cut short and in no index; it may not be ours" for path in two]
    assert old.exists()
    assert all(path.exists() for path in two)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_an_index_that_is_cut_short_is_written_anew(keeper: DirectoryRepair, tmp_path: Path, share: float) -> None:
    """Whatever part of an index.json is there, it is made from the documents, without any intent too."""
    collection = tmp_path / "db" / "RunHistory"
    put(collection, document("7/demo", "boot"), document("7/demo", "setup"))
    whole = (collection / "index.json").read_bytes()
    (collection / "index.json").write_bytes(whole[: int(len(whole) * share)])
    (told,) = keeper.repair()
    assert told.startswith(f"{collection}/index.json was damaged; it is written anew")
    assert indexed(collection) == there(collection)
    assert len(there(collection)) == 3
    assert list(check_database(tmp_path / "db")) == []


def test_an_index_that_only_looks_whole_is_written_anew(keeper: DirectoryRepair, tmp_path: Path) -> None:
    """An index that was cut behind one of its inner braces is noticed where something was to be stored."""
    collection = tmp_path / "db" / "RunHistory"
    keeper.write_intent(SEVEN)
    put(collection, document("7/demo", "boot"))
    whole = (collection / "index.json").read_bytes()
    (collection / "index.json").write_bytes(whole[: whole.rindex(b"}", 0, -1) + 1])
    assert len(keeper.repair()) == 1
    assert indexed(collection) == there(collection)


def test_an_index_that_is_lost_is_not_made_without_its_documents(keeper: DirectoryRepair, tmp_path: Path) -> None:
    """Only the first documents of an intent may be without one: those of others would be invisible for good."""
    collection = tmp_path / "db" / "New"
    put(collection, document("7/demo", "boot"), indexed=False)
    for intent in (None, SEVEN, Intent("8/demo", "8/demo", ("New",))):
        if intent is not None:
            keeper.write_intent(intent)
        with pytest.raises(ArtdaqDBError, match=f"{collection}/index.json is not there, though documents are"):
            keeper.repair()
    keeper.write_intent(Intent("7/demo", "7/demo", ("New",)))
    assert len(keeper.repair()) == 1
    assert indexed(collection) == there(collection)


def test_an_index_of_the_description_is_made_empty(keeper: DirectoryRepair, tmp_path: Path) -> None:
    """The index that searches make beside the database's description never holds anything."""
    path = tmp_path / "db" / "SystemMetadata" / "index.json"
    path.parent.mkdir()
    path.touch()
    (path.parent / "d1fb3d1212e64e7f83012784.json").write_text('{"document": {}, "_id": {"$oid": "d1fb"}}')
    assert len(keeper.repair()) == 1
    assert path.read_text() == EMPTY


def test_an_indexed_document_that_a_power_cut_took_is_stored_again(keeper: DirectoryRepair, tmp_path: Path) -> None:
    """Names outlived their bytes: such documents of the intent leave the index, others are not read."""
    collection = tmp_path / "db" / "RunHistory"
    empty, gone, whole = (document("7/demo", name) for name in ("boot", "setup", "ranks"))
    keeper.write_intent(SEVEN)
    put(collection, empty, gone, whole)
    (collection / f"{empty[0]}.json").write_bytes(b"")
    (collection / f"{gone[0]}.json").unlink()
    assert len(keeper.repair()) == 3
    assert indexed(collection) == there(collection)
    assert whole[0] in there(collection)
    assert not {empty[0], gone[0]} & there(collection)


@pytest.mark.parametrize("text", [b"", b'{"configuration": "7/de', b"[]", b'{"version": "7/demo"}'])
def test_a_note_that_is_cut_short_is_of_nothing_begun(keeper: DirectoryRepair, tmp_path: Path, text: bytes) -> None:
    """An intent that was not noted to its end came before any storing."""
    (tmp_path / "db" / INTENT).write_bytes(text)
    assert keeper.repair() == []


def test_stored_documents_are_settled(keeper: DirectoryRepair, tmp_path: Path, disk: Watched) -> None:
    """What the library wrote is synced: documents, index, and the directories that name them."""
    one = document("7/demo", "boot")
    put(tmp_path / "db" / "RunHistory", one)
    keeper.make_durable(SEVEN)
    assert disk.synced >= {f"{one[0]}.json", "index.json", "RunHistory", "db"}


def test_what_our_own_engine_committed_is_published(tmp_path: Path, disk: Watched) -> None:
    """A database whose daemon was killed before its indexes were written shows the library all that counts."""
    killed = "import os; os._exit(0)"
    script = (
        "import asyncio, sys; from archiverd.artdaqdb.filesystem.store import FileSystemDB\n"
        "from tests.artdaqdb.conformance import record\n"
        "async def main():\n"
        "    database = FileSystemDB(sys.argv[1]); await database.open()\n"
        "    await database.insert(1, 'demo', record(b'a: 1')); await database.insert(7, 'demo', record(b'a: 1'))\n"
        f"    {killed}\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", script, f"filesystemdb://{tmp_path}/own"], check=True)
    keeper = DirectoryRepair(tmp_path / "own", disk)
    keeper.open()
    assert indexed(tmp_path / "own" / "RunHistory") == there(tmp_path / "own" / "RunHistory")
    assert len(there(tmp_path / "own" / "RunHistory")) == 2
    keeper.close()


HOLDER = "import os, sys; os.fstat(int(sys.argv[1])); print('holding', flush=True); sys.stdin.read()"


def test_one_archiverd_at_a_time(keeper: DirectoryRepair, tmp_path: Path) -> None:
    """A second keeper is refused while the first, or a program that inherited from it, lives."""
    (descriptor,) = keeper.descriptors
    command = [sys.executable, "-c", HOLDER, str(descriptor)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, pass_fds=(descriptor,)) as heir:
        assert heir.stdout is not None
        assert heir.stdout.readline() == b"holding\n"
        second = DirectoryRepair(tmp_path / "db", RealDisk())
        with pytest.raises(ArtdaqDBError, match=rf"Another archiverd \(process {os.getpid()}\) writes to") as caught:
            second.open()
        assert caught.value.retry is Retry.TRANSIENT
        keeper.close()
        with pytest.raises(ArtdaqDBError, match="Another archiverd"):
            second.open()
        heir.kill()
        heir.wait()
        second.open()
        second.close()
