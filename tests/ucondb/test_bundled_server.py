"""The client and the bundled server, written apart from the same specification, understand each other."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import archiverd
from archiverd.core.errors import Retry, UconDBError
from archiverd.ucondb.port import Blob, Fingerprint, StoreOutcome
from tests.ucondb.playback import INSTANCE, PASSWORD, USER, client
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RUNNER = """
import json, pathlib, sys
from archiverd.ucondb_server import ServerOptions, serve
options = json.loads(sys.argv[1])
sys.exit(serve(ServerOptions(**{**options, "data": pathlib.Path(options["data"]), "folders": ("test01",)})))
"""
BLOB = b"Start of Record\n" + bytes(range(256)) * 40
MISSING = "999999"


@contextlib.contextmanager
def launcher(data: Path) -> Iterator[Callable[..., str]]:
    """Yield a function that starts a server process and returns its URL; all are gone at the end."""
    started: list[subprocess.Popen[str]] = []

    def launch(**changes: Any) -> str:
        options = {"host": "127.0.0.1", "port": 0, "instance": INSTANCE, "user": USER, "password": PASSWORD}
        options |= {"data": str(data / f"server{len(started)}"), **changes}
        process = subprocess.Popen(
            [sys.executable, "-c", _RUNNER, json.dumps(options)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(archiverd.__file__).parents[1])},
        )
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().removeprefix("listening on ").strip()

    try:
        yield launch
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.communicate(timeout=DEADLINE_SECONDS)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start servers of the test's own."""
    with launcher(tmp_path) as start:
        yield start


