"""MongoDB as artdaqDB on a server that holds any FHiCL without duplicate keys: stored, refused, exported, repaired."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from archiverd.artdaqdb.port import Entity
from archiverd.core.errors import ArtdaqDBError, FhiclError, Retry
from tests.artdaqdb.conftest import entities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archiverd.artdaqdb.mongo.store import MongoDB


@pytest.fixture
def raw(uri: str) -> Iterator[Any]:
    """Give the database as any other program sees it."""
    with MongoClient(uri) as client:
        yield client.get_default_database()


async def exported(db: MongoDB, run: int) -> dict[tuple[str, str], bytes]:
    """Return a run's exported FHiCL by collection and entity."""
    return {(one.collection, one.name): one.fcl for one in await db.export(run)}


async def test_a_run_is_listed_found_and_exported_as_artdaqdb_re_makes_it(
    uri: str, connect: Callable[..., Any]
) -> None:
    """What is exported is the regenerated FHiCL of every entity, nested sequences and dotted keys included."""
    db = await connect(uri)
    texts = (
        "a: 1 # x\n",
        'b: {c: 2}\ns: [[1, [2]], {t: "q\\"\\n"}]\n',
        "BEGIN_PROLOG\np: 0x1F\nEND_PROLOG\nx.y: @local::p\n",
    )
    assert await db.insert(7, "demo", entities(*texts))
    for one in (db, await connect(uri)):
        assert {run: it.configuration for run, it in (await one.list_runs()).items()} == {7: "7/demo"}
        found = await one.find(7)
        assert (found.configuration, found.update) == ("7/demo", 0)
        held = await exported(one, 7)
        assert held["RunHistory", "e0"] == b"\na: 1 # x\n"
        assert held["RunHistory", "e1"] == b'\nb: {\n\nc: 2 \n\n}\ns: [[1, [2] \n] \n, {\n\nt: "q\\"\\n" \n\n}] \n'
        assert held["RunHistory", "e2"] == b"BEGIN_PROLOG\n\np: 0x1F \n\nEND_PROLOG\n\nx.y: @local::p \n"
        assert ("SystemLayout", "schema") in held


async def test_storing_the_same_run_again_changes_nothing(uri: str, connect: Callable[..., Any], raw: Any) -> None:
    """Identical content is success without a second copy (I5)."""
    db = await connect(uri)
    assert await db.insert(7, "demo", entities("a: 1\n"))
    before = list(raw.RunHistory.find())
    assert not await db.insert(7, "demo", entities("a:   1\n"))
    assert list(raw.RunHistory.find()) == before


@pytest.mark.parametrize(
    ("configuration", "texts", "why"),
    [
        ("demo", ("a: 2\n",), "its entity e0 is another"),
        ("other", ("a: 1\n",), "this record's configuration is other"),
        ("demo", ("a: 1\n", "b: 1\n"), "it lacks what this record holds: e1"),
    ],
)
async def test_other_content_under_a_run_number_is_refused(
    uri: str, connect: Callable[..., Any], configuration: str, texts: tuple[str, ...], why: str
) -> None:
    """A reused run number is refused in the runbook's words, and what is there stays."""
    db = await connect(uri)
    await db.insert(7, "demo", entities("a: 1\n"))
    with pytest.raises(ArtdaqDBError, match=r"Configuration 7/demo is already archived\.") as caught:
        await db.insert(7, configuration, entities(*texts))
    assert caught.value.context == {"difference": why}
    assert (await exported(db, 7)).keys() == {("RunHistory", "e0"), ("SystemLayout", "schema")}


async def test_run_numbers_are_no_prefixes_of_each_other(uri: str, connect: Callable[..., Any]) -> None:
    """Run 1001 is neither run 10010 nor run 100."""
    db = await connect(uri)
    await db.insert(10010, "demo", entities("a: 1\n"))
    await db.insert(100, "demo", entities("a: 2\n"))
    assert await db.find(1001) is None
    with pytest.raises(ArtdaqDBError, match="Run 1001 is not in artdaqDB"):
        await db.export(1001)
    assert sorted(await db.list_runs()) == [100, 10010]


