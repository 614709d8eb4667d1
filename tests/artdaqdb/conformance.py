"""What every backend of artdaqDB must do, whichever it is: the port's conformance suite.

A backend's test module defines the fixture ``make_database`` and imports everything here (``import *``). If the
backend cannot do everything, it also overrides ``abilities`` below the import and proves in tests of its own what it
does instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from archiverd import fhicl
from archiverd.artdaqdb.port import Entity
from archiverd.core.errors import ArtdaqDBError, FhiclError
from tests.artdaqdb.conftest import DATA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from archiverd.artdaqdb.port import ArchivedRun, ArtdaqDB

    MakeDatabase = Callable[[], ArtdaqDB]
    Reopen = Callable[[], Awaitable[ArtdaqDB]]

SCHEMA = Entity("SystemLayout", "schema", b"run_history: []\n")
ODD = {
    "key twice": (b"a: 1\nb: 2\na: 3\n", b"\na: 1 \n\nb: 2 \n\na: 3 \n"),
    "key twice in a table": (b"t: { a: 1 b: 2 a: 3 }\n", b"\nt: {\n\na: 3 \n\nb: 2 \n\n}"),
    "dotted key": (b"daq.metrics.level: 3\nx: 1\n", b"\ndaq.metrics.level: 3 \n\nx: 1 \n"),
    "nested arrays": (b"a: [[1, 2], [], [[3]], [{b: [4]}]]\n", None),
    "empty table": (b"t: {}\nu: { v: {} }\n", None),
    "empty array": (b"a: []\n", None),
    "numbers as written": (b"a: 0x1F\nb: 1e5\nc: 007\nd: -.5\ne: infinity\n", None),
    "texts": (b'a: \'it \\d\' b: "say \\"so\\"\\n" c: word d: @nil e: true\n', None),
    "prolog": (b"BEGIN_PROLOG\np: { q: 1 }\nEND_PROLOG\na: 2\n", None),
    "comments": (b"# above\na: 1 # behind\n// other\nb: 2\n", None),
    "comments only": (b"# nothing\n", None),
    "names of operators": (b'a: "$set" dollar: "x.$y" b: { _id: 1 }\n', None),
    "much": (b"".join(b"key_%d: [%d, 'a text']\n" % (n, n) for n in range(5000)), None),
}
"""FHiCL that distinguishes backends, and how artdaqDB exports it (None: as the engine does)."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a backend can do; each is tested if it can."""

    versions: bool = True
    """Stores an update under a version of its own."""
    collections: bool = True
    """Stores into any collection, not only ``RunHistory`` and ``SystemLayout``."""


@pytest.fixture
def abilities() -> Abilities:
    """Return what the backend can do: everything, unless its test module says otherwise."""
    return Abilities()


@pytest.fixture
async def reopen(make_database: MakeDatabase) -> AsyncIterator[Reopen]:
    """Give what closes the database, if it is open, and opens it again with the same data."""
    held = contextlib.AsyncExitStack()

    async def reopening() -> ArtdaqDB:
        await held.aclose()
        opened = make_database()
        await opened.open()
        held.push_async_callback(opened.close)
        return opened

    async with held:
        yield reopening


@pytest.fixture
async def database(reopen: Reopen) -> ArtdaqDB:
    """Return an empty, open database."""
    return await reopen()


def record(*texts: bytes) -> list[Entity]:
    """Return a run's entities e0, e1, … with these texts, and its schema."""
    return [*(Entity("RunHistory", f"e{number}", text) for number, text in enumerate(texts)), SCHEMA]


def spelled(text: bytes) -> bytes:
    """Return a FHiCL text as artdaqDB exports it."""
    return fhicl.from_json(fhicl.to_json(text, "e.fcl", ""), "e.fcl")


async def held(database: ArtdaqDB, run: int) -> Mapping[tuple[str, str], bytes]:
    """Return what an export gives, by collection and entity; no entity may come twice."""
    exported = await database.export(run)
    found = {(one.collection, one.name): one.fcl for one in exported}
    assert len(found) == len(exported)
    return found