@pytest.fixture(scope="module", params=["plain", "faithful"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the module, with and without the real listener's awkwardness; each test has its own object."""
    with launcher(tmp_path_factory.mktemp("ucondb")) as start:
        yield start(faithful=request.param == "faithful")


async def test_a_blob_is_stored_once_and_everything_finds_it(url: str) -> None:
    """Store, look up, read, fingerprint and both lists agree about one blob."""
    async with client(url, object_name="once") as ucondb:
        await ucondb.check()
        assert await ucondb.look_up("1001") is None
        assert await ucondb.list_keys() == {}
        assert await ucondb.look_up_all(["1001"]) == {}
        assert await ucondb.store("1001", Blob.of(BLOB), tag="1001", look_first=False) is StoreOutcome.PROVEN
        found = await ucondb.look_up("1001")
        assert found is not None
        assert (found.key, found.data_size) == ("1001", len(BLOB))
        assert await ucondb.read("1001") == BLOB
        assert (await ucondb.summarise("1001")).identity == Fingerprint(len(BLOB), hashlib.sha256(BLOB).hexdigest())
        assert await ucondb.list_keys() == {"1001": found}
        assert await ucondb.look_up_all([MISSING, "1001"]) == {"1001": found}


@pytest.mark.parametrize("look_first", [False, True])
async def test_a_taken_key_is_proof_or_conflict(url: str, look_first: bool) -> None:
    """Equal bytes under a taken key are success, others a conflict; what stands there stays."""
    async with client(url, object_name=f"taken {look_first}") as ucondb:
        assert await ucondb.store("7", Blob.of(BLOB), tag="7", look_first=look_first) is StoreOutcome.PROVEN
        assert await ucondb.store("7", Blob.of(BLOB), tag="7", look_first=look_first) is StoreOutcome.PROVEN
        assert await ucondb.store("7", Blob.of(b"other"), tag="7", look_first=look_first) is StoreOutcome.CONFLICT
        assert await ucondb.read("7") == BLOB
        assert len(await ucondb.list_keys()) == 1


async def test_many_at_once_store_one(url: str) -> None:
    """Of ten simultaneous stores of one key with two contents, those of one are proven, the others in conflict."""
    blobs = [b"one" * 1000, b"two" * 1000]
    async with client(url, object_name="race") as ucondb:
        calls = [ucondb.store("5", Blob.of(blobs[turn % 2]), tag="5", look_first=False) for turn in range(10)]
        outcomes = await asyncio.gather(*calls)
        winner = blobs.index(await ucondb.read("5"))
    assert outcomes == [StoreOutcome.PROVEN if turn % 2 == winner else StoreOutcome.CONFLICT for turn in range(10)]


async def test_parallel_runs_share_one_login(url: str) -> None:
    """Twenty runs at once are all proven, an empty blob among them."""
    async with client(url, object_name="many") as ucondb:
        calls = [ucondb.store(str(run), Blob.of(b"r" * run), tag=str(run), look_first=False) for run in range(20)]
        assert set(await asyncio.gather(*calls)) == {StoreOutcome.PROVEN}
        assert {key: found.data_size for key, found in (await ucondb.list_keys()).items()} == {
            str(run): run for run in range(20)
        }


async def test_odd_names_and_keys_survive(url: str) -> None:
    """An object with spaces, commas and letters beyond ASCII works like any other."""
    async with client(url, object_name="a b,c+ä&d/e") as ucondb:
        assert await ucondb.store("a,b+c d", Blob.of(BLOB), tag="x&y", look_first=True) is StoreOutcome.PROVEN
        assert list(await ucondb.list_keys()) == ["a,b+c d"]


async def test_a_wrong_password_stores_nothing(url: str) -> None:
    """A refused login is an error of check and of store, and the key stays free."""
    async with client(url, object_name="locked", writer_password="wrong-pw") as ucondb:
        with pytest.raises(UconDBError, match=r"^Failed to initialize UConDB client: 401 Unauthorized"):
            await ucondb.check()
        with pytest.raises(UconDBError, match=r"^Failed to upload blob for run 9: 401 Unauthorized$") as caught:
            await ucondb.store("9", Blob.of(BLOB), tag="9", look_first=False)
        assert caught.value.context["status"] == 401
        assert await ucondb.look_up("9") is None


async def test_an_unknown_folder_is_told(url: str) -> None:
    """Every call names the folder's setting."""
    async with client(url, folder_name="nosuch") as ucondb:
        for call in (
            ucondb.check(),
            ucondb.look_up("1"),
            ucondb.list_keys(),
            ucondb.store("1", Blob.of(BLOB), tag="1", look_first=False),
        ):
            with pytest.raises(UconDBError) as caught:
                await call
            assert "ucon_db.folder_name" in caught.value.remedy


async def test_a_large_blob_makes_the_round_trip(url: str) -> None:
    """20 MB are stored and proven."""
    blob = bytes(range(256)) * 80_000
    async with client(url, object_name="large") as ucondb:
        assert await ucondb.store("1", Blob.of(blob), tag="1", look_first=False) is StoreOutcome.PROVEN


async def test_every_run_is_proven_in_the_end_through_faults(launch: Callable[..., str]) -> None:
    """Through errors, cuts, freezes and lost replies, stores repeated as the port says are all proven, each once."""
    url = launch(fault="error=0.1,cut=0.1,drop=0.1,freeze=0.03,seed=3")
    blobs = {str(run): b"%d" % run * 100 for run in range(12)}

    async def persist(ucondb: Any, key: str) -> None:
        for attempt in range(40):
            try:
                outcome = await ucondb.store(key, Blob.of(blobs[key]), tag=key, look_first=attempt > 0)
            except UconDBError as error:
                assert error.retry in (Retry.TRANSIENT, Retry.UNKNOWN)  # noqa: PT017 - some attempts succeed
                continue
            assert outcome is StoreOutcome.PROVEN
            return
        raise AssertionError(key)

    async with client(url, timeout_seconds=1.0) as ucondb:
        async with asyncio.TaskGroup() as group:
            for key in blobs:
                group.create_task(persist(ucondb, key))
        for _ in range(40):
            with contextlib.suppress(UconDBError):
                listed = await ucondb.list_keys()
                break
    assert {key: found.data_size for key, found in listed.items()} == {key: len(blob) for key, blob in blobs.items()}
