"""artdaqDB's lines, through every backend: each fault is made for real, told, and mended as the line says."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archiverd.artdaqdb.filesystem.lock import take_lock
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.port import Entity
from archiverd.doctor.finding import Status
from archiverd.process.lock import LockFile
from tests.artdaqdb.mongo.scripted import Scripted
from tests.artdaqdb.tools import standin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .conftest import House

CONFTOOLP = Path(__file__).parents[1] / "artdaqdb" / "conftoolp" / "standin" / "conftoolp.py"
SCHEMA = Path(__file__).parents[2] / "src" / "archiverd" / "artdaqdb" / "schema.fcl"


async def store_run(house: House) -> None:
    """Put one run into the database."""
    database = FileSystemDB(f"filesystemdb://{house.database}")
    await database.open()
    await database.insert(7, "demo", [Entity(name, name.lower(), b"a: 1\n") for name in ("RunHistory", "SystemLayout")])
    await database.close()


async def test_a_schema_that_is_not_there(house: House) -> None:
    """Both of the runbook's messages, word for word; each remedy is followed."""
    directory = house.root / "conf"
    house.change("artdaq_db", fcl_conf_dir=str(directory))
    line = (await house.look())["schema.fcl"]
    assert (line.status, line.message) == (Status.FAILED, f"FCL confdir '{directory}' is not a directory")
    assert "artdaq_db.fcl_conf_dir" in line.remedy
    directory.mkdir()
    line = (await house.look())["schema.fcl"]
    assert (line.status, line.message) == (Status.FAILED, f"Schema not found at {directory}/schema.fcl")
    (directory / "schema.fcl").write_bytes(b"main: {\n")
    assert (await house.look())["schema.fcl"].status is Status.FAILED
    shutil.copy(SCHEMA, directory)
    assert (await house.look())["schema.fcl"].status is Status.OK
    house.change("artdaq_db", fcl_conf_dir=None)
    assert (await house.look())["schema.fcl"].status is Status.OK


async def test_a_uri_with_too_few_slashes(house: House) -> None:
    """The form is told: three slashes."""
    house.change("artdaq_db", database_uri="filesystemdb://relative/path")
    line = (await house.look())["artdaqDB URI"]
    assert line.status is Status.FAILED
    assert "three slashes" in line.remedy
    house.change("artdaq_db", database_uri="couchdb://x")
    assert "filesystemdb:///absolute/path" in (await house.look())["artdaqDB URI"].remedy


def test_a_database_directory_without_permission(house: House) -> None:
    """The runbook's `Failed to get configurations` names the collection that may not be written; chmod mends it."""
    asyncio.run(store_run(house))
    assert house.look_unprivileged()["artdaqDB directory"].status is Status.OK
    for place in (house.database / "RunHistory", house.database):
        place.chmod(0o400)
        line = house.look_unprivileged()["artdaqDB directory"]
        assert line.status is Status.FAILED
        assert line.message.startswith("Failed to get configurations: ")
        assert "Permission denied" in line.message
        assert f"chmod -R u+rwX {house.database}" in line.remedy
        subprocess.run(["chmod", "-R", "u+rwX", str(house.database)], check=True)
    assert house.look_unprivileged()["artdaqDB directory"].status is Status.OK


async def test_a_database_that_is_a_file(house: House) -> None:
    """A path that is no directory is told with the key."""
    house.database.write_text("")
    line = (await house.look())["artdaqDB directory"]
    assert (line.status, line.remedy) == (Status.FAILED, "correct artdaq_db.database_uri")


async def test_another_writer(house: House) -> None:
    """Two work directories on one database: the other's process is named; once it ends, the line is well."""
    await store_run(house)
    assert (await house.look())["artdaqDB writer"].status is Status.OK
    other = take_lock(house.database)
    line = (await house.look())["artdaqDB writer"]
    assert line.status is Status.FAILED
    assert f"(process {os.getpid()}: " in line.message
    assert "one writer at a time" in line.remedy
    ours = LockFile(house.work / ".archiver.lock")
    ours.acquire()
    assert (await house.look())["artdaqDB writer"].status is Status.OK
    ours.release()
    os.close(other)
    assert (await house.look())["artdaqDB writer"].status is Status.OK


async def test_a_database_that_the_group_cannot_read(house: House) -> None:
    """What a narrow umask left behind is a warning, with chmod and app.umask as its remedy."""
    await store_run(house)
    assert (await house.look())["artdaqDB group access"].status is Status.OK
    (house.database / "SystemLayout").chmod(0o700)
    line = (await house.look())["artdaqDB group access"]
    assert line.status is Status.WARNING
    assert "app.umask" in line.remedy
    subprocess.run(["chmod", "-R", "g+rX", str(house.database)], check=True)
    assert (await house.look())["artdaqDB group access"].status is Status.OK