async def found(database: ArtdaqDB, run: int) -> ArchivedRun:
    """Return what is archived of a run that must be there."""
    one = await database.find(run)
    assert one is not None
    assert (await database.list_runs())[run] == one
    return one


async def test_an_empty_database_holds_no_run(database: ArtdaqDB) -> None:
    """Nothing is listed or found, and an export is an error."""
    assert dict(await database.list_runs()) == {}
    assert await database.find(7) is None
    with pytest.raises(ArtdaqDBError):
        await database.export(7)


async def test_a_run_is_stored_listed_found_and_exported(database: ArtdaqDB) -> None:
    """A stored run is known under its configuration and comes back whole, spelled as artdaqDB does."""
    assert await database.insert(7, "demo", record(b"a:   1 # x\n", b"b: {c: 2}\n")) is True
    one = await found(database, 7)
    assert (one.run, one.configuration, one.update) == (7, "7/demo", 0)
    assert await held(database, 7) == {
        ("RunHistory", "e0"): b"\na: 1 # x\n",
        ("RunHistory", "e1"): b"\nb: {\n\nc: 2 \n\n}",
        ("SystemLayout", "schema"): spelled(SCHEMA.fcl),
    }


async def test_a_stored_run_survives_reopening(database: ArtdaqDB, reopen: Reopen) -> None:
    """What was stored is there for the next process, and storing it again changes nothing."""
    await database.insert(7, "demo", record(b"a: 1\n"))
    before = await held(database, 7)
    again = await reopen()
    assert (await found(again, 7)).configuration == "7/demo"
    assert await held(again, 7) == before
    assert await again.insert(7, "demo", record(b"a: 1\n")) is False


async def test_exactly_the_same_run_is_stored_once(database: ArtdaqDB) -> None:
    """A second time is success without a second copy, also if only the spelling differs."""
    assert await database.insert(7, "demo", record(b"a: 1\n", b"b: 2\n")) is True
    assert await database.insert(7, "demo", record(b"a: 1\n", b"b: 2\n")) is False
    assert await database.insert(7, "demo", record(b"a:    1\n", b"b: 2\n")) is False
    assert len(await held(database, 7)) == 3


@pytest.mark.parametrize(
    ("configuration", "texts"),
    [("demo", (b"a: 1\n", b"b: 3\n")), ("demo", (b"a: 1\n", b"b: 2\n", b"c: 3\n")), ("demo2", (b"a: 1\n", b"b: 2\n"))],
    ids=["another text", "one entity more", "another configuration"],
)
async def test_anything_else_under_the_run_number_is_refused(
    database: ArtdaqDB, configuration: str, texts: tuple[bytes, ...]
) -> None:
    """A reused run number is refused in the runbook's words, and what was there stays as it was."""
    await database.insert(7, "demo", record(b"a: 1\n", b"b: 2\n"))
    before = await held(database, 7)
    with pytest.raises(ArtdaqDBError, match=r"Configuration 7/demo is already archived\.") as caught:
        await database.insert(7, configuration, record(*texts))
    assert caught.value.run == 7
    assert caught.value.remedy
    assert await held(database, 7) == before
    assert (await found(database, 7)).configuration == "7/demo"


async def test_updates_are_counted_by_number(database: ArtdaqDB, reopen: Reopen, abilities: Abilities) -> None:
    """v10 follows v9 and is what an export gives, also to the next process; a name may end like a version."""
    if not abilities.versions:
        pytest.skip("this backend stores no versions")
    await database.insert(7, "demov3", record(b"a: 0\n", b"b: 0\n"))
    for number in range(1, 11):
        assert await database.update(7, "demov3", record(b"a: %d\n" % number)) == f"7/demov3v{number}"
    database = await reopen()
    assert (await found(database, 7)).update == 10
    exported = {one.name: (one.version, one.fcl) for one in await database.export(7)}
    assert exported["e0"] == ("7/demov3v10", b"\na: 10 \n")
    assert exported["e1"] == ("7/demov3", b"\nb: 0 \n")
    assert await database.update(7, "demov3", record(b"a: 11\n")) == "7/demov3v11"


