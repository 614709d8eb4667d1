"""Storing: what the client concludes from each reply the real server was recorded to give."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from archiverd.core.errors import Retry, UconDBError, VerificationError
from archiverd.ucondb.port import Blob, StoreOutcome
from tests.ucondb.playback import blob_reply, close, freeze, meaning, reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ucondb.playback import Playback, Step

BLOB = b"hello run 1001\n"
OTHER = b"hello run 1002\n"
PUT = "POST /data/test01/configuration?full_meta=yes&key=1001&tag=1001"
LOGIN = ("POST /data/test01/configuration?tv=x", meaning("challenge"))
META = "GET /data/test01/configuration?key=1001&meta_only=yes"
READ = "GET /data/test01/configuration?key=1001"
STORED = (PUT, meaning("put_ok"))
FOUND = (META, meaning("meta"))
BACK = (READ, meaning("blob"))
ABSENT = (META, meaning("missing"))


@pytest.fixture
async def store(playback: Playback, connect: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that stores BLOB on the playback server."""
    client = await connect(playback.url, timeout_seconds=2.0)

    async def go(blob: bytes = BLOB, *, look_first: bool = False) -> StoreOutcome:
        outcome: StoreOutcome = await client.store("1001", Blob.of(blob), tag="1001", look_first=look_first)
        return outcome

    return go


async def test_first_put(playback: Playback, store: Callable[..., Any]) -> None:
    """A first put logs in in one pass, sends the body once with its length, and is proven by reading back."""
    playback.plays(LOGIN, STORED, BACK)
    assert await store() is StoreOutcome.PROVEN
    probe, put, _ = playback.requests
    assert (probe.body, probe.headers["content-length"]) == (b"", "0")
    assert (put.body, put.headers["content-length"]) == (BLOB, "15")
    assert "transfer-encoding" not in put.headers
    assert f'uri="{put.target}"' in put.headers["authorization"]
    assert "nc=00000001" in put.headers["authorization"]


async def test_challenge_is_used_again(playback: Playback, store: Callable[..., Any]) -> None:
    """The challenge is asked for once; its count rises."""
    playback.plays(LOGIN, STORED, BACK, STORED, BACK)
    assert [await store(), await store()] == [StoreOutcome.PROVEN] * 2
    assert "nc=00000002" in playback.requests[3].headers["authorization"]


async def test_server_without_login(playback: Playback, store: Callable[..., Any]) -> None:
    """A server that lets the empty put come to its impossible number asks for no login, and gets none."""
    playback.plays((LOGIN[0], meaning("good_login")), STORED, BACK)
    assert await store() is StoreOutcome.PROVEN
    assert "authorization" not in playback.requests[1].headers


async def test_chunked_read_back(playback: Playback, store: Callable[..., Any]) -> None:
    """A blob sent chunked, as gunicorn and Apache do, is read all the same."""
    chunked = meaning("blob").replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n") + b"\r\n0\r\n\r\n"
    playback.plays(LOGIN, STORED, (READ, chunked))
    assert await store() is StoreOutcome.PROVEN


async def test_look_first_finds_ours(playback: Playback, store: Callable[..., Any]) -> None:
    """After an earlier attempt the key is looked up first, and our bytes there are proof; nothing is put."""
    playback.plays(FOUND, BACK)
    assert await store(look_first=True) is StoreOutcome.PROVEN


async def test_look_first_finds_other(playback: Playback, store: Callable[..., Any]) -> None:
    """Other bytes under the key are a conflict; nothing is put."""
    playback.plays(FOUND, BACK)
    assert await store(OTHER, look_first=True) is StoreOutcome.CONFLICT


@pytest.mark.parametrize(
    "absent", [[ABSENT], [(META, meaning("no_object")), ("GET /versions?", meaning("no_object_versions"))]]
)
async def test_look_first_finds_nothing(
    playback: Playback, store: Callable[..., Any], absent: list[tuple[str, bytes]]
) -> None:
    """A proven absence, that of the whole object included, is followed by the put."""
    playback.plays(*absent, LOGIN, STORED, BACK)
    assert await store(look_first=True) is StoreOutcome.PROVEN


@pytest.mark.parametrize("taken", ["taken", "race"])
async def test_taken_key_equal(playback: Playback, store: Callable[..., Any], taken: str) -> None:
    """A taken key is a 500 in two wordings; equal bytes there are proof."""
    playback.plays(LOGIN, (PUT, meaning(taken)), FOUND, BACK)
    assert await store() is StoreOutcome.PROVEN