@pytest.mark.parametrize(("left", "words"), [(-20, "SearchIndex is corrupt"), (None, "is not there, though documents")])
async def test_a_damaged_index(house: House, left: int | None, words: str) -> None:
    """The library's own words, or that it is lost, the collection, and the command that makes its index anew."""
    await store_run(house)
    found = (await house.look())["artdaqDB indexes"]
    assert (found.status, found.message.split(";")[0]) == (Status.OK, "2 collections, 1 configurations")
    index = house.database / "RunHistory" / "index.json"
    if left is None:
        index.unlink()
    else:
        index.write_bytes(index.read_bytes()[:left])
    line = (await house.look())["artdaqDB indexes"]
    assert line.status is Status.FAILED
    assert words in line.message
    assert "archiverd artdaqdb rebuild-index RunHistory" in line.remedy
    assert house.run("artdaqdb", "rebuild-index", "RunHistory").returncode == 0
    assert (await house.look())["artdaqDB indexes"].status is Status.OK


def make_bundle(house: House) -> Path:
    """Configure the stand-in of the experiment's library."""
    directory = house.root / "lib"
    directory.mkdir()
    house.change("artdaq_db", conftoolp_dir=str(directory), conftoolp_python=sys.executable)
    return directory


async def test_conftoolp_that_is_not_there(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runbook's `No module named 'conftoolp'`; with the module there it is imported in a child of its own."""
    monkeypatch.setenv("CONFTOOLP_FAULTS", str(house.root))
    directory = make_bundle(house)
    found = await house.look()
    assert found["conftoolp bundle"].status is Status.FAILED
    assert "No module named 'conftoolp'" in found["conftoolp bundle"].message
    assert "artdaq_db.conftoolp_dir" in found["conftoolp bundle"].remedy
    assert found["conftoolp import"].status is Status.SKIPPED
    shutil.copy(CONFTOOLP, directory)
    found = await house.look()
    assert found["conftoolp bundle"].status is Status.WARNING
    assert "_conftoolp.so" in found["conftoolp bundle"].message
    assert found["conftoolp import"].status is found["artdaqDB directory"].status is Status.OK
    assert not house.database.exists(), "a check made a database"


async def test_conftoolp_for_another_python(house: House) -> None:
    """What Python says of the import is told; so is an interpreter that is not there."""
    directory = make_bundle(house)
    (directory / "conftoolp.py").write_text("raise ImportError('undefined symbol: _Py_x')\n")
    line = (await house.look())["conftoolp import"]
    assert line.status is Status.FAILED
    assert "Failed to import 'conftoolp'. Ensure artdaq_database env is set up." in line.message
    assert "undefined symbol" in line.message
    house.change("artdaq_db", conftoolp_python=str(house.root / "nopython"))
    line = (await house.look())["conftoolp import"]
    assert line.status is Status.FAILED
    assert "artdaq_db.conftoolp_python" in line.remedy


async def test_a_shared_library_that_is_missing(house: House) -> None:
    """The runbook's `cannot open shared object file` names the library before anything is imported."""
    compiler = shutil.which("c++") or shutil.which("cc")
    if compiler is None or shutil.which("ldd") is None:
        pytest.skip("needs a compiler and ldd")
    directory = make_bundle(house)
    shutil.copy(CONFTOOLP, directory)
    source = directory / "empty.c"
    source.write_text("int answer;\n")
    shared = [compiler, "-shared", "-fPIC", "-x", "c", str(source)]
    needed = directory / "libartdaq-database_ConfigurationDB.so"
    subprocess.run([*shared, "-o", str(needed)], check=True)
    link = ["-x", "none", "-Wl,--no-as-needed", f"-L{directory}", "-lartdaq-database_ConfigurationDB"]
    subprocess.run([*shared, "-o", str(directory / "_conftoolp.so"), *link], check=True)
    assert (await house.look())["conftoolp libraries"].status is Status.OK
    needed.rename(directory / "elsewhere")
    line = (await house.look())["conftoolp libraries"]
    assert line.status is Status.FAILED
    assert "libartdaq-database_ConfigurationDB.so: cannot open shared object file" in line.message
    assert str(directory) in line.remedy
    (directory / "elsewhere").rename(needed)
    assert (await house.look())["conftoolp libraries"].status is Status.OK
    (directory / "_conftoolp.so").write_text("not a library")
    assert (await house.look())["conftoolp libraries"].status is Status.FAILED


async def test_tools_that_are_not_there(house: House) -> None:
    """The programs bulkloader and bulkdownloader are looked for where they would be; put there, they are found."""
    bundle = house.root / "bundle"
    house.change("artdaq_db", use_tools=True, conftoolp_dir=str(bundle))
    line = (await house.look())["artdaqDB tools"]
    assert line.status is Status.FAILED
    assert "bulkloader" in line.message
    assert "artdaq_db.conftoolp_dir" in line.remedy
    standin.install(bundle)
    assert (await house.look())["artdaqDB tools"].status is Status.OK


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")
async def test_a_remote_host_that_cannot_be_reached(house: House) -> None:
    """What ssh said, and the command that asks as archiverd does: without a question."""
    house.change("artdaq_db", use_tools=True, remote_host="nowhere.invalid")
    found = await house.look()
    line = found["artdaqDB tools"]
    assert line.status is Status.FAILED
    assert "nowhere.invalid" in line.message
    assert "ssh -o BatchMode=yes nowhere.invalid true" in line.remedy
    assert "artdaqDB directory" not in found, "that directory is on the other host"


@pytest.fixture
async def mongo() -> AsyncIterator[Scripted]:
    """Give a server of the MongoDB protocol that answers as it is told."""
    server = Scripted()
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    server.uri = f"mongodb://archiver:pl4nted@127.0.0.1:{listening.sockets[0].getsockname()[1]}/runs_db"
    yield server
    server.released.set()
    listening.close()
    await asyncio.gather(*server.serving)


def reply(users: list[dict[str, str]], actions: list[str], database: str = "runs_db") -> dict[str, Any]:
    """Return what a server says of a login."""
    privileges = [{"resource": {"db": database, "collection": ""}, "actions": actions}]
    return {"ok": 1.0, "authInfo": {"authenticatedUsers": users, "authenticatedUserPrivileges": privileges}}


USERS = [{"user": "archiver", "db": "admin"}]
FAILED_LOGIN = {"ok": 0.0, "code": 18, "errmsg": "Authentication failed."}


async def test_mongodb_without_a_server(house: House) -> None:
    """A closed port is told as Connection refused, without the password; nothing waits for long."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    house.change("artdaq_db", database_uri=f"mongodb://archiver:pl4nted@127.0.0.1:{port}/runs_db")
    found = await house.look()
    line = found["artdaqDB server"]
    assert line.status is Status.FAILED
    assert "Connection refused" in line.message
    assert "artdaq_db.database_uri" in line.remedy
    assert "pl4nted" not in repr(found)
    assert found["artdaqDB login"].status is Status.SKIPPED


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ({"ok": 1.0}, Status.OK, "can be listed"),
        (reply(USERS, ["find", "insert"]), Status.OK, "can be listed"),
        (reply(USERS, ["insert"], database=""), Status.OK, "can be listed"),
        (reply(USERS, ["find"]), Status.FAILED, "may read runs_db but not write"),
        (reply(USERS, ["insert"], database="other"), Status.FAILED, "may read runs_db but not write"),
        ({"ok": 0.0, "code": 59, "errmsg": "no such command"}, Status.OK, "can be listed"),
    ],
)
async def test_what_a_login_may_do_in_mongodb(
    house: House, mongo: Scripted, answer: dict[str, Any], status: Status, words: str
) -> None:
    """A user who may only read is told apart, without a write; a server that does not tell is believed."""
    mongo.replies["connectionStatus"] = answer
    house.change("artdaq_db", database_uri=mongo.uri.replace("archiver:pl4nted@", ""))
    found = await house.look()
    assert found["artdaqDB server"].status is Status.OK
    line = found["artdaqDB login"]
    assert line.status is status
    assert words in line.message
    assert not any("insert" in asked or "createIndexes" in asked for asked in mongo.asked), "a check wrote"


async def test_a_login_that_mongodb_refuses(house: House, mongo: Scripted) -> None:
    """A refused login is the URI's business; the password is in no line."""
    mongo.replies["saslStart"] = FAILED_LOGIN
    house.change("artdaq_db", database_uri=mongo.uri)
    found = await house.look()
    assert found["artdaqDB server"].status is Status.FAILED
    assert "Authentication failed" in found["artdaqDB server"].message
    assert "database_uri" in found["artdaqDB server"].remedy
    assert "pl4nted" not in repr(found)