async def test_updates_are_numbered_by_number_and_the_newest_is_exported(uri: str, connect: Callable[..., Any]) -> None:
    """v10 comes after v9, a name may end like a version, and an unchanged update is not stored again."""
    db = await connect(uri)
    await db.insert(7, "demov3", entities("a: 0\n"))
    for number in range(1, 12):
        assert await db.update(7, "demov3", entities(f"a: {number}\n")) == f"7/demov3v{number}"
    assert await db.update(7, "demov3", entities("a: 11\n")) == "7/demov3v11"
    assert (await db.find(7)).update == 11
    newest = {one.name: one for one in await db.export(7)}
    assert (newest["e0"].version, newest["e0"].fcl) == ("7/demov3v11", b"\na: 11 \n")


async def test_an_update_of_part_of_a_run_keeps_the_rest(uri: str, connect: Callable[..., Any]) -> None:
    """An update without a schema is exported too, over what it replaces."""
    db = await connect(uri)
    await db.insert(7, "demo", entities("a: 1\n", "b: 1\n"))
    assert await db.update(7, "demo", entities("a: 2\n", schema=False)) == "7/demov1"
    held = await exported(db, 7)
    assert (held["RunHistory", "e0"], held["RunHistory", "e1"]) == (b"\na: 2 \n", b"\nb: 1 \n")
    assert await db.update(7, "demo", entities("a: 3\n", schema=False)) == "7/demov2"


@pytest.mark.parametrize("archived", [False, True])
async def test_an_update_of_what_is_not_there_is_refused(uri: str, connect: Callable[..., Any], archived: bool) -> None:
    """An update needs the run, under the same configuration."""
    db = await connect(uri)
    if archived:
        await db.insert(7, "other", entities("a: 1\n"))
    with pytest.raises(ArtdaqDBError, match="Configuration 7/demo not found for update"):
        await db.update(7, "demo", entities("a: 1\n"))


async def test_text_that_is_not_fhicl_leaves_nothing_behind(uri: str, connect: Callable[..., Any], raw: Any) -> None:
    """One bad entity fails the run with its place, and no document of the run is stored."""
    db = await connect(uri)
    with pytest.raises(FhiclError, match=r"e1\.fcl:2:4: "):
        await db.insert(7, "demo", entities("a: 1\n", "b: 1\nc: ]\n"))
    assert raw.RunHistory.count_documents({}) == 0


async def test_a_document_too_large_leaves_nothing_behind(uri: str, connect: Callable[..., Any], raw: Any) -> None:
    """What MongoDB cannot hold is named before anything is stored."""
    db = await connect(uri)
    with pytest.raises(ArtdaqDBError, match=r"Entity e1 of run 7 has 17,\d\d\d,\d\d\d bytes as BSON") as caught:
        await db.insert(7, "demo", entities("a: 1\n", f'b: "{"x" * 17_000_000}"\n'))
    assert caught.value.retry is Retry.PERMANENT
    assert raw.RunHistory.count_documents({}) == 0


@pytest.mark.parametrize("kept", range(4))
async def test_a_run_that_was_left_half_written_is_completed(
    uri: str, connect: Callable[..., Any], raw: Any, kept: int
) -> None:
    """Whatever part of a run's documents was stored when we were interrupted, storing it again completes it."""
    db = await connect(uri)
    texts = ("a: 1\n", "b: 2\n", "c: 3\n")
    await db.insert(7, "demo", entities(*texts))
    raw.SystemLayout.delete_many({})
    raw.RunHistory.delete_many({"entities.name": {"$in": [f"e{number}" for number in range(kept, 3)]}})
    assert await db.find(7) is None
    assert await db.half_written() == ([7] if kept else [])
    assert await db.insert(7, "demo", entities(*texts))
    assert sorted(one.name for one in await db.export(7)) == ["e0", "e1", "e2", "schema"]
    assert (raw.RunHistory.count_documents({}), await db.half_written()) == (3, [])


async def test_a_half_written_run_of_other_content_is_refused(uri: str, connect: Callable[..., Any], raw: Any) -> None:
    """What does not belong to this record is not built upon, and the run still does not count as archived."""
    db = await connect(uri)
    await db.insert(7, "demo", entities("a: 1\n"))
    raw.SystemLayout.delete_many({})
    with pytest.raises(ArtdaqDBError, match=r"Configuration 7/demo is already archived\."):
        await db.insert(7, "demo", entities("a: 2\n"))
    assert await db.find(7) is None