async def test_an_unchanged_update_is_stored_once(database: ArtdaqDB, abilities: Abilities) -> None:
    """The newest update again, word for word, gives its version and stores nothing."""
    if not abilities.versions:
        pytest.skip("this backend stores no versions")
    await database.insert(7, "demo", record(b"a: 0\n"))
    for _ in range(2):
        assert await database.update(7, "demo", record(b"a: 1\n")) == "7/demov1"
    assert await database.update(7, "demo", record(b"a: 2\n")) == "7/demov2"
    assert (await found(database, 7)).update == 2
    assert await database.insert(7, "demo", record(b"a: 0\n")) is False, "the first archiving is what it was"


async def test_an_update_may_add_an_entity(database: ArtdaqDB) -> None:
    """A run's end is added to what its start archived, once, and the rest stays."""
    await database.insert(7, "demo", record(b"a: 0\n"))
    ending = [Entity("RunHistory", "RunHistory2", b"stop: 12\n"), SCHEMA]
    version = await database.update(7, "demo", ending)
    assert await database.update(7, "demo", ending) == version
    exported = await held(database, 7)
    assert exported["RunHistory", "e0"] == b"\na: 0 \n"
    assert exported["RunHistory", "RunHistory2"] == b"\nstop: 12 \n"
    assert len(exported) == 3
    assert await database.insert(7, "demo", record(b"a: 0\n")) is False, "a repeated import finds its run"


async def test_an_update_needs_its_run(database: ArtdaqDB) -> None:
    """Without the run, or under another configuration, an update is refused and stores nothing."""
    await database.insert(8, "demo", record(b"a: 0\n"))
    for run, configuration in ((7, "demo"), (8, "other")):
        with pytest.raises(ArtdaqDBError, match=f"Configuration {run}/{configuration} not found for update"):
            await database.update(run, configuration, record(b"a: 1\n"))
    assert list(await database.list_runs()) == [8]
    assert (await held(database, 8))["RunHistory", "e0"] == b"\na: 0 \n"


@pytest.mark.parametrize("case", ODD)
async def test_odd_fhicl_comes_back_as_the_engine_spells_it(database: ArtdaqDB, case: str) -> None:
    """Whatever FHiCL allows is kept: repeated and dotted keys, nested arrays, numbers as they were written."""
    text, exported = ODD[case]
    await database.insert(7, "demo", record(text))
    assert (await held(database, 7))["RunHistory", "e0"] == (spelled(text) if exported is None else exported)
    assert await database.insert(7, "demo", record(text)) is False


async def test_an_entity_belongs_to_its_collection(database: ArtdaqDB, abilities: Abilities) -> None:
    """Every collection of a schema is exported with its own entities."""
    if not abilities.collections:
        pytest.skip("this backend has two collections")
    flags = Entity("Flags", "flags", b"isgood: true\n")
    board = Entity("BoardReaders-2", "tpc01", b"board: 1\n")
    assert await database.insert(7, "demo", [*record(b"a: 1\n"), flags, board])
    exported = await held(database, 7)
    assert exported["Flags", "flags"] == spelled(flags.fcl)
    assert exported["BoardReaders-2", "tpc01"] == spelled(board.fcl)
    assert len(exported) == 4