@pytest.mark.parametrize("taken", ["taken", "race"])
async def test_taken_key_different(playback: Playback, store: Callable[..., Any], taken: str) -> None:
    """Other bytes under a taken key are a conflict; nothing is overwritten."""
    playback.plays(LOGIN, (PUT, meaning(taken)), FOUND, BACK)
    assert await store(OTHER) is StoreOutcome.CONFLICT
    assert not any("override" in request.target for request in playback.requests)


@pytest.mark.parametrize(
    "lost", [reset(), close(), freeze(), meaning("put_ok", cut=30), b"HTTP/1.1 503 Service unavailable\n\n"]
)
async def test_lost_reply_and_stored(playback: Playback, store: Callable[..., Any], lost: bytes | Step) -> None:
    """A put whose reply was lost, and whose version stands there, is proven by it and not sent again."""
    playback.plays(LOGIN, (PUT, lost), FOUND, BACK)
    assert await store() is StoreOutcome.PROVEN


@pytest.mark.parametrize(
    "lost", [reset(), close(), freeze(), meaning("database_down_put"), b"HTTP/1.1 503 Service unavailable\n\n"]
)
async def test_lost_reply_and_not_yet_stored(playback: Playback, store: Callable[..., Any], lost: bytes | Step) -> None:
    """A put whose reply was lost and that shows nowhere may still come: unknown, never failed."""
    playback.plays(LOGIN, (PUT, lost), ABSENT)
    with pytest.raises(UconDBError) as caught:
        await store()
    assert caught.value.retry is Retry.UNKNOWN


async def test_lost_reply_and_no_look_up(playback: Playback, store: Callable[..., Any]) -> None:
    """With the look-up failing too nobody knows what became of the put."""
    playback.plays(LOGIN, (PUT, reset()), (META, meaning("database_down_meta")))
    with pytest.raises(UconDBError) as caught:
        await store()
    assert caught.value.retry is Retry.UNKNOWN


@pytest.mark.parametrize(("lost", "steps"), [(reset(), 3), (freeze(), 1)])
async def test_lost_before_the_put(playback: Playback, store: Callable[..., Any], lost: Step, steps: int) -> None:
    """While only the login was asked for nothing can be stored: a transient error, not unknown."""
    playback.plays(*[(LOGIN[0], lost)] * steps)
    with pytest.raises(UconDBError) as caught:
        await store()
    assert caught.value.retry is Retry.TRANSIENT
    assert "Failed to upload blob for run 1001: " in str(caught.value)


async def test_wrong_password(playback: Playback, store: Callable[..., Any]) -> None:
    """A refused login says so in the runbook's words, names the settings and no password, and is learned anew."""
    for _ in range(2):
        playback.plays(LOGIN, (PUT, meaning("bad_password")))
        with pytest.raises(UconDBError, match=r"^Failed to upload blob for run 1001: 401 Unauthorized$") as caught:
            await store()
        assert caught.value.retry is Retry.TRANSIENT
        assert caught.value.context["status"] == 401
        assert "ucon_db.writer_user" in caught.value.remedy
        assert "writer_password" in caught.value.remedy
        assert "writer-pw-1" not in f"{caught.value!r} {caught.value.remedy} {caught.value.context}"


async def test_login_stripped_on_the_way(playback: Playback, store: Callable[..., Any]) -> None:
    """A fresh challenge to every login means that a proxy drops it; the body goes out twice at most."""
    playback.plays(LOGIN, (PUT, meaning("challenge")), (PUT, meaning("challenge")))
    with pytest.raises(UconDBError, match="401 Unauthorized") as caught:
        await store()
    assert "proxy may drop the Authorization header" in caught.value.remedy


@pytest.mark.parametrize(
    ("reply", "told", "remedy"),
    [
        (meaning("folder_missing_put"), "404 Not Found (Folder not found)", "ucon_db.folder_name"),
        (meaning("read_only"), "405 Method Not Allowed (Read-only instance)", "read-only"),
        (b"HTTP/1.1 404 Service not found\n\n", "404 Service not found", "ucon_db.server_url"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "403 Forbidden", "ucon_db.writer_user"),
    ],
)
async def test_refused_before_the_body(
    playback: Playback, store: Callable[..., Any], reply: bytes, told: str, remedy: str
) -> None:
    """What a setting got wrong shows before the body is sent; the remedy names the setting; the run only waits."""
    playback.plays((LOGIN[0], reply))
    with pytest.raises(UconDBError) as caught:
        await store()
    assert str(caught.value) == f"Failed to upload blob for run 1001: {told}"
    assert remedy in caught.value.remedy
    assert caught.value.retry is Retry.TRANSIENT
    assert caught.value.run == 1001


