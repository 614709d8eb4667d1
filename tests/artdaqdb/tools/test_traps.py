"""What the tools are known to do wrong, and what they cannot do, is an error and never taken for success."""

from __future__ import annotations

import asyncio
import os
import select
import tempfile
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.backends import through_tools
from archiverd.artdaqdb.filesystem.check import check_database
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.port import Entity
from archiverd.artdaqdb.tools import command
from archiverd.artdaqdb.tools.command import ProgramResult
from archiverd.artdaqdb.tools.store import ToolsDB
from archiverd.artdaqdb.tools.verdict import check_downloaded, check_loaded
from archiverd.config.models import ArtdaqDb
from archiverd.core.errors import ArtdaqDBError, Blame, ConfigurationError, Retry
from tests.artdaqdb.conformance import SCHEMA, held, record
from tests.artdaqdb.tools import standin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from archiverd.artdaqdb.port import ArchivedRun

PAIR = record(b"a: 1\n", b"b: 2\n")
PARSE_ERROR = """Caught fhicl::exception message=---- Parse error BEGIN
  detected at or near line 0, character 1, of file "<end>"
---- Parse error END

Failed loading file:bad.fcl
Error message:Process exited

Error: Failed to load 1 file(s)."""
NO_DIRECTORY = """Process exited with exception: Dynamic exception type: boost::filesystem::filesystem_error
std::exception::what: boost::filesystem::directory_iterator::construct: No such file or directory: "/nonexist"
"""


@pytest.fixture
def database(make_database: Callable[[], ToolsDB]) -> ToolsDB:
    """Return an adapter that needs no opening, so that others can write to its files."""
    return make_database()


@pytest.fixture
async def opened(database: ToolsDB) -> AsyncIterator[ToolsDB]:
    """Return an open, empty database."""
    await database.open()
    yield database
    await database.close()


def documents(tmp_path: Path) -> int:
    """Return how many documents of runs' files there are."""
    return len([path for path in (tmp_path / "db" / "RunHistory").glob("*.json") if path.name != "index.json"])


async def add(tmp_path: Path, entities: Sequence[Entity], version: str = "7/demo") -> None:
    """Put documents of run 7 into the database as another program would."""
    database = FileSystemDB(f"filesystemdb://{tmp_path}/db")
    await database.open()
    await database._write(lambda: database._tree.store(entities, "7/demo", version, 7))
    await database.close()


