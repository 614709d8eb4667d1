"""artdaqDB through the library on a MongoDB, as the stand-in imitates that provider: the conformance suite again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.conftoolp.store import ConftoolpDB
from archiverd.core.errors import ConfigurationError
from tests.artdaqdb.conformance import *  # noqa: F403
from tests.artdaqdb.conformance import held, record
from tests.artdaqdb.conftoolp.conftest import STANDIN, library_settings
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

URI = "mongodb://writer:s3cret@127.0.0.1:9/runs_db"


@pytest.fixture
def make_database(faults: Path) -> Callable[[], ConftoolpDB]:
    """Return what makes an adapter on a MongoDB."""
    assert faults.is_dir()
    return lambda: ConftoolpDB(library_settings(URI, STANDIN, seconds=60), 3)


async def test_runs_are_stored_by_several_children_at_once(database: ConftoolpDB, faults: Path) -> None:
    """A server sees to its own locks: three runs are under way in three children, a fourth waits for one of them."""
    (faults / "write_document.always").write_text("sleep: 0.2")
    async with asyncio.TaskGroup() as group:
        for run in range(1, 5):
            group.create_task(database.insert(run, "demo", record(b"run: %d\n" % run)))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(database.pids) < 3:
                await asyncio.sleep(0.01)
    assert len(database.pids) == 3
    assert sorted(await database.list_runs()) == [1, 2, 3, 4]
    for run in range(1, 5):
        assert (await held(database, run))["RunHistory", "e0"] == b"\nrun: %d \n" % run


async def test_the_password_is_in_no_argument(database: ConftoolpDB, faults: Path) -> None:
    """The library gets the URI in its environment; nobody sees it in the list of processes, nor in our errors."""
    for pid in database.pids:
        with open(f"/proc/{pid}/cmdline", "rb") as arguments:
            assert b"s3cret" not in arguments.read()
    assert "s3cret" not in repr(vars(database))
    (faults / "find_configurations.once").write_text(f"refuse: Invalid URI {URI}")
    with pytest.raises(Exception, match=r"Invalid URI mongodb://writer:\*\*\*@127") as caught:
        await database.find(7)
    assert "s3cret" not in f"{caught.value!r} {vars(caught.value)}"


async def test_certificates_of_the_environment_stand_in_the_uri(
    tmp_path: Path, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would append them with ``&`` to a URI that has no options; so they are put there whole."""
    (tmp_path / "client.pem").touch()
    monkeypatch.setenv("ARTDAQ_DATABASE_CLIENT_CERT", str(tmp_path / "client.pem"))
    database = ConftoolpDB(library_settings("mongodb://h/runs_db", STANDIN, seconds=60), 1)
    await database.open()
    await database.insert(7, "demo", record(b"a: 1\n"))
    (pid,) = database.pids
    with open(f"/proc/{pid}/environ", "rb") as file:
        variables = dict(one.partition(b"=")[::2] for one in file.read().split(b"\0"))
    await database.close()
    uri = variables[b"ARTDAQ_DATABASE_URI"].decode()
    assert uri.startswith("mongodb://h/runs_db?tls=true&authMechanism=MONGODB-X509&tlsCertificateKeyFile=")
    assert b"ARTDAQ_DATABASE_CLIENT_CERT" not in variables
    assert (faults / "mongodb").is_dir()


def test_a_uri_without_database_is_refused() -> None:
    """The library would ask for the empty name, which a server refuses (B.1)."""
    with pytest.raises(ConfigurationError, match="names no database"):
        ConftoolpDB(library_settings("mongodb://writer:s3cret@h/", STANDIN, seconds=60), 1)
