"""The check of a database, and indexes made anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.documents import DocumentPlace
from archiverd.artdaqdb.filesystem.check import Rebuilt, check_database, rebuild_index
from archiverd.artdaqdb.filesystem.redo import Filed, Redo
from archiverd.disk import RealDisk

from .conftest import entities, recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archiverd.artdaqdb.filesystem.store import FileSystemDB


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Lay out a collection as the real library wrote it."""
    path = tmp_path / "db" / "RunHistory"
    path.mkdir(parents=True)
    for name, text in recorded("run_history.json").items():
        (path / name).write_text(text)
    return path


def findings(root: Path) -> dict[str, list[str]]:
    """Return the findings of a database by file name."""
    found: dict[str, list[str]] = {}
    for one in check_database(root):
        found.setdefault(one.path.name, []).append(one.what)
    return found


def test_what_the_library_wrote_is_sound(collection: Path) -> None:
    """A recorded collection has no findings."""
    assert findings(collection.parent) == {}


def test_an_index_made_anew_is_the_librarys(collection: Path) -> None:
    """An index lost and made anew from the documents is, byte for byte, the one that was lost."""
    (collection / "index.json").unlink()
    documents = len(recorded("run_history.json")) - 1
    assert rebuild_index(collection, RealDisk()) == Rebuilt(documents, [])
    assert (collection / "index.json").read_text() == recorded("run_history.json")["index.json"]


async def test_what_we_wrote_is_sound(make: Callable[..., FileSystemDB], tmp_path: Path) -> None:
    """Our own database has no findings, and its index made anew is the same."""
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 7\n"))
    await db.update(7, "demo", entities("b: 7\n"))
    await db.close()
    assert findings(tmp_path / "db") == {}
    index = tmp_path / "db" / "RunHistory" / "index.json"
    before = index.read_bytes()
    rebuild_index(index.parent, RealDisk())
    assert index.read_bytes() == before


async def test_what_a_kill_left_half_stored_gets_into_no_index(
    make: Callable[..., FileSystemDB], tmp_path: Path
) -> None:
    """The next start removes those documents: an index that has them would name what is not there."""
    db = make()
    await db.open()
    await db.insert(7, "demo", entities("a: 7\n"))
    await db.close()
    collection = tmp_path / "db" / "RunHistory"
    before = (collection / "index.json").read_bytes()
    place = DocumentPlace("f" * 24, "RunHistory", "8/demo", "8/demo", 8, "2026-11-23T16:40:16.255-0600")
    Redo(collection.parent, RealDisk()).begin([Filed("a", place)])
    (document,) = (path for path in collection.glob("*.json") if path.name != "index.json")
    (collection / f"{place.oid}.json").write_bytes(document.read_bytes().replace(b"7/demo", b"8/demo"))
    assert rebuild_index(collection, RealDisk()) == Rebuilt(1, [])
    assert (collection / "index.json").read_bytes() == before
    db = make()
    await db.open()
    assert set(await db.list_runs()) == {7}
    await db.close()
    assert findings(tmp_path / "db") == {}


def test_every_kind_of_damage_is_found(collection: Path) -> None:
    """Missing, damaged, wrongly named, unindexed and wrongly indexed documents are named, each with what is wrong."""
    gone, cut, renamed, other, fine = sorted(path for path in collection.glob("*.json") if path.stem != "index")[:5]
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:200])
    stray = collection / f"{'f' * 24}.json"
    renamed.rename(stray)
    text = json.loads(other.read_text(), strict=False)
    text["version"] = "9/other"
    other.write_text(json.dumps(text))
    new = collection / f"{'e' * 24}.json"
    new.write_text(fine.read_text().replace(fine.stem, new.stem))
    found = findings(collection.parent)
    assert found[gone.name] == found[renamed.name] == ["is in the index but not there"]
    assert found[cut.name][0].startswith("is damaged: not a document: ")
    assert found[stray.name] == [f"is damaged: its object id is {renamed.stem}"]
    assert found[new.name] == ["stands in no index: it is invisible"]
    missing, wrong = found[other.name]
    assert missing == "is missing in the index under version 9/other"
    assert wrong.endswith("but does not say so")
    assert fine.name not in found


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"_id": {}}', '{"_id": {"$oid": 3}}', "\udcff"])
def test_what_is_no_document_is_left_out_of_an_index_made_anew(collection: Path, text: str) -> None:
    """A damaged file is named, and left out; the index is made of the others."""
    stray = collection / f"{'f' * 24}.json"
    stray.write_bytes(text.encode(errors="surrogateescape"))
    assert [one.path for one in rebuild_index(collection, RealDisk()).left_out] == [stray]
    assert (collection / "index.json").read_text() == recorded("run_history.json")["index.json"]


def test_a_missing_or_damaged_index_is_found(collection: Path) -> None:
    """Without an index the whole collection is invisible; a damaged one fails every search."""
    index = collection / "index.json"
    index.write_text("{")
    assert "SearchIndex is corrupt" in findings(collection.parent)["index.json"][0]
    index.unlink()
    found = findings(collection.parent)
    assert found["index.json"] == ["is not there: every document of the collection is invisible"]
    assert len(found) == len(recorded("run_history.json"))