async def test_the_tools_are_called_as_they_have_to_be(
    make_database: Callable[[], ToolsDB], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread on files, the database and the libraries by the environment, and none of our secrets."""
    monkeypatch.setenv("ARCHIVERD_UCON_DB__WRITER_PASSWORD", "secret")
    monkeypatch.setenv("UCONDB_PASSWORD", "secret")
    await make_database().insert(7, "demo00001", PAIR)
    for call in standin.calls(bundle):
        assert (call["-r"], call["-c"], call["-t"]) == ("7", "demo00001", "1")
        assert call["uri"] == f"filesystemdb://{tmp_path}/db"
        assert call["library"].split(":")[0] == str(bundle)
        assert call["secrets"] == ""


async def test_libraries_beside_tools_of_path_are_found(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older tool's bundle keeps both in one directory, which its launcher puts on PATH."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{bundle}")
    database = through_tools(
        ArtdaqDb(database_uri=f"filesystemdb://{tmp_path}/db", fcl_conf_dir=tmp_path, call_timeout_seconds=60)
    )
    await database.insert(7, "demo00001", PAIR)
    assert str(bundle) not in standin.calls(bundle)[0]["library"].split(":")
    (bundle / "libartdaq-database_ConfigurationDB.so").touch()
    database = through_tools(
        ArtdaqDb(database_uri=f"filesystemdb://{tmp_path}/db", fcl_conf_dir=tmp_path, call_timeout_seconds=60)
    )
    await database.insert(8, "demo00001", PAIR)
    assert standin.calls(bundle)[-1]["library"].split(":")[0] == str(bundle)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("bulkloader:exit 0", "bulkloader failed with exit code 0: Failed loading file:x.fcl / Error: disk trouble"),
        ("bulkloader:fail", "bulkloader failed with exit code 1: Failed loading file:x.fcl"),
        ("bulkloader:silent", "but does not give back what was meant: e0"),
        ("bulkloader:sigfpe", r"exit code 136: it found nothing to do and divided by zero \(SIGFPE\)"),
        ("bulkdownloader:exit 0", "bulkdownloader failed with exit code 0: Error: Failed to export 1file"),
        ("bulkdownloader:sigfpe", "bulkdownloader failed with exit code 136"),
        ("bulkdownloader:wrong", r"Configuration 7/demo is already archived\."),
    ],
)
async def test_a_tool_that_fails_is_no_success_and_the_next_attempt_completes(
    database: ToolsDB, bundle: Path, tmp_path: Path, fault: str, message: str
) -> None:
    """Whatever its exit code, a tool's failure is an error, the run does not count, and nothing is stored twice."""
    if "bulkdownloader" in fault:
        await add(tmp_path, [PAIR[0]])
    (bundle / "fault").write_text(fault)
    with pytest.raises(ArtdaqDBError, match=message):
        await database.insert(7, "demo", PAIR)
    (bundle / "fault").unlink()
    assert await database.find(7) is None
    assert await database.insert(7, "demo", PAIR) is True
    assert len(await held(database, 7)) == 3
    assert documents(tmp_path) == 2


@pytest.mark.parametrize("fault", ["amid document", "amid indexing", "amid index"])
@pytest.mark.parametrize("others", [True, False])
async def test_a_loader_that_dies_amid_writing_leaves_nothing_behind(
    opened: ToolsDB, bundle: Path, tmp_path: Path, fault: str, others: bool
) -> None:
    """Half a document, one that is not indexed, half an index: the next attempt stores the run, each entity once."""
    if others:
        await opened.insert(5, "demo", PAIR)
    (bundle / "fault").write_text(f"bulkloader:{fault}")
    with pytest.raises(ArtdaqDBError, match="bulkloader failed with exit code 137"):
        await opened.insert(7, "demo", PAIR)
    (bundle / "fault").unlink()
    assert await opened.insert(7, "demo", PAIR) is True
    assert list(check_database(tmp_path / "db")) == []
    stored = [path for path in (tmp_path / "db").glob("*/*.json") if path.name != "index.json"]
    assert len([path for path in stored if path.parent.name != "SystemMetadata"]) == (6 if others else 3)


async def test_a_second_archiverd_is_refused(opened: ToolsDB, tmp_path: Path) -> None:
    """Another engine of archiverd's on the same files is refused while this one is open."""
    plain = FileSystemDB(f"filesystemdb://{tmp_path}/db")
    with pytest.raises(ArtdaqDBError, match="Another archiverd"):
        await plain.open()
    await opened.close()
    await plain.open()
    await plain.close()


async def test_a_server_that_is_away_is_not_the_runs_fault(database: ToolsDB, bundle: Path) -> None:
    """What the tools say of an unreachable server is tried again, and blamed on the database."""
    (bundle / "fault").write_text("unreachable")
    with pytest.raises(ArtdaqDBError, match="No suitable servers found") as caught:
        await database.insert(7, "demo", PAIR)
    assert (caught.value.retry, caught.value.blame) == (Retry.TRANSIENT, Blame.BACKEND)


async def test_what_was_left_of_another_record_is_refused(database: ToolsDB, tmp_path: Path) -> None:
    """Documents without a schema do not count as archived, but are never mixed with others' either."""
    await add(tmp_path, record(b"a: 2\n")[:1])
    with pytest.raises(ArtdaqDBError, match=r"Configuration 7/demo is already archived\.") as caught:
        await database.insert(7, "demo", PAIR)
    assert caught.value.context == {"difference": "its entity e0 is another"}
    assert documents(tmp_path) == 1


async def test_a_new_version_of_an_entity_is_refused_in_words(database: ToolsDB, tmp_path: Path) -> None:
    """The loader would store a second document under the same version, and the library pick one at random."""
    await database.insert(7, "demo", PAIR)
    with pytest.raises(ArtdaqDBError, match="bulkloader cannot update e1 of configuration 7/demo") as caught:
        await database.update(
            7, "demo", [Entity("RunHistory", "e1", b"b: 3\n"), Entity("RunHistory", "new", b"c: 1\n")]
        )
    assert "use_tools" in caught.value.remedy
    assert documents(tmp_path) == 2


async def test_updates_of_others_are_exported_as_far_as_the_library_orders_them(
    database: ToolsDB, tmp_path: Path
) -> None:
    """The newest of up to nine updates is exported; with ten the tools would give v9, and are not asked."""
    await add(tmp_path, PAIR)
    for number in range(1, 10):
        await add(tmp_path, record(b"a: %d\n" % (10 * number)), f"7/demov{number}")
    assert await held(database, 7) == {
        ("RunHistory", "e0"): b"\na: 90 \n",
        ("RunHistory", "e1"): b"\nb: 2 \n",
        ("SystemLayout", "schema"): b"\nrun_history: [] \n",
    }
    await add(tmp_path, record(b"a: 100\n"), "7/demov10")
    with pytest.raises(ArtdaqDBError, match="would export update 9 of 7/demo instead of 10"):
        await database.export(7)


@pytest.mark.parametrize(
    ("configuration", "entity"),
    [
        ("demo", Entity("Flags", "flags", b"a: 1\n")),
        ("demo", Entity("RunHistory", "myschema", b"a: 1\n")),
        ("demo", Entity("SystemLayout", "layout", b"a: 1\n")),
        ("demo", Entity("RunHistory", "x" * 251, b"a: 1\n")),
        ("-x", PAIR[0]),
        ("..", PAIR[0]),
        ("..7", PAIR[0]),
    ],
)
async def test_what_the_tools_would_store_elsewhere_is_refused(
    database: ToolsDB, bundle: Path, configuration: str, entity: Entity
) -> None:
    """A collection, entity or name that bulkloader or bulkdownloader would misread reaches neither."""
    with pytest.raises(ArtdaqDBError, match=r"cannot (store|take)"):
        await database.insert(7, configuration, [entity, SCHEMA])
    assert standin.calls(bundle) == []


@pytest.mark.parametrize("configuration", ["00017", 'it\'s $HOME `id` "q" ;& 7', "a.fcl"])
async def test_odd_names_of_configurations_come_back(database: ToolsDB, configuration: str) -> None:
    """A name of digits has no directory in the download, and no character means anything to anybody."""
    await database.insert(7, configuration, PAIR)
    assert {name for _, name in await held(database, 7)} == {"e0", "e1", "schema"}
    assert await database.insert(7, configuration, PAIR) is False


async def test_a_cancelled_call_leaves_no_process_and_no_file(
    database: ToolsDB, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool is killed with everything it started, and its directory is gone."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (bundle / "fault").write_text("bulkloader:hang")
    os.mkfifo(bundle / "child")
    task = asyncio.create_task(database.insert(7, "demo", PAIR))
    child = os.pidfd_open(int(await asyncio.to_thread((bundle / "child").read_text)))
    assert list((tmp_path / "scratch").rglob("e0.fcl"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ended, _, _ = await asyncio.to_thread(select.select, [child], [], [], 30)
    os.close(child)
    assert ended
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_program_has_its_time_and_no_more() -> None:
    """At the limit the program is killed; that is tried again and blamed on the database."""
    with pytest.raises(ArtdaqDBError, match=r"sleep did not end within 0\.05 s and was killed") as caught:
        await command.run_command(["sleep", "600"], os.environ, 0.05)
    assert (caught.value.retry, caught.value.blame) == (Retry.TRANSIENT, Blame.BACKEND)


async def test_a_program_that_writes_without_end_is_ended(
    database: ToolsDB, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither output fills the memory."""
    monkeypatch.setattr(command, "LONGEST_OUTPUT", 1 << 20)
    (bundle / "fault").write_text("flood")
    with pytest.raises(ArtdaqDBError, match="wrote without end"):
        await database.insert(7, "demo", PAIR)


async def test_a_password_that_a_tool_tells_is_hidden(tmp_path: Path) -> None:
    """What bulkloader says of its URI reaches the error without the password, and its options are complete."""
    program = tmp_path / "bulkdownloader"
    program.write_text('#!/bin/sh\necho "Error: cannot use $ARTDAQ_DATABASE_URI" >&2\nexit 1\n')
    program.chmod(0o755)
    database = through_tools(
        ArtdaqDb(database_uri="mongodb://w:s3%40cret@db/archive", conftoolp_dir=tmp_path, call_timeout_seconds=60),
        Elsewhere(),
    )
    with pytest.raises(ArtdaqDBError, match=r"cannot use mongodb://w:\*\*\*@db/archive") as caught:
        await database.insert(7, "demo", PAIR)
    assert "s3" not in f"{caught.value.message} {caught.value.context}"


async def test_what_is_said_last_on_standard_error_is_kept() -> None:
    """A verdict after any amount of noise is still read."""
    script = "yes 0123456789 | head -c 300000 >&2; echo verdict >&2; exit 3"
    outcome = await command.run_command(["sh", "-c", script], os.environ, 60)
    assert outcome.code == 3
    assert outcome.stderr.endswith("verdict\n")
    assert len(outcome.stderr) == command.LONGEST_COMPLAINT


async def test_missing_tools_are_told_at_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the programs nothing is begun, and the setting to correct is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    database = through_tools(
        ArtdaqDb(database_uri=f"filesystemdb://{tmp_path}/db", conftoolp_dir=tmp_path, call_timeout_seconds=60)
    )
    with pytest.raises(ArtdaqDBError, match=r"bulkloader is neither in artdaq_db\.conftoolp_dir nor on PATH"):
        await database.open()


async def test_tools_on_path_are_found(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a directory the programs of PATH are used."""
    monkeypatch.setenv("PATH", f"{bundle}:{os.environ['PATH']}")
    database = through_tools(ArtdaqDb(database_uri=f"filesystemdb://{tmp_path}/db", call_timeout_seconds=60))
    await database.open()
    assert await database.insert(7, "demo", PAIR)
    await database.close()


async def test_a_damaged_index_is_not_an_empty_database(database: ToolsDB, tmp_path: Path) -> None:
    """A list of runs that cannot be read is an error: all runs would be stored again."""
    (tmp_path / "db" / "SystemLayout").mkdir(parents=True)
    (tmp_path / "db" / "SystemLayout" / "index.json").write_text('{"ouid": 1}')
    with pytest.raises(ArtdaqDBError, match="SearchIndex is corrupt"):
        await database.open()


class Elsewhere:
    """Notes what it is asked to run, and holds nothing."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    async def check(self) -> None:
        pass

    async def load(self, words: Sequence[str], files: Mapping[str, bytes]) -> ProgramResult:
        self.asked.append(words)
        return ProgramResult(0, b"Loaded %d files with 4 threads in 1 msecs.\n" % len(files), "")

    async def download(self, _words: Sequence[str]) -> tuple[ProgramResult, Mapping[str, bytes]]:
        return ProgramResult(1, b"", "  No results found for 7/demo\n"), {}

    async def read(self, _path: Path) -> bytes | None:
        raise AssertionError

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        return {}

    async def find(self, _run: int) -> ArchivedRun | None:
        return None


async def test_mongodb_needs_somebody_who_lists_and_may_be_loaded_in_parallel() -> None:
    """The tools list nothing, so another backend has to; only on files are threads of bulkloader harmful."""
    host = Elsewhere()
    with pytest.raises(ConfigurationError, match="cannot list what a MongoDB holds"):
        ToolsDB("mongodb://db/archive", host)
    database = ToolsDB("mongodb://db/archive", host, listing=host)
    with pytest.raises(ArtdaqDBError, match="does not give back what was meant"):
        await database.insert(7, "demo", PAIR)
    assert host.asked == [["bulkloader", "-r", "7", "-c", "demo", "-t", "4"]]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (ProgramResult(1, b"Loaded 2 files with 1 threads in 20 msecs.\n", PARSE_ERROR), "Failed loading file:bad.fcl"),
        (ProgramResult(144, b"", NO_DIRECTORY), "exit code 144: Process exited with exception: Dynamic exception type"),
        (ProgramResult(136, b"", ""), "SIGFPE"),
        (ProgramResult(0, b"", ""), "it said nothing"),
        (ProgramResult(0, b"Loaded 1 files with 1 threads in 20 msecs.\n", ""), "Loaded 1 files"),
    ],
)
def test_recorded_verdicts_of_bulkloader(outcome: ProgramResult, reason: str) -> None:
    """What the real program said of failures is taken for one, with its reason in the message."""
    with pytest.raises(ArtdaqDBError, match=reason):
        check_loaded(outcome, 2, 7)


def test_recorded_verdicts_of_success() -> None:
    """What the real programs said of success, and of a configuration that is not there."""
    check_loaded(
        ProgramResult(0, b"Loaded 8 files with 1 threads in 118 msecs.\nAvarage file load time is 14 msecs.\n", ""),
        8,
        7,
    )
    downloaded = b"Downloaded 9 files with 1 threads in 109 msecs.\nAvarage file load time is 12 msecs.\n"
    assert check_downloaded(ProgramResult(0, downloaded, ""), 9, 7)
    assert not check_downloaded(ProgramResult(1, b"", standin.NOTHING.format("9999/none00001")), 0, 9999)
    with pytest.raises(ArtdaqDBError, match="bulkdownloader failed"):
        check_downloaded(ProgramResult(0, downloaded, ""), 8, 7)
