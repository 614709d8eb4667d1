"""What is sent, in which order, and what becomes of whatever a server may answer, or not answer."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import ssl
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archiverd import log
from archiverd.artdaqdb.mongo import connection
from archiverd.artdaqdb.mongo.store import MongoDB
from archiverd.artdaqdb.mongo.uri import CA_CERT, CLIENT_CERT
from archiverd.config.models import ArtdaqDb
from archiverd.core.errors import ArtdaqDBError, Blame, ConfigurationError, Retry
from tests.artdaqdb.conftest import entities
from tests.waiting import DEADLINE_SECONDS, NEVER_SECONDS

from .scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEM = Path(__file__).parents[2] / "data" / "ucondb_client" / "tls.pem"
"""Key and certificate for 127.0.0.1, which vouches for itself."""


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Collect here what a TLS handshake leaves that is broken off as its loop ends: it would fail another's test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def server(scripted: Scripted) -> Scripted:
    """Give a server that keeps every byte and fails as scripted."""
    return scripted


@pytest.fixture
def uri(scripted: Scripted) -> str:
    """Give its URI."""
    return scripted.uri


def failed(code: int) -> dict[str, Any]:
    """Return the reply to a command that failed as a whole."""
    return {"ok": 0.0, "code": code, "codeName": "Some", "errmsg": f"told {code}"}


async def test_duplicate_keys_go_over_the_wire_and_come_back(
    server: Scripted, uri: str, connect: Callable[..., Any]
) -> None:
    """A key that occurs twice in FHiCL is in the stored bytes twice, and exported twice."""
    db = await connect(uri)
    await db.insert(7, "demo", entities("a: 1\na: 2\nb.c: 3\n"))
    (stored,) = server.collections["RunHistory"]
    assert stored.count(b"\x02a\x00\x02\x00\x00\x00") == 2
    assert (await db.export(7))[0].fcl == b"\na: 1 \n\na: 2 \n\nb.c: 3 \n"


async def test_system_layout_comes_last_and_everything_waits_for_the_journals(
    server: Scripted, uri: str, connect: Callable[..., Any]
) -> None:
    """A run counts as archived only after all else is acknowledged by a majority's journals and was read back."""
    db = await connect(uri)
    await db.insert(7, "demo", entities("a: 1\n", "b: 1\n"))
    writes = [one for one in server.asked if "insert" in one]
    assert [one["insert"] for one in writes] == ["SystemMetadata", "RunHistory", "SystemLayout"]
    assert all(one["writeConcern"] == {"w": "majority", "j": True} for one in writes)
    names = [next(iter(one.items())) for one in server.asked if {"insert", "find"} & one.keys()]
    assert names[names.index(("insert", "RunHistory")) + 1] == ("find", "RunHistory")


async def test_what_the_uri_says_of_writes_and_times_holds(
    server: Scripted, uri: str, connect: Callable[..., Any]
) -> None:
    """The URI's own options are stronger than ours."""
    db = await connect(f"{uri}?w=1&timeoutMS=12345")
    await db.insert(7, "demo", entities("a: 1\n"))
    (write,) = (one for one in server.asked if one.get("insert") == "RunHistory")
    assert write["writeConcern"] == {"w": 1}
    assert 0 < write["maxTimeMS"] <= 12345


@pytest.mark.parametrize("room", range(4))
async def test_cut_off_after_any_document_a_run_is_completed_by_storing_it_again(
    server: Scripted, uri: str, connect: Callable[..., Any], room: int
) -> None:
    """The connection breaks at any document: the run is retried, does not count as archived, and nothing doubles."""
    db = await connect(uri)
    server.room = room
    with pytest.raises(ArtdaqDBError, match="Failed to store run 7 in artdaqDB: ") as caught:
        await db.insert(7, "demo", entities("a: 1\n", "b: 2\n", "c: 3\n"))
    assert (caught.value.retry, caught.value.blame, caught.value.run) == (Retry.TRANSIENT, Blame.BACKEND, 7)
    server.room = None
    assert await db.find(7) is None
    assert await db.insert(7, "demo", entities("a: 1\n", "b: 2\n", "c: 3\n"))
    assert (len(server.collections["RunHistory"]), len(server.collections["SystemLayout"])) == (3, 1)


async def test_a_server_that_alters_documents_is_found_out(
    server: Scripted, uri: str, connect: Callable[..., Any]
) -> None:
    """What is read back is not what was stored: the run fails and does not count as archived."""
    db = await connect(uri)
    server.alter = lambda document: document.replace(b"kept", b"lost")
    with pytest.raises(ArtdaqDBError, match="is not what was stored: its entity e0 is another") as caught:
        await db.insert(7, "demo", entities('a: "kept"\n'))
    assert caught.value.retry is Retry.PERMANENT
    assert caught.value.remedy.endswith("compare, then `archiverd retry import 7`")
    assert server.collections["SystemLayout"] == []


