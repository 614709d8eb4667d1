"""The client's promises, tried on the bundled server plain, faithful and under faults; checked without the client."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import random
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from archiverd.core.errors import Retry, UconDBError
from archiverd.ucondb.port import HEAD_BYTES, Blob, BlobSummary, Fingerprint, StoreOutcome
from tests.ucondb.playback import client
from tests.ucondb_server.conftest import launcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from archiverd.ucondb.client import HttpUconDB
    from tests.ucondb_server.conftest import Server

LENGTHS = (0, 1, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 1_048_577)
"""On and beside the borders of what goes over the wire in one piece (64 KiB, 256 KiB, 1 MiB)."""
CONTENTS = {
    "text": "Start of Record\nRun Number: 7\näöü €\nEnd of Record\n".encode(),
    "byte order mark": b"\xef\xbb\xbfRun Number: 7\r\n",
    "another byte order mark": b"\xff\xfeR\x00u\x00n\x00",
    "Latin-1": "Größe: 3 µm".encode("latin-1"),
    "only line ends": b"\r\n\r\n\n\r" * 20,
    "NUL": bytes(1_000),
    "gzip": gzip.compress(b"Run Number: 7\n" * 100, mtime=0),
    "a reply": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "chunks": b"5\r\nhello\r\n0\r\n\r\n",
    "an error page": b"<html><body><h3>Version not found</h3></body></html>",
    "the words for absence": b"Version not found",
    "metadata": b'{"key": "7", "id": 1, "data_size": 3, "uadler32": 1}',
    "a percent code": b"%00+%2C&key=8",
}
ODD_KEYS = (
    *("7", "07", "007", "+7", "-7", "7.0", "7e0", "0x7", "%37", "null", "None", "true", "7,8", "7&key=8"),
    *("?key=7", "#7", "/", "..", "*", "~", "{}", "[7]", "$7", "a b", "ä", "日本", "A", "a", "x" * 200),
)
MODES = {"plain": {}, "faithful": {"faithful": True}}
FAULTS = {
    "slow": {"fault": "latency=0.02"},
    "failing": {"fault": "error=0.25,seed=2"},
    "cutting": {"fault": "cut=0.4,seed=3"},
    "dropping": {"fault": "drop=0.25,seed=4"},
    "freezing": {"fault": "freeze=0.04,seed=5"},
    "faithful and cutting": {"fault": "cut=0.5,seed=6", "faithful": True},
    "faithful and everything": {"fault": "error=0.1,cut=0.2,drop=0.1,freeze=0.01,seed=7", "faithful": True},
}
ATTEMPTS = 60


@pytest.fixture(scope="module", params=MODES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server without faults for the module; each test takes an object of its own."""
    with launcher() as launch:
        yield launch(tmp_path_factory.mktemp("conformance") / "data", **MODES[request.param])


@pytest.fixture
def launch() -> Iterator[Callable[..., Server]]:
    """Start servers of the test's own."""
    with launcher() as start:
        yield start


def held(server: Server, of: str = "configuration") -> list[tuple[str, bytes]]:
    """Return each version's key and bytes, as a server without faults gives them to a client that is not ours."""
    listing = server.get(f"/versions?folder=test01&object={of}&tv=1e12")
    keys = [version["key"] for version in listing.json] if listing.status == 200 else []
    return sorted((key, server.get(f"/data/test01/{of}?key={quote(key, safe='')}").body) for key in keys)


async def persist(ucondb: HttpUconDB, key: str, blob: bytes) -> StoreOutcome:
    """Store as the port wants it: again after each error that says so, looking first from then on."""
    for attempt in range(ATTEMPTS):
        try:
            return await ucondb.store(key, Blob.of(blob), tag=key, look_first=attempt > 0)
        except UconDBError as error:
            assert error.retry in (Retry.TRANSIENT, Retry.UNKNOWN)  # noqa: PT017  # some attempts succeed
    raise AssertionError(f"key {key} never came to an end")


async def same_both_ways(server: Server, of: str, blob: bytes) -> None:
    """Store ``blob`` and demand it back: from our client, and from one that is not ours."""
    async with client(server.url, object_name=of) as ucondb:
        assert await ucondb.store("7", Blob.of(blob), tag="7", look_first=False) is StoreOutcome.PROVEN
        assert await ucondb.store("7", Blob.of(blob + b"!"), tag="7", look_first=False) is StoreOutcome.CONFLICT
        assert (await ucondb.summarise("7")).identity == Fingerprint(len(blob), hashlib.sha256(blob).hexdigest())
        assert await ucondb.read("7") == blob
    assert held(server, of) == [("7", blob)]


@pytest.mark.parametrize("length", LENGTHS)
async def test_a_blob_of_any_length_makes_the_round_trip(server: Server, length: int) -> None:
    """Neither an empty blob nor one that ends at or beside a border of pieces loses or gains a byte."""
    await same_both_ways(server, f"length{length}", random.Random(length).randbytes(length))


