"""The library misbehaves; nothing is lost, doubled or believed wrongly."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.conftoolp.store import ConftoolpDB
from archiverd.artdaqdb.filesystem.check import check_database
from archiverd.artdaqdb.filesystem.repair import INTENT
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.port import Entity
from archiverd.core.errors import ArtdaqDBError, Blame, ConfigurationError, FhiclError, Retry
from tests.artdaqdb.conformance import SCHEMA, record, spelled
from tests.artdaqdb.conftoolp.conftest import STANDIN, library_settings
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from archiverd.artdaqdb.port import ArtdaqDB

RUN = record(b"a: 1\n", b"b: 2\n")


@pytest.fixture
async def database(make_database: Callable[..., ConftoolpDB]) -> AsyncIterator[ConftoolpDB]:
    """Return an empty, open database."""
    opened = make_database()
    await opened.open()
    yield opened
    await opened.close()


def documents(tmp_path: Path) -> int:
    """Count the documents of runs."""
    every = (tmp_path / "db").glob("*/*.json")
    return sum(path.name != "index.json" and path.parent.name != "SystemMetadata" for path in every)


def document(tmp_path: Path, name: str) -> str:
    """Return the stored document of an entity of RunHistory."""
    every = (path.read_text() for path in (tmp_path / "db" / "RunHistory").glob("*.json") if path.name != "index.json")
    return next(text for text in every if f'"name" : "{name}"' in text)


async def texts(database: ArtdaqDB, run: int) -> dict[str, bytes]:
    """Return a run's export by entity name."""
    return {one.name: one.fcl for one in await database.export(run)}


async def attempts(database: ConftoolpDB, run: int, entities: list[Entity]) -> int:
    """Import a run as a daemon does, again after every passing failure; return how many there were."""
    for failures in range(30):
        try:
            await database.insert(run, "demo", entities)
        except ArtdaqDBError as error:
            if error.retry is not Retry.TRANSIENT:
                raise
        else:
            return failures
    pytest.fail(f"run {run} is not imported after 30 attempts")


READING = ("find_configurations", "find_versions", "configuration_composition", "read_document")


@pytest.mark.parametrize("fault", ["abort", "kill", "abort-after", "kill-after"])
async def test_a_crash_in_a_store_is_made_good_by_the_next_attempt(
    database: ConftoolpDB, tmp_path: Path, faults: Path, fault: str
) -> None:
    """Whether the library ends its process before or after its effect, the run is stored once by doing it again."""
    (faults / "write_document.once").write_text(fault)
    with pytest.raises(ArtdaqDBError, match=r"conftoolp was ended by SIG.* in write_document") as caught:
        await database.insert(7, "demo", RUN)
    assert caught.value.retry is Retry.TRANSIENT
    assert await database.find(7) is None
    assert await database.insert(7, "demo", RUN) is True
    assert documents(tmp_path) == 3
    assert await texts(database, 7) == {"e0": b"\na: 1 \n", "e1": b"\nb: 2 \n", "schema": spelled(SCHEMA.fcl)}


@pytest.mark.parametrize("function", READING)
async def test_a_crash_in_a_question_is_not_even_noticed(
    database: ConftoolpDB, tmp_path: Path, faults: Path, function: str
) -> None:
    """What changes nothing is asked again at once: the import goes on."""
    (faults / f"{function}.once").write_text("abort")
    assert await database.insert(7, "demo", RUN) is True
    assert len(await database.export(7)) == 3
    assert not (faults / f"{function}.once").exists()
    assert documents(tmp_path) == 3


async def test_a_question_that_always_kills_is_given_up(database: ConftoolpDB, faults: Path) -> None:
    """After three workers died of the same question it fails, to be tried again later."""
    (faults / "find_configurations.always").write_text("kill")
    with pytest.raises(ArtdaqDBError, match="conftoolp was ended by SIGKILL in find_configurations") as caught:
        await database.find(7)
    assert caught.value.retry is Retry.TRANSIENT
    asked = (faults / "calls").read_text().count("find_configurations")
    assert asked == 3