@pytest.mark.parametrize(
    ("reply", "retry", "blame"),
    [
        (failed(10107), Retry.TRANSIENT, Blame.BACKEND),
        (failed(11600), Retry.TRANSIENT, Blame.BACKEND),
        (failed(14031), Retry.TRANSIENT, Blame.BACKEND),
        (failed(13), Retry.TRANSIENT, Blame.LOGIN),
        (failed(2), Retry.PERMANENT, Blame.RUN),
        (
            {"ok": 1.0, "n": 1, "writeConcernError": {"code": 64, "errmsg": "told 64"}},
            Retry.TRANSIENT,
            Blame.BACKEND,
        ),
        (
            {"ok": 1.0, "n": 0, "writeErrors": [{"index": 0, "code": 121, "errmsg": "told 121"}]},
            Retry.PERMANENT,
            Blame.RUN,
        ),
    ],
)
async def test_what_a_server_answers_decides_on_the_retry(
    server: Scripted, uri: str, connect: Callable[..., Any], reply: dict[str, Any], retry: Retry, blame: Blame
) -> None:
    """A temporary error is retried, a refused login names its setting, a permanent refusal waits for an operator."""
    db = await connect(uri)
    server.replies["insert"] = reply
    with pytest.raises(ArtdaqDBError, match="Failed to store run 7 in artdaqDB: told") as caught:
        await db.insert(7, "demo", entities("a: 1\n"))
    assert (caught.value.retry, caught.value.blame) == (retry, blame)
    assert caught.value.remedy
    assert ("database_uri" in caught.value.remedy) or blame is not Blame.LOGIN