@pytest.mark.parametrize("content", CONTENTS)
async def test_bytes_that_look_like_something_else_stay_what_they_are(server: Server, content: str) -> None:
    """Text of any encoding, compressed bytes, and bytes that look like HTTP or like UconDB's own replies."""
    await same_both_ways(server, f"content{list(CONTENTS).index(content)}", CONTENTS[content])


async def test_keys_that_look_alike_stay_apart(server: Server) -> None:
    """Each of many odd keys names its own blob and no other's, in look-ups and both lists (T8, T9, T10)."""
    absent = ["8", "9", "b", "B", "x" * 199, "x" * 201]
    async with client(server.url, object_name="odd") as ucondb:
        for key in ODD_KEYS:
            assert await ucondb.look_up(key) is None
            assert (
                await ucondb.store(key, Blob.of(key.encode() * 3), tag="odd", look_first=False) is StoreOutcome.PROVEN
            )
        listed = await ucondb.list_keys()
        assert {key: found.data_size for key, found in listed.items()} == {
            key: 3 * len(key.encode()) for key in ODD_KEYS
        }
        assert await ucondb.look_up_all([*absent, *ODD_KEYS]) == listed
        assert [await ucondb.look_up(key) for key in absent] == [None] * len(absent)
        for key in (" 7", "7 "):  # a reply's header loses the blanks: it could never be proven
            with pytest.raises(UconDBError, match="cannot be a key"):
                await ucondb.store(key, Blob.of(b"x"), tag="odd", look_first=False)
    assert held(server, "odd") == sorted((key, key.encode() * 3) for key in ODD_KEYS)


@pytest.mark.parametrize("fault", FAULTS)
async def test_rivals_for_a_key_through_faults(launch: Callable[..., Server], tmp_path: Path, fault: str) -> None:
    """Through each fault, of two contents for a key one is proven and stands there once, the other is a conflict.

    A third client with the same bytes as the first ends as the first does.
    """
    server = launch(tmp_path / "data", **FAULTS[fault])
    keys = [str(run) for run in range(8)]
    blobs = [b"one", random.Random(1).randbytes(70_000), b"one"]
    async with contextlib.AsyncExitStack() as stack:
        rivals = [
            (await stack.enter_async_context(client(server.url, timeout_seconds=2.0)), key, blob)
            for blob in blobs
            for key in keys
        ]
        outcomes = await asyncio.gather(*[persist(*rival) for rival in rivals])
    server.stop()
    versions = held(launch(tmp_path / "data"))
    assert [key for key, _ in versions] == keys
    expected = [StoreOutcome.PROVEN if (key, blob) in versions else StoreOutcome.CONFLICT for _, key, blob in rivals]
    assert outcomes == expected
    assert outcomes.count(StoreOutcome.PROVEN) in range(len(keys), 2 * len(keys) + 1)


@pytest.mark.parametrize("mode", MODES)
async def test_nothing_read_through_faults_is_false(launch: Callable[..., Server], tmp_path: Path, mode: str) -> None:
    """What is asked of a failing server is answered right or not at all: never half a blob, part of a list, absence.

    The faithful one sends no lengths: only the announced size tells that half a blob is one (T2).
    """
    blobs = {str(run): random.Random(run).randbytes(run * 9_000) for run in range(4)}
    healthy = launch(tmp_path / "data")
    async with client(healthy.url) as ucondb:
        for key, blob in blobs.items():
            await ucondb.store(key, Blob.of(blob), tag=key, look_first=False)
        listed = await ucondb.list_keys()
    healthy.stop()
    failing = launch(tmp_path / "data", fault="error=0.3,cut=0.3,drop=0.3,seed=8", **MODES[mode])
    async with client(failing.url, timeout_seconds=5.0) as ucondb:
        right: Mapping[str, tuple[Callable[[], Awaitable[Any]], Any]] = {
            "read": (lambda: ucondb.read("3"), blobs["3"]),
            "summarise": (
                lambda: ucondb.summarise("3"),
                BlobSummary(Blob.of(blobs["3"]).identity, zlib.adler32(blobs["3"]), blobs["3"][:HEAD_BYTES]),
            ),
            "look_up": (lambda: ucondb.look_up("3"), listed["3"]),
            "look_up of an absent one": (lambda: ucondb.look_up("9"), None),
            "list_keys": (ucondb.list_keys, listed),
            "look_up_all": (lambda: ucondb.look_up_all(["9", "2", "3"]), {key: listed[key] for key in ("2", "3")}),
        }
        for name, (ask, answer) in right.items():
            assert {"right", "no answer"} == {await judge(ask, answer) for _ in range(40)}, name


async def judge(ask: Callable[[], Awaitable[Any]], answer: object) -> str:
    """Tell whether a question is answered right, wrong, or with an error after which waiting helps."""
    try:
        return "right" if await ask() == answer else "wrong"
    except UconDBError as error:
        return "no answer" if error.retry is Retry.TRANSIENT else repr(error)