async def test_an_update_that_was_left_half_written_is_completed(
    uri: str, connect: Callable[..., Any], raw: Any
) -> None:
    """The same update again completes it under its number; another gets the next one."""
    db = await connect(uri)
    await db.insert(7, "demo", entities("a: 1\n", "b: 1\n"))
    await db.update(7, "demo", entities("a: 2\n", "b: 2\n"))
    half = {"version": "7/demov1", "entities.name": {"$in": ["e1", "schema"]}}
    for collection in (raw.RunHistory, raw.SystemLayout):
        collection.delete_many(half)
    assert (await db.find(7)).update == 0
    assert await db.update(7, "demo", entities("a: 2\n", "b: 2\n")) == "7/demov1"
    assert ((await exported(db, 7))["RunHistory", "e1"], (await db.find(7)).update) == (b"\nb: 2 \n", 1)
    raw.SystemLayout.delete_many(half)
    assert await db.update(7, "demo", entities("a: 3\n", "b: 2\n")) == "7/demov2"
    assert (await exported(db, 7))["RunHistory", "e0"] == b"\na: 3 \n"


async def test_two_that_store_the_same_run_at_once_store_it_once(
    uri: str, connect: Callable[..., Any], raw: Any
) -> None:
    """Nobody locks the database: two at once end with one copy of each document."""
    dbs = [await connect(uri), await connect(uri)]
    texts = [f"a: {number}\n" for number in range(20)]
    await asyncio.gather(*(db.insert(7, "demo", entities(*texts)) for db in dbs))
    assert (raw.RunHistory.count_documents({}), raw.SystemLayout.count_documents({})) == (20, 1)


async def test_documents_of_the_library_are_read_too(uri: str, connect: Callable[..., Any], raw: Any) -> None:
    """Documents with other object ids, stored twice, are one run; of two configurations the last assigned counts."""
    db = await connect(uri)
    await db.insert(7, "demo", entities("a: 1\n"))
    for name in ("RunHistory", "SystemLayout"):
        for one in list(raw[name].find()):
            raw[name].insert_one({key: value for key, value in one.items() if key != "_id"})
    assert not await db.insert(7, "demo", entities("a: 1\n"))
    assert len(await db.export(7)) == 2
    (schema, _) = raw.SystemLayout.find()
    later = [{"name": "7/zero", "assigned": "2026-11-24T00:00:00.000-0600"}]
    raw.SystemLayout.insert_one({"version": "7/zero", "configurations": later, "document": schema["document"]})
    assert (await db.find(7)).configuration == "7/zero"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"$set": {"runs": [{"name": "8"}]}}, "is not of run 7"),
        ({"$set": {"collection": "Other"}}, "is not one entity of collection RunHistory"),
        ({"$set": {"entities": []}}, "is not one entity of collection RunHistory"),
        ({"$unset": {"document": 1}}, "is damaged: "),
        ({"$set": {"comments": None}}, "is damaged: "),
    ],
)
async def test_a_foreign_or_damaged_document_is_never_exported(
    uri: str, connect: Callable[..., Any], raw: Any, change: dict[str, Any], what: str
) -> None:
    """An export proves each document to be the one asked for; anything else is an error that names it."""
    db = await connect(uri)
    await db.insert(7, "demo", entities("a: 7\n"))
    raw.RunHistory.update_many({}, change)
    with pytest.raises(ArtdaqDBError, match=f"in RunHistory {what}") as caught:
        await db.export(7)
    assert caught.value.context["collection"] == "RunHistory"


async def test_what_is_made_first_describes_the_database_without_a_password(
    uri: str, connect: Callable[..., Any], raw: Any
) -> None:
    """SystemMetadata is stored once, and the fields that runs are searched by have indexes."""
    for _ in range(2):
        db = await connect(uri)
    await db.ping()
    (described,) = raw.SystemMetadata.find()
    assert described["document"]["uri"] == uri
    assert described["document"]["database_format"] == 3
    for collection in (raw.RunHistory, raw.SystemLayout):
        fields = {key for one in collection.index_information().values() for key, _ in one["key"]}
        assert fields == {"_id", "version", "configurations.name"}


async def test_names_no_database_can_hold_are_refused(uri: str, connect: Callable[..., Any]) -> None:
    """The database's own collection takes no entity, and two files are never one entity."""
    db = await connect(uri)
    with pytest.raises(ArtdaqDBError, match="'SystemMetadata' cannot be the name of a collection"):
        await db.insert(7, "demo", [Entity("SystemMetadata", "e", b"a: 1\n")])
    with pytest.raises(ArtdaqDBError, match="would both become entity e0"):
        await db.insert(7, "demo", [*entities("a: 1\n"), *entities("a: 1\n")])