async def test_without_leave_to_make_indexes_it_works_and_says_so(
    server: Scripted, uri: str, connect: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """An account that may not make indexes is a line in the log, once, and no failure."""
    log.configure("INFO", "console")
    server.replies["createIndexes"] = failed(13)
    db = await connect(uri)
    assert await db.insert(7, "demo", entities("a: 1\n"))
    assert capsys.readouterr().err.count("artdaqDB: not allowed to make indexes") == 1


@pytest.mark.parametrize(("code", "opens"), [(85, True), (86, True), (2, False)])
async def test_an_index_of_somebody_elses_serves_as_well(
    server: Scripted, uri: str, connect: Callable[..., Any], code: int, opens: bool
) -> None:
    """An index that an administrator made under another name or with other options is no failure; other errors are."""
    server.replies["createIndexes"] = failed(code)
    if opens:
        await connect(uri)
    else:
        with pytest.raises(ArtdaqDBError, match="Failed to index artdaqDB: told 2"):
            await connect(uri)


async def test_a_silent_server_is_left_in_time(server: Scripted, uri: str, connect: Callable[..., Any]) -> None:
    """A call ends at its limit, with an error that is tried again."""
    db = await connect(uri, call_timeout_seconds=2.0)
    server.hanging.add("insert")
    with pytest.raises(ArtdaqDBError, match="Failed to store run 7 in artdaqDB: ") as caught:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await db.insert(7, "demo", entities("a: 1\n"))
    assert caught.value.retry is Retry.TRANSIENT


async def test_cancelled_in_a_call_it_closes_and_can_be_done_again(
    server: Scripted, uri: str, connect: Callable[..., Any]
) -> None:
    """Cancelling a call that waits for the server ends it at once, and the same call later succeeds."""
    db = await connect(uri, call_timeout_seconds=60.0)
    server.hanging.add("insert")
    calling = asyncio.create_task(db.insert(7, "demo", entities("a: 1\n")))
    await server.hung.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    server.hanging.clear()
    assert await db.insert(7, "demo", entities("a: 1\n"))


async def test_a_server_that_is_not_there_is_told_within_the_limit(
    connect: Callable[..., Any], unused_port: int
) -> None:
    """Opening without a server is an error that is tried again, and nothing stays open."""
    with pytest.raises(ArtdaqDBError, match=r"Failed to get configurations: .*refused") as caught:
        await connect(f"mongodb://u:secret@127.0.0.1:{unused_port}/runs_db", call_timeout_seconds=1.5)
    assert (caught.value.retry, caught.value.blame) == (Retry.TRANSIENT, Blame.BACKEND)
    assert "secret" not in f"{caught.value} {caught.value.context} {caught.value.remedy}"


@pytest.mark.parametrize("how", ["refused", "frozen"])
async def test_a_server_is_waited_for_no_longer_than_its_own_limit(
    connect: Callable[..., Any], unused_port: int, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Opening ends long before a call's limit: nobody listens, or somebody takes connections and says nothing."""
    monkeypatch.setattr(connection, "SELECTION_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        port = unused_port if how == "refused" else frozen.getsockname()[1]
        with pytest.raises(ArtdaqDBError, match="Failed to get configurations: ") as caught:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await connect(f"mongodb://127.0.0.1:{port}/runs_db", call_timeout_seconds=NEVER_SECONDS)
    assert (caught.value.retry, caught.value.blame) == (Retry.TRANSIENT, Blame.BACKEND)


async def test_a_server_that_hangs_after_its_greeting_is_left_as_soon(
    server: Scripted, uri: str, connect: Callable[..., Any]
) -> None:
    """Greeted, and then met with silence, opening ends in time too; here by the limit that the URI sets."""
    server.hanging.add("ping")
    with pytest.raises(ArtdaqDBError, match="Failed to get configurations: "):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await connect(f"{uri}?serverSelectionTimeoutMS=300", call_timeout_seconds=NEVER_SECONDS)


async def test_a_call_is_not_sent_after_a_server_that_has_gone(
    server: Scripted, uri: str, connect: Callable[..., Any]
) -> None:
    """A call that meets a broken connection has its whole limit; those after it wait for a server a while only."""
    db = await connect(f"{uri}?serverSelectionTimeoutMS=1500", call_timeout_seconds=4.0)
    server.gone = True
    with pytest.raises(ArtdaqDBError):
        await db.insert(7, "demo", entities("a: 1\n"))
    with pytest.raises(ArtdaqDBError, match="Failed to") as caught:
        await db.insert(7, "demo", entities("a: 1\n"))
    assert caught.value.retry is Retry.TRANSIENT
    waited = re.search(r"Timeout: ([\d.]+)s", str(caught.value.__cause__))
    assert waited is not None
    assert float(waited[1]) <= 1.5, "seconds that the driver would wait for a server; the call's limit is 4"
    server.gone = False
    assert await db.insert(7, "demo", entities("a: 1\n"))


@pytest.mark.parametrize("option", ["tls=perhaps", "w=-1", "authMechanism=secret", "tls=true&tlsCAFile=/nowhere/ca"])
async def test_options_the_driver_cannot_take_are_a_configuration_error(
    connect: Callable[..., Any], option: str
) -> None:
    """An impossible option is an error that names it, without the password even where the driver repeats it."""
    with pytest.raises(
        ConfigurationError, match=r"Configuration validation failed: artdaq_db\.database_uri: "
    ) as caught:
        await connect(f"mongodb://u:secret@127.0.0.1:1/runs_db?{option}")
    assert "secret" not in str(caught.value)


async def test_the_librarys_certificates_log_in_and_prove_the_server(connect: Callable[..., Any]) -> None:
    """ARTDAQ_DATABASE_CLIENT_CERT is shown to a server that asks for it; by CA_CERT the server is judged."""
    scripted = Scripted()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    context.load_verify_locations(PEM)
    context.verify_mode = ssl.CERT_REQUIRED
    listening = await asyncio.start_server(scripted, "127.0.0.1", 0, ssl=context)
    uri = f"mongodb://127.0.0.1:{listening.sockets[0].getsockname()[1]}/runs_db"
    certificates = {CLIENT_CERT: str(PEM), CA_CERT: str(PEM)}
    db = MongoDB(ArtdaqDb(database_uri=uri, call_timeout_seconds=20.0), environment=certificates)
    await db.open()
    assert await db.insert(7, "demo", entities("a: 1\n"))
    await db.close()
    logins = [one for one in scripted.asked if "authenticate" in one]
    assert {(one["mechanism"], one["$db"]) for one in logins} == {("MONGODB-X509", "$external")}
    for distrusted in ({CLIENT_CERT: str(PEM)}, {}):
        db = MongoDB(ArtdaqDb(database_uri=f"{uri}?tls=true", call_timeout_seconds=0.3), environment=distrusted)
        with pytest.raises(ArtdaqDBError, match=r"certificate verify failed") as caught:
            await db.open()
        assert caught.value.retry is Retry.TRANSIENT
    listening.close()
    await asyncio.gather(*scripted.serving)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while listening._active_count:  # those whose handshake failed: nobody serves them, so nobody waits for them
            await asyncio.sleep(0.01)


@pytest.fixture
async def unused_port() -> int:
    """Give a port where nobody listens."""
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    return port