@pytest.mark.parametrize("fault", ["hang", "hang-after"])
async def test_a_hang_is_ended_at_its_deadline(
    make_database: Callable[..., ConftoolpDB], tmp_path: Path, faults: Path, fault: str
) -> None:
    """A store that does not return is killed, blamed on the database, and made good by the next attempt."""
    database = make_database(2.0)
    await database.open()
    (faults / "write_document.once").write_text(fault)
    with pytest.raises(ArtdaqDBError, match="did not return from write_document within 2 s") as caught:
        await database.insert(7, "demo", RUN)
    assert (caught.value.retry, caught.value.blame) == (Retry.TRANSIENT, Blame.BACKEND)
    assert await database.insert(7, "demo", RUN) is True
    assert documents(tmp_path) == 3
    await database.close()


@pytest.mark.parametrize("moment", ["amid-document", "amid-indexing", "amid-index"])
async def test_a_library_killed_while_it_writes_leaves_nothing_behind(
    database: ConftoolpDB, tmp_path: Path, faults: Path, moment: str
) -> None:
    """Half a document, one that is not indexed, half an index: all is as if the call had been made, or had not been."""
    await database.insert(5, "demo", RUN)
    (faults / "write_document.once").write_text(f"kill-{moment}")
    with pytest.raises(ArtdaqDBError, match="conftoolp was ended by SIGKILL in write_document"):
        await database.insert(7, "demo", RUN)
    assert list(check_database(tmp_path / "db")) == [], "mended at once, not by the next attempt"
    assert sorted(await database.list_runs()) == [5]
    assert await database.insert(7, "demo", RUN) is True
    assert documents(tmp_path) == 6
    assert list(check_database(tmp_path / "db")) == []
    assert await texts(database, 7) == await texts(database, 5)
    assert not (tmp_path / "db" / INTENT).exists()


async def test_a_crash_in_a_search_harms_no_store_that_is_under_way(
    database: ConftoolpDB, tmp_path: Path, faults: Path
) -> None:
    """While one run is being stored, the library dies in another's search and then in the store: both succeed."""
    (faults / "write_document.always").write_text("sleep: 0.05")
    storing = asyncio.create_task(database.insert(7, "demo", record(*(b"a: %d\n" % n for n in range(8)))))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while documents(tmp_path) < 2:
            await asyncio.sleep(0.005)
        (faults / "find_configurations.once").write_text("kill")
        assert await database.find(8) is None
        assert not (faults / "find_configurations.once").exists()
        before = documents(tmp_path)
        while documents(tmp_path) <= before:
            await asyncio.sleep(0.005)
        (faults / "write_document.once").write_text("kill-amid-indexing")
        with pytest.raises(ArtdaqDBError, match="SIGKILL in write_document"):
            await storing
    (faults / "write_document.always").unlink()
    assert list(check_database(tmp_path / "db")) == []
    assert await database.insert(7, "demo", record(*(b"a: %d\n" % n for n in range(8)))) is True
    assert documents(tmp_path) == 9


KINDS = [
    *(f"{kind}{when}" for kind in ("abort", "kill", "hang") for when in ("", "-after")),
    *(f"{kind}-amid-{what}" for kind in ("abort", "kill") for what in ("document", "indexing", "index")),
]


async def test_a_hundred_imports_under_random_faults(
    make_database: Callable[..., ConftoolpDB], tmp_path: Path, faults: Path
) -> None:
    """With the library killed, hung and aborting at random, every run is stored, none lost and none twice."""
    database = make_database(0.5)
    await database.open()
    (faults / "random.json").write_text(json.dumps({"seed": 20261124, "rate": 0.03, "faults": KINDS}))
    failures = 0
    for run in range(1, 101):
        failures += await attempts(database, run, record(b"run: %d\n" % run))
    (faults / "random.json").unlink()
    assert failures > 10
    await database.close()
    assert documents(tmp_path) == 200
    assert list(check_database(tmp_path / "db")) == []
    plain = FileSystemDB(f"filesystemdb://{tmp_path}/db")
    await plain.open()
    assert sorted(await plain.list_runs()) == list(range(1, 101))
    for run in range(1, 101):
        assert (await texts(plain, run))["e0"] == b"\nrun: %d \n" % run
    await plain.close()


STORING = """
import asyncio, sys
from tests.artdaqdb.conftoolp.conftest import STANDIN, library_settings
from tests.artdaqdb.conftoolp.test_store import RUN
from archiverd.artdaqdb.conftoolp.store import ConftoolpDB

async def main():
    database = ConftoolpDB(library_settings(sys.argv[1], STANDIN, seconds=600), 1)
    await database.open()
    await database.insert(7, "demo", RUN)

asyncio.run(main())
"""


