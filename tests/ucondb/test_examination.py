"""An examination of one key: what is wrong with the key alone, and what says nothing of it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import pytest

from archiverd.core.errors import Retry, UconDBError
from archiverd.ucondb.port import HEAD_BYTES, Blob, BlobSummary, Examination, Finding, StoreOutcome
from tests.ucondb.playback import blob_reply, close, freeze, meaning, reply, reset
from tests.ucondb.test_replayed_upload import ABSENT, BACK, BLOB, FOUND, LOGIN, META, PUT, READ

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ucondb.playback import Playback, Step

ALIVE = ("GET /probe", reply("200 OK", b"OK"))
DOWN = ("GET /probe", reply("200 OK", b"Error: no database"))
CUT = (READ, meaning("blob", cut=5))
DAMAGED = (READ, blob_reply(b"hallo run 1001\n"))
ERROR = reply("500 Application Error", b"<h3>invalid page in block 7</h3>")
OVERRIDE = f"{PUT}&override=yes"


@pytest.fixture
async def ucondb(playback: Playback, connect: Callable[..., Any]) -> Any:
    """A client of the playback server."""
    return await connect(playback.url, timeout_seconds=2.0)


async def test_a_sound_blob_is_known_by_its_bytes(playback: Playback, ucondb: Any) -> None:
    """Its identity and checksum are those of what was read, of which only the first bytes are kept."""
    playback.plays(FOUND, BACK)
    found: Examination = await ucondb.examine("1001")
    assert (found.finding, found.blob) == (
        Finding.SOUND,
        BlobSummary(Blob.of(BLOB).identity, zlib.adler32(BLOB), BLOB[:HEAD_BYTES]),
    )


async def test_every_request_keeps_caches_from_answering(playback: Playback, ucondb: Any) -> None:
    """A proof from a cache proves nothing."""
    playback.plays(FOUND, BACK)
    await ucondb.examine("1001")
    assert {one.headers["cache-control"] for one in playback.requests} == {"no-cache"}
    assert {one.headers["pragma"] for one in playback.requests} == {"no-cache"}


@pytest.mark.parametrize("header", ["Age: 120", "X-Cache: HIT from squid.example.org"])
async def test_a_cache_that_answers_all_the_same_is_found_out(playback: Playback, ucondb: Any, header: str) -> None:
    """It is no proof and no damage: the error names the header that betrayed it."""
    cached = meaning("blob").replace(b"\r\n\r\n", f"\r\n{header}\r\n\r\n".encode(), 1)
    playback.plays(FOUND, (READ, cached))
    with pytest.raises(UconDBError, match=f"a cache on the way answered, not UconDB .{header}") as caught:
        await ucondb.examine("1001")
    assert caught.value.retry is Retry.TRANSIENT


@pytest.mark.parametrize("header", ["Age: 0", "X-Cache: MISS from squid.example.org"])
async def test_a_cache_that_asked_the_server_is_none(playback: Playback, ucondb: Any, header: str) -> None:
    """What it passes on is what the server said just now."""
    passed = meaning("blob").replace(b"\r\n\r\n", f"\r\n{header}\r\n\r\n".encode(), 1)
    playback.plays(FOUND, (READ, passed))
    assert (await ucondb.examine("1001")).finding is Finding.SOUND


async def test_absence_is_the_keys_own_404(playback: Playback, ucondb: Any) -> None:
    """Nothing else is asked: that is the proof (T11)."""
    playback.plays(ABSENT)
    assert (await ucondb.examine("1001")).finding is Finding.ABSENT


@pytest.mark.parametrize(
    ("steps", "finding", "why"),
    [
        ((FOUND, DAMAGED, DAMAGED, DAMAGED), Finding.UNSOUND, "do not fit the checksum"),
        ((FOUND, CUT, CUT, CUT, ALIVE), Finding.UNREADABLE, "UconDB sent 5 of 15 bytes"),
        ((FOUND, (READ, ERROR), ALIVE), Finding.UNREADABLE, "invalid page in block 7"),
        (((META, ERROR), ALIVE), Finding.UNREADABLE, "invalid page in block 7"),
        ((FOUND, (READ, reply("404 Not Found", b"Data not found")), ALIVE), Finding.UNREADABLE, "Data not found"),
        ((FOUND, (READ, freeze()), ALIVE), Finding.SILENT, "Read timed out"),
        ((FOUND, *[(READ, reset())] * 3, ALIVE), Finding.SILENT, "Failed to read run 1001 back"),
        ((FOUND, (READ, reply("503 Service unavailable")), ALIVE), Finding.SILENT, "503"),
    ],
    ids=["damaged", "cut", "error", "no metadata", "no blob", "frozen", "reset", "busy"],
)
async def test_what_is_wrong_with_one_key_is_told(
    playback: Playback, ucondb: Any, steps: tuple[tuple[str, bytes | Step], ...], finding: Finding, why: str
) -> None:
    """The server answers another question right afterwards, so it is this key's."""
    playback.plays(*steps)
    found = await ucondb.examine("1001")
    assert (found.finding, found.identity) == (finding, None)
    assert why in found.why


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((FOUND, (READ, ERROR), DOWN), "database does not answer"),
        ((FOUND, CUT, CUT, CUT, ("GET /probe", close()), *[("GET /probe", close())] * 2), "Failed to read run 1001"),
        (((META, reply("403 Forbidden")),), "403"),
        (((META, reply("404 Not Found", b"Folder test01 not found")),), "404"),
    ],
    ids=["database down", "server gone", "refused", "no folder"],
)
async def test_what_every_key_would_meet_says_nothing_of_one(
    playback: Playback, ucondb: Any, steps: tuple[tuple[str, bytes | Step], ...], message: str
) -> None:
    """It is an error of the server or of a setting, to be tried again."""
    playback.plays(*steps)
    with pytest.raises(UconDBError, match=message) as caught:
        await ucondb.examine("1001")
    assert caught.value.retry is Retry.TRANSIENT


@pytest.mark.parametrize(
    "before",
    [(FOUND, DAMAGED, DAMAGED, DAMAGED), (FOUND, (READ, ERROR), ALIVE), ((META, ERROR), ALIVE)],
    ids=["damaged", "error", "no metadata"],
)
async def test_what_cannot_be_read_is_replaced(
    playback: Playback, ucondb: Any, before: tuple[tuple[str, bytes | Step], ...]
) -> None:
    """An operator's decision is carried out although what it replaces cannot be compared, and is proven as ever."""
    playback.plays(*before, LOGIN, (OVERRIDE, meaning("put_ok")), BACK)
    assert await ucondb.replace("1001", Blob.of(BLOB), tag="1001") is StoreOutcome.PROVEN


async def test_a_server_that_is_away_is_sent_no_replacement(playback: Playback, ucondb: Any) -> None:
    """Each override that succeeds makes a version: one is sent only where what is there is known to be unreadable."""
    playback.plays(FOUND, (READ, ERROR), DOWN)
    with pytest.raises(UconDBError, match="database does not answer"):
        await ucondb.replace("1001", Blob.of(BLOB), tag="1001")


async def test_what_is_there_already_is_not_replaced_again(playback: Playback, ucondb: Any) -> None:
    """An earlier attempt that seemed to fail has stored it."""
    playback.plays(FOUND, BACK)
    assert await ucondb.replace("1001", Blob.of(BLOB), tag="1001") is StoreOutcome.PROVEN