async def test_confirmed_and_different(playback: Playback, store: Callable[..., Any]) -> None:
    """Bytes that come back different each time after a confirmed put are the runbook's VerificationError."""
    wrong = (READ, blob_reply(OTHER))
    playback.plays(LOGIN, STORED, *[wrong] * 9)
    with pytest.raises(VerificationError, match="MD5 mismatch between generated and downloaded blobs") as caught:
        await store()
    assert caught.value.context == {
        "generated_md5": hashlib.md5(BLOB, usedforsecurity=False).hexdigest(),
        "downloaded_md5": hashlib.md5(OTHER, usedforsecurity=False).hexdigest(),
        "generated_sha256": hashlib.sha256(BLOB).hexdigest(),
        "downloaded_sha256": hashlib.sha256(OTHER).hexdigest(),
    }


async def test_different_once(playback: Playback, store: Callable[..., Any]) -> None:
    """Bytes damaged on the way are read again, and the put is not repeated."""
    playback.plays(LOGIN, STORED, (READ, blob_reply(OTHER)), BACK)
    assert await store() is StoreOutcome.PROVEN


async def test_empty_blob_stored(playback: Playback, store: Callable[..., Any]) -> None:
    """A put that stored an empty blob with status 200, as a re-chunking proxy makes it, is never called proven."""
    confirmed = meaning("put_ok", old='"data_size": 15', new='"data_size": 0')
    playback.plays(LOGIN, (PUT, confirmed), *[(READ, blob_reply(b"", adler32="1"))] * 2)
    with pytest.raises(VerificationError):
        await store()


async def test_cut_read_back(playback: Playback, store: Callable[..., Any]) -> None:
    """A read that breaks off, which only the size shows, is repeated; the put is not."""
    playback.plays(LOGIN, STORED, (READ, meaning("blob", cut=7)), (READ, meaning("blob", cut=0)), BACK)
    assert await store() is StoreOutcome.PROVEN


async def test_read_back_always_cut(playback: Playback, store: Callable[..., Any]) -> None:
    """A blob that cannot be read whole is a transient error, not a conflict."""
    playback.plays(LOGIN, STORED, *[(READ, meaning("blob", cut=7))] * 3)
    with pytest.raises(UconDBError, match="7 of 15 bytes") as caught:
        await store()
    assert caught.value.retry is Retry.TRANSIENT


async def test_frozen_read_back(playback: Playback, store: Callable[..., Any]) -> None:
    """A server that does not answer in time is reported in the runbook's words, and not tried again."""
    playback.plays(LOGIN, STORED, (READ, freeze()))
    with pytest.raises(UconDBError, match=r"Read timed out \(read timeout=2\)$"):
        await store()


async def test_another_key_comes_back(playback: Playback, store: Callable[..., Any]) -> None:
    """The bytes of another key prove nothing, equal as they may be."""
    playback.plays(LOGIN, STORED, (READ, blob_reply(BLOB, key="4922")))
    with pytest.raises(UconDBError, match="4922"):
        await store()


async def test_blob_too_large(playback: Playback, connect: Callable[..., Any]) -> None:
    """A blob that the server cannot hold is refused for good before anything is sent."""
    client = await connect(playback.url, largest_blob=14)
    with pytest.raises(UconDBError, match="15 bytes") as caught:
        await client.store("1001", Blob.of(BLOB), tag="1001", look_first=False)
    assert caught.value.retry is Retry.PERMANENT
    assert playback.requests == []


async def test_odd_names_travel_in_the_query(playback: Playback, connect: Callable[..., Any]) -> None:
    """Names, keys and tags that are not plain are percent-encoded in the query, commas above all."""
    client = await connect(playback.url, object_name="a b,c")
    expected = "/data/test01?object=a%20b%2Cc&"
    playback.plays(
        (f"POST {expected}tv=x", meaning("challenge")),
        (f"POST {expected}full_meta=yes&key=1001&tag=x%26y", meaning("bad_password")),
    )
    with pytest.raises(UconDBError, match="401"):
        await client.store("1001", Blob.of(BLOB), tag="x&y", look_first=False)
    assert "," not in playback.requests[1].headers["authorization"].partition('uri="')[2].partition('"')[0]