async def test_a_daemon_killed_while_the_library_stores_leaves_nothing_to_a_human(
    make_database: Callable[..., ConftoolpDB], tmp_path: Path, faults: Path
) -> None:
    """Killed with half an index written and the library hung: the next start repairs it, and the run is stored once."""
    (faults / "write_document.once").write_text("hang-amid-index")
    command = [sys.executable, "-c", STORING, f"filesystemdb://{tmp_path}/db"]
    daemon = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (faults / "write_document.once").exists() or documents(tmp_path) < 1:
            await asyncio.sleep(0.01)
        index = tmp_path / "db" / "RunHistory" / "index.json"
        while not index.exists() or index.read_bytes().endswith(b"}"):
            await asyncio.sleep(0.01)
        daemon.kill()
        await daemon.wait()
        database = make_database()
        while True:
            try:
                await database.open()
            except ArtdaqDBError as error:
                if "Another archiverd" not in error.message:
                    raise
                await asyncio.sleep(0.01)  # the child it left is on its way out
            else:
                break
    assert await database.insert(7, "demo", RUN) is True
    assert documents(tmp_path) == 3
    assert list(check_database(tmp_path / "db")) == []
    await database.close()


async def test_a_second_archiverd_is_refused(database: ConftoolpDB, tmp_path: Path) -> None:
    """Whichever engine it uses, a second writer is refused as long as the first is open."""
    assert database.pids
    uri = f"filesystemdb://{tmp_path}/db"
    for second in (FileSystemDB(uri), ConftoolpDB(library_settings(uri, STANDIN, seconds=30), 1)):
        with pytest.raises(ArtdaqDBError, match="Another archiverd"):
            await second.open()
    await database.close()
    plain = FileSystemDB(f"filesystemdb://{tmp_path}/db")
    await plain.open()
    await plain.close()


async def test_a_directory_that_cannot_be_written_is_told(
    make_database: Callable[..., ConftoolpDB], tmp_path: Path
) -> None:
    """The error of a database whose directory cannot be made has the file system's words."""
    (tmp_path / "db").write_text("a file")
    with pytest.raises(ArtdaqDBError, match=r"Failed to access artdaqDB: .*File exists") as caught:
        await make_database().open()
    assert f"check {tmp_path}/db" in caught.value.remedy


async def test_a_half_written_run_is_completed_or_refused(database: ConftoolpDB, tmp_path: Path, faults: Path) -> None:
    """Documents without one in SystemLayout are no run; the same record completes them, another is refused."""
    (faults / "write_document.once").write_text("abort-after")
    with pytest.raises(ArtdaqDBError):
        await database.insert(7, "demo", RUN)
    assert documents(tmp_path) == 1
    with pytest.raises(ArtdaqDBError, match="already archived") as caught:
        await database.insert(7, "demo", record(b"a: 3\n", b"b: 2\n"))
    assert "its entity e0 is another" in caught.value.remedy
    assert documents(tmp_path) == 1
    assert await database.insert(7, "demo", RUN) is True
    assert documents(tmp_path) == 3


async def test_a_half_written_update_is_completed(database: ConftoolpDB, tmp_path: Path, faults: Path) -> None:
    """An interrupted update gets the same version when it is repeated, and no document twice."""
    await database.insert(7, "demo", RUN)
    (faults / "write_document.once").write_text("kill-after")
    with pytest.raises(ArtdaqDBError):
        await database.update(7, "demo", record(b"a: 3\n"))
    assert await database.update(7, "demo", record(b"a: 3\n")) == "7/demov1"
    assert documents(tmp_path) == 5
    assert await texts(database, 7) == {"e0": b"\na: 3 \n", "e1": b"\nb: 2 \n", "schema": spelled(SCHEMA.fcl)}


async def test_a_store_that_is_cancelled_goes_on(database: ConftoolpDB, tmp_path: Path) -> None:
    """A cancelled caller leaves at once, the library is not killed in its work, and closing waits for it."""
    task = asyncio.create_task(database.insert(7, "demo", RUN))
    pids = database.pids
    async with asyncio.timeout(DEADLINE_SECONDS):
        while documents(tmp_path) < 1:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.insert(7, "demo", RUN) is False, "the second waits for its turn and finds the first's"
    assert database.pids == pids
    assert documents(tmp_path) == 3


