"""MongoDB as artdaqDB on a server with logins and files: FerretDB, killed and frozen too."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from archiverd.core.errors import ArtdaqDBError, Blame, Retry
from tests.artdaqdb.conftest import entities
from tests.waiting import DEADLINE_SECONDS

from .servers import LOGIN, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from .servers import Server


async def test_it_logs_in_and_stores_no_password(ferret_uri: str, connect: Callable[..., Any]) -> None:
    """The URI's user and password log in, and what describes the database does not hold the password."""
    db = await connect(ferret_uri)
    assert await db.insert(7, "demo", entities("a: 1\n"))
    assert list(await db.list_runs()) == [7]
    with MongoClient(ferret_uri) as client:
        (described,) = client.get_default_database().SystemMetadata.find()
    assert described["document"]["uri"] == ferret_uri.replace(LOGIN, "archiverd")


@pytest.mark.parametrize("login", ["archiverd:wr0ng", "n0body:p"])
async def test_a_wrong_login_is_told_as_such(ferret: Server, connect: Callable[..., Any], login: str) -> None:
    """A refused login names the setting to check and is retried, and no secret is repeated."""
    with pytest.raises(ArtdaqDBError, match="Failed to get configurations: ") as caught:
        await connect(f"mongodb://{login}@127.0.0.1:{ferret.port}/runs_db")
    error = caught.value
    assert (error.retry, error.blame) == (Retry.TRANSIENT, Blame.LOGIN)
    assert "artdaq_db.database_uri" in error.remedy
    assert "wr0ng" not in f"{error} {error.context} {error.remedy}"


async def test_what_fhicl_it_cannot_hold_is_refused_and_does_not_count(
    ferret_uri: str, connect: Callable[..., Any]
) -> None:
    """A server that takes no nested arrays says so; the run waits for somebody and is not archived."""
    db = await connect(ferret_uri)
    with pytest.raises(ArtdaqDBError, match="nested arrays are not supported") as caught:
        await db.insert(7, "demo", entities("a: 1\n", "b: [[1]]\n"))
    assert caught.value.retry is Retry.PERMANENT
    assert await db.find(7) is None
    assert await db.half_written() == [7]


async def test_killed_and_started_again_it_has_lost_nothing(
    ferret: Server, ferret_uri: str, connect: Callable[..., Any]
) -> None:
    """What was acknowledged survives the server's death, and the same connection goes on afterwards."""
    db = await connect(ferret_uri)
    await db.insert(7, "demo", entities("a: 1\n"))
    ferret.kill()
    ferret.start()
    assert list(await db.list_runs()) == [7]
    assert (await db.export(7))[0].fcl == b"\na: 1 \n"
    assert not await db.insert(7, "demo", entities("a: 1\n"))


async def test_killed_while_runs_are_stored_every_run_is_there_once(
    ferret: Server, ferret_uri: str, connect: Callable[..., Any]
) -> None:
    """An outage in the middle: runs that failed are tried again by the caller; in the end each is there once."""
    db = await connect(ferret_uri, call_timeout_seconds=0.5)
    stored: set[int] = set()
    failures: list[Retry] = []
    killing: asyncio.Task[None] | None = None
    async with asyncio.TaskGroup() as group:
        while len(stored) < 30 and len(failures) < 100:
            run = len(stored) + 1
            try:
                await db.insert(run, "demo", entities(f"a: {run}\n", "b: 2\n"))
                stored.add(run)
            except ArtdaqDBError as error:
                if killing is not None and not failures:
                    await killing
                    ferret.start()
                failures.append(error.retry)
            if len(stored) == 10 and killing is None:
                killing = group.create_task(asyncio.to_thread(ferret.kill))
    assert set(failures) == {Retry.TRANSIENT}
    assert sorted(await db.list_runs()) == sorted(stored) == list(range(1, 31))
    with MongoClient(ferret_uri) as client:
        database = client.get_default_database()
        assert (database.RunHistory.count_documents({}), database.SystemLayout.count_documents({})) == (60, 30)


async def test_a_frozen_server_is_left_in_time(ferret: Server, ferret_uri: str, connect: Callable[..., Any]) -> None:
    """A server that takes what is sent and says nothing costs a call its limit, not more, and thaws usable."""
    db = await connect(ferret_uri, call_timeout_seconds=0.5)
    ferret.signal(signal.SIGSTOP)
    with pytest.raises(ArtdaqDBError) as caught:
        await asyncio.wait_for(db.list_runs(), DEADLINE_SECONDS)
    assert caught.value.retry is Retry.TRANSIENT
    ferret.signal(signal.SIGCONT)
    again = await connect(ferret_uri)
    assert await again.insert(7, "demo", entities("a: 1\n"))


async def test_the_password_is_in_no_representation(ferret_uri: str, connect: Callable[..., Any]) -> None:
    """Neither the address nor its connection print what they log in with."""
    db = await connect(ferret_uri)
    for one in (db, db._connection, db._connection.address):
        assert PASSWORD not in repr(one)
        assert LOGIN not in repr(one)