async def test_recorded_runs_are_exported_as_the_library_stored_them(database: ArtdaqDB) -> None:
    """Whichever backend a run is imported through, its files come back as from the library's own documents."""
    documents = json.loads((DATA / "run_history.json").read_text())
    theirs = [fhicl.read_document(text.encode(), name) for name, text in documents.items() if name != "index.json"]
    exported = {(one.version, one.entities[0]): one.fcl for one in theirs}
    runs: dict[str, list[Entity]] = {}
    for store in json.loads((DATA / "stores.json").read_text()):
        if store["version"] == store["configuration"]:
            runs.setdefault(store["version"], []).append(Entity("RunHistory", store["entity"], store["fcl"].encode()))
    assert len(runs) == 3
    for version, entities in runs.items():
        run, _, configuration = version.partition("/")
        await database.insert(int(run), configuration, [*entities, SCHEMA])
        back = await held(database, int(run))
        assert {name for _, name in back} == {"schema", *(one.name for one in entities)}
        assert all(back["RunHistory", one.name] == exported[version, one.name] for one in entities)


async def test_many_runs_are_told_apart(database: ArtdaqDB, reopen: Reopen) -> None:
    """Each run keeps its own content and name; run 1001 is no prefix of 10010."""
    names = {1: "a", 10: "demo00001", 100: "run.v2-x_7", 1001: "standard", 10010: "standard", 99999999: "demov1"}
    for run, configuration in names.items():
        assert await database.insert(run, configuration, record(b"run: %d\n" % run))
    for _ in range(2):
        listed = await database.list_runs()
        assert {run: archived.configuration for run, archived in listed.items()} == {
            run: f"{run}/{configuration}" for run, configuration in names.items()
        }
        assert {archived.update for archived in listed.values()} == {0}
        database = await reopen()
    assert await database.find(100100) is None
    for run in names:
        assert (await held(database, run))["RunHistory", "e0"] == b"\nrun: %d \n" % run


async def test_runs_may_be_stored_at_once(database: ArtdaqDB) -> None:
    """Runs stored concurrently, while others are read, lose nothing to each other."""
    await database.insert(1, "demo", record(b"run: 1\n"))
    async with asyncio.TaskGroup() as group:
        for run in range(2, 5):
            group.create_task(database.insert(run, "demo", record(b"run: %d\n" % run)))
            group.create_task(database.export(1))
            group.create_task(database.list_runs())
    assert sorted(await database.list_runs()) == [1, 2, 3, 4]
    for run in range(1, 5):
        assert (await held(database, run))["RunHistory", "e0"] == b"\nrun: %d \n" % run


async def test_the_same_run_stored_at_once_is_stored_once(database: ArtdaqDB) -> None:
    """Of concurrent attempts at one run exactly one stores it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(database.insert(7, "demo", record(b"a: 1\n"))) for _ in range(3)]
    assert sorted(task.result() for task in tasks) == [False, False, True]
    assert len(await held(database, 7)) == 2


@pytest.mark.parametrize("text", [b"a: ]\n", b"a: {\n", b"", b"a: \xe9\n"], ids=["bracket", "open", "empty", "latin"])
async def test_text_that_is_not_fhicl_stores_nothing(database: ArtdaqDB, text: bytes) -> None:
    """One bad entity fails the whole insert or update, naming its file; nothing of it is there afterwards."""
    with pytest.raises(FhiclError, match=r"e1\.fcl:"):
        await database.insert(7, "demo", record(b"a: 1\n", text))
    assert await database.find(7) is None
    assert await database.insert(7, "demo", record(b"a: 2\n")) is True
    with pytest.raises(FhiclError, match=r"e1\.fcl:"):
        await database.update(7, "demo", record(b"a: 3\n", text))
    assert (await found(database, 7)).update == 0
    assert (await held(database, 7))["RunHistory", "e0"] == b"\na: 2 \n"


@pytest.mark.parametrize("steps", [1, 8, 64])
async def test_a_cancelled_insert_is_whole_or_nothing(database: ArtdaqDB, steps: int) -> None:
    """Whenever an insert is cancelled, the run is there whole or not at all, and a second attempt completes it."""
    entities = record(b"a: 1\n", b"b: 2\n", b"c: 3\n")
    task = asyncio.create_task(database.insert(7, "demo", entities))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    if await database.find(7) is not None:
        assert len(await held(database, 7)) == 4
    await database.insert(7, "demo", entities)
    assert len(await held(database, 7)) == 4