async def test_closing_does_not_wait_for_a_hung_library(
    database: ConftoolpDB, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that hangs is given a while, then its child is killed and the database closed."""
    monkeypatch.setattr("archiverd.artdaqdb.conftoolp.store.CLOSE_SECONDS", 0.2)
    (faults / "find_configurations.once").write_text("hang")
    task = asyncio.create_task(database.find(7))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (faults / "find_configurations.once").exists():
            await asyncio.sleep(0.01)
        await database.close()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert database.pids == []


@pytest.mark.parametrize(
    ("function", "answer", "told"),
    [
        ("find_configurations", "answer: nonsense", "conftoolp.find_configurations answered wrongly: 'nonsense'"),
        ("find_configurations", 'answer: {"search": [{}]}', "is no list of names"),
        ("find_versions", "answer: []", "is no list of names"),
        ("read_document", "answer: nonsense", "e0 of 7/demo is no document"),
        ("read_document", "refuse: No documents found.", "no version of 7/demo has its entity e0"),
        (
            "configuration_composition",
            (
                'answer: {"search": [{"name": "8/demo:x", "query": {"collection": "RunHistory", '
                '"filter": {"configurations.name": "8/demo", "entities.name": "x"}}}]}'
            ),
            "asked for 7/demo, it tells of 8/demo",
        ),
        ("read_document", "refuse: something new", "conftoolp.read_document: something new"),
        ("find_versions", "refuse: SearchIndex is corrupt and needs to be rebuilt, path=/x", "SearchIndex is corrupt"),
    ],
)
async def test_wrong_answers_are_not_believed(
    database: ConftoolpDB, faults: Path, function: str, answer: str, told: str
) -> None:
    """An answer to another question, or to none, fails the export in words; nothing is exported from it."""
    await database.insert(7, "demo", RUN)
    (faults / f"{function}.always").write_text(answer)
    with pytest.raises(ArtdaqDBError) as caught:
        await database.export(7)
    assert told in caught.value.message
    assert caught.value.remedy
    (faults / f"{function}.always").unlink()
    assert len(await database.export(7)) == 3


async def test_another_runs_document_is_not_exported(database: ConftoolpDB, tmp_path: Path, faults: Path) -> None:
    """A document with the right names but of another run is refused, naming that run."""
    await database.insert(7, "demo", RUN)
    before, runs, after = document(tmp_path, "e0").rpartition('"runs"')
    (faults / "read_document.always").write_text("answer: " + before + runs + after.replace('"7"', '"8"', 1))
    with pytest.raises(ArtdaqDBError, match="e0 of 7/demo is of run 8 in collection RunHistory"):
        await database.export(7)


@pytest.mark.parametrize("name", ["e1", "of another version"])
async def test_another_document_is_not_exported(database: ConftoolpDB, tmp_path: Path, faults: Path, name: str) -> None:
    """Another entity's or version's document is no answer, as if none had been given (A.6.3)."""
    await database.insert(7, "demo", RUN)
    answer = document(tmp_path, name) if name == "e1" else document(tmp_path, "e0").replace("7/demo", "7/demov1")
    (faults / "read_document.always").write_text(f"answer: {answer}")
    with pytest.raises(ArtdaqDBError, match="no version of 7/demo has its entity e0"):
        await database.export(7)


async def test_a_document_that_is_not_given_back_is_not_stored_twice(
    database: ConftoolpDB, tmp_path: Path, faults: Path
) -> None:
    """If a half-written run's document is listed but another is given, nothing is stored in its place."""
    (faults / "write_document.once").write_text("abort-after")
    with pytest.raises(ArtdaqDBError):
        await database.insert(7, "demo", RUN)
    (faults / "read_document.always").write_text("refuse: No documents found.")
    with pytest.raises(ArtdaqDBError, match="7/demo has an entity e0, but it gives another"):
        await database.insert(7, "demo", RUN)
    assert documents(tmp_path) == 1


async def test_a_store_that_did_nothing_is_noticed(database: ConftoolpDB, tmp_path: Path, faults: Path) -> None:
    """If the library says that it stored and did not, the run does not become archived."""
    (faults / "write_document.always").write_text("answer: a: 1")
    with pytest.raises(ArtdaqDBError, match="is not what was stored: it lacks e0"):
        await database.insert(7, "demo", RUN)
    assert await database.find(7) is None
    assert documents(tmp_path) == 0


async def test_bad_fhicl_never_reaches_the_library(database: ConftoolpDB, faults: Path) -> None:
    """Text that could end the library's process is refused without a call."""
    (faults / "write_document.always").write_text("abort")
    (faults / "find_configurations.always").write_text("abort")
    with pytest.raises(FhiclError, match=r"e0\.fcl:1:"):
        await database.insert(7, "demo", record(b"a: ]\n"))


async def test_an_export_asks_once_for_each_entity(database: ConftoolpDB, faults: Path) -> None:
    """With an update in order, the library's idea of the newest is ours, and no call is spent on older versions."""
    await database.insert(7, "demo", RUN)
    await database.update(7, "demo", record(b"a: 3\n"))
    (faults / "calls").unlink()
    assert await texts(database, 7) == {"e0": b"\na: 3 \n", "e1": b"\nb: 2 \n", "schema": spelled(SCHEMA.fcl)}
    assert (faults / "calls").read_text().count("read_document") == 3


async def test_an_unreachable_mongodb_is_to_be_tried_again(database: ConftoolpDB, faults: Path) -> None:
    """The driver's words for a server that does not answer are TRANSIENT and blamed on the server."""
    (faults / "find_versions.always").write_text("refuse: No suitable servers found: [connection refused]")
    (faults / "find_configurations.always").write_text("refuse: No suitable servers found: [connection refused]")
    with pytest.raises(ArtdaqDBError, match=r"Failed to get configurations: .*No suitable servers") as caught:
        await database.list_runs()
    assert (caught.value.retry, caught.value.blame) == (Retry.TRANSIENT, Blame.BACKEND)


async def test_a_mongodbs_words_for_nothing_are_understood(database: ConftoolpDB, faults: Path) -> None:
    """Composition and load of a MongoDB say otherwise than a FileSystemDB's that there is nothing."""
    (faults / "configuration_composition.once").write_text("refuse: No results found for 7/demo")
    assert await database.insert(7, "demo", RUN) is True
    assert await database.insert(7, "demo", RUN) is False


async def test_a_missing_bundle_fails_the_opening(tmp_path: Path) -> None:
    """Opening a database without conftoolp is an error in the guide's words, and no child stays."""
    database = ConftoolpDB(library_settings(f"filesystemdb://{tmp_path}/db", tmp_path, seconds=30), 1)
    with pytest.raises(ArtdaqDBError, match="ModuleNotFoundError: No module named 'conftoolp'") as caught:
        await database.open()
    assert "conftoolp_dir" in caught.value.remedy
    assert database.pids == []


@pytest.mark.parametrize("text", ["import os; os.abort()", "import os; os._exit(3)", "1/0"])
async def test_a_library_that_does_not_live_to_be_used_is_told(tmp_path: Path, text: str) -> None:
    """However its import ends, opening and checking say so in words, and the database is not touched by a check."""
    (tmp_path / "conftoolp.py").write_text(text)
    database = ConftoolpDB(library_settings(f"filesystemdb://{tmp_path}/db", tmp_path, seconds=30), 1)
    with pytest.raises(ArtdaqDBError, match="conftoolp"):
        await database.check_import()
    assert not (tmp_path / "db").exists()
    with pytest.raises(ArtdaqDBError, match="conftoolp"):
        await database.open()
    assert database.pids == []


@pytest.mark.parametrize("uri", ["filesystemdb://relative", "filesystemdb:///a b", "mongo://host/db", "", "/data/db"])
def test_a_uri_the_library_would_misread_is_refused(uri: str) -> None:
    """The library does not complain of a scheme it does not know, so we do."""
    with pytest.raises(ConfigurationError, match=r"artdaq_db\.database_uri"):
        ConftoolpDB(library_settings(uri, STANDIN, seconds=30), 1)


async def test_a_name_the_library_takes_for_a_pattern_is_refused(database: ConftoolpDB) -> None:
    """A star at the end of a name would match other runs' configurations."""
    with pytest.raises(ArtdaqDBError, match="conftoolp cannot look for"):
        await database.insert(7, "demo*", RUN)
    with pytest.raises(ArtdaqDBError, match="conftoolp cannot look for"):
        await database.insert(7, "demo", [Entity("RunHistory", "e*", b"a: 1\n"), SCHEMA])


def test_only_a_mongodb_is_given_several_workers(tmp_path: Path) -> None:
    """The library locks nothing on files, so there is one writer, however many are configured."""
    files = ConftoolpDB(library_settings(f"filesystemdb://{tmp_path}/db", STANDIN, seconds=30), 4)
    assert files.workers == 1
    assert ConftoolpDB(library_settings("mongodb://127.0.0.1:1/db", STANDIN, seconds=30), 4).workers == 4
