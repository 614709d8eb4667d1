"""Connections: what is sent, what is kept, what breaks, and how the client gets over it."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import ssl
import sys
import tracemalloc
import zlib

import pytest

from archiverd.core.errors import Retry, UconDBError
from archiverd.ucondb.client import HttpUconDB
from archiverd.ucondb.http import BrokenExchangeError, HttpExchange, tls_context
from archiverd.ucondb.port import Blob, Fingerprint, StoreOutcome
from tests.ucondb.playback import (
    DATA,
    Playback,
    client,
    freeze,
    play,
    playing,
    recorded,
    reply,
    reset,
    say,
    settings,
)

PEM = DATA / "tls.pem"


def blob_reply(blob: bytes, **changes: object) -> bytes:
    """Make the reply to a read of ``blob`` under key 1001, unframed as the real listener sends it."""
    told = {"version-key": "1001", "data-size": len(blob), "adler32": zlib.adler32(blob), **changes}
    headers = "".join(f"X-UConDB-{name}: {value}\r\n" for name, value in told.items() if value is not None)
    return f"HTTP/1.1 200 OK\r\n{headers}Connection: close\r\n\r\n".encode() + blob


def meta_reply(blob: bytes) -> bytes:
    """Make the metadata reply that goes with ``blob_reply``."""
    body = f'{{"key": "1001", "id": 1, "data_size": {len(blob)}, "uadler32": {zlib.adler32(blob)}}}'
    return reply("200 OK", body.encode())


async def test_a_recorded_blob_is_read_whole() -> None:
    """Bytes, length and SHA-256 come back as recorded."""
    steps = play("d_get_meta_only"), play("d_get_key_query")
    async with playing(*steps, *steps) as (ucondb, server):
        assert await ucondb.read("1001") == b"hello run 1001\n"
        digest = hashlib.sha256(b"hello run 1001\n").hexdigest()
        assert (await ucondb.summarise("1001")).identity == Fingerprint(15, digest)
        assert server.asked[1] == "GET /data/test01/configuration?key=1001"


async def test_any_bytes_are_read_as_they_are() -> None:
    """NUL, CRLF, BOM and invalid UTF-8 pass untouched, and a negative checksum is the same checksum (T4)."""
    blob = b"\xef\xbb\xbf\r\n\x00" + bytes(range(256)) * 500
    steps = say(meta_reply(blob)), say(blob_reply(blob, adler32=zlib.adler32(blob) - 2**32))
    async with playing(*steps) as (ucondb, _):
        assert await ucondb.read("1001") == blob


async def test_reading_nothing_is_an_error() -> None:
    """An absent key is reported as such."""
    async with playing(play("d_get_key_missing_meta")) as (ucondb, _):
        with pytest.raises(UconDBError, match=r"^Failed to read run 1001 back from UconDB: "):
            await ucondb.read("1001")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version-key": "5001"}, "5001"),
        ({"version-key": None}, "None"),
        ({"data-size": None}, "how many bytes"),
        ({"data-size": "many"}, "how many bytes"),
        ({"data-size": 3}, "more than the 3 bytes"),
    ],
)
async def test_a_blob_with_the_wrong_headers_is_not_taken(changes: dict[str, object], words: str) -> None:
    """Another version's bytes, or bytes that cannot be counted, are an error (T2, T3)."""
    async with playing(say(meta_reply(b"hello")), say(blob_reply(b"hello", **changes))) as (ucondb, _):
        with pytest.raises(UconDBError, match=words) as caught:
            await ucondb.read("1001")
    assert caught.value.retry is Retry.TRANSIENT


async def test_bytes_that_never_match_their_checksum_are_not_given() -> None:
    """Damage that stays after three reads is an error; a checksum left out is none."""
    damaged = say(blob_reply(b"hellO", adler32=zlib.adler32(b"hello")))
    steps = [damaged, damaged, damaged, say(meta_reply(b"hello")), say(blob_reply(b"hello", adler32=None))]
    async with playing(say(meta_reply(b"hello")), *steps) as (ucondb, _):
        with pytest.raises(UconDBError, match="checksum"):
            await ucondb.read("1001")
        assert await ucondb.read("1001") == b"hello"


@pytest.mark.parametrize("cut", [0, 1, 4])
async def test_a_download_that_breaks_off_is_read_again(cut: int) -> None:
    """A reset in the middle and a silent end are the same to us: too few bytes (T2)."""
    whole = blob_reply(b"hello")
    short = whole[: len(whole) - 5 + cut]
    steps = say(meta_reply(b"hello")), reset(short), say(short), say(whole)
    async with playing(*steps) as (ucondb, _):
        assert await ucondb.read("1001") == b"hello"


async def test_a_download_that_freezes_is_given_up() -> None:
    """A server that stops in the middle of a blob costs one timeout."""
    steps = say(meta_reply(b"hello")), freeze(blob_reply(b"hello")[:-1])
    async with playing(*steps, timeout_seconds=2.0) as (ucondb, _):
        with pytest.raises(UconDBError, match=r"Read timed out \(read timeout=2\)"):
            await ucondb.summarise("1001")


async def test_a_blob_too_large_for_memory_is_not_read_into_it() -> None:
    """What archiverd would never have stored is refused by its announced size; its fingerprint can be taken."""
    steps = say(meta_reply(b"hello")), say(blob_reply(b"hello"))
    async with playing(*steps, *steps, largest_blob=4) as (ucondb, _):
        with pytest.raises(UconDBError, match="holds 5 bytes"):
            await ucondb.read("1001")
        assert (await ucondb.summarise("1001")).identity.length == 5


async def test_a_fingerprint_takes_constant_memory() -> None:
    """64 MB are read back with a few MB of memory."""
    size = 64_000_000
    piece = bytes(1 << 16)
    adler32, digest = 1, hashlib.sha256()
    for start in range(0, size, len(piece)):
        adler32 = zlib.adler32(piece[: size - start], adler32)
        digest.update(piece[: size - start])

    async def pour(writer: asyncio.StreamWriter, _ended: asyncio.Event) -> bool:
        writer.write(blob_reply(b"", **{"data-size": size, "adler32": adler32}))
        for start in range(0, size, len(piece)):
            writer.write(piece[: size - start])
            await writer.drain()
        return False

    described = reply("200 OK", f'{{"key":"1001","id":1,"data_size":{size},"uadler32":{adler32}}}'.encode())
    async with playing(say(described), pour) as (ucondb, _):
        tracemalloc.start()
        try:
            assert (await ucondb.summarise("1001")).identity == Fingerprint(size, digest.hexdigest())
            assert tracemalloc.get_traced_memory()[1] < 8_000_000
        finally:
            tracemalloc.stop()


async def test_a_large_body_is_sent_with_its_length_and_without_a_copy() -> None:
    """20 MB go out unchunked, whole and slice by slice: neither memory nor the event loop feels them."""
    blob = bytes(range(256)) * 80_000
    arrived: list[tuple[bytes, str]] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, digest, left = await reader.readuntil(b"\r\n\r\n"), hashlib.sha256(), len(blob)
        while left:
            piece = await reader.read(min(left, 1 << 16))
            digest.update(piece)
            left -= len(piece)
        arrived.append((head, digest.hexdigest()))
        writer.write(reply("200 OK"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/i/app"
    wire = HttpExchange(url, 20.0, tls_context(verify=True, ca_file=None))
    tracemalloc.start()
    try:
        assert (await wire.ask("POST", "/i/app/x", body=[blob])).status == 200
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    await wire.close()
    server.close()
    await server.wait_closed()
    ((head, digest),) = arrived
    assert f"content-length: {len(blob)}\r\n".encode() in head.lower()
    assert b"transfer-encoding" not in head.lower()
    assert digest == hashlib.sha256(blob).hexdigest()


async def test_a_body_is_let_go_with_its_exchange() -> None:
    """Blobs do not pile up until the cycle collector comes by: after the exchange nobody refers to the body."""
    blob = bytes(range(256)) * 4_000
    async with Playback(say(reply("200 OK"))).running() as server:
        wire = wire_to(server, seconds=20.0, connections=1)
        gc.disable()
        try:
            before = sys.getrefcount(blob)
            await wire.ask("POST", "/put", body=[blob])
            assert sys.getrefcount(blob) == before
        finally:
            gc.enable()
        await wire.close()


async def test_an_early_refusal_of_a_large_body_is_understood() -> None:
    """A server that answers 404 with the body unread and resets: the reply or, where it was lost, a look-up decides."""
    blob = bytes(20_000_000)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if "tv=x" in head:
            writer.write(recorded("q_safe_probe_with_credentials", 0))
        elif head.startswith("POST"):
            writer.write(recorded("c_noauth_missing_folder"))
            await writer.drain()
        elif "/versions" in head:
            writer.write(recorded("a_versions_missing_folder"))
        else:
            writer.write(recorded("d_get_folder_missing"))
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/i/app"
    async with client(url) as ucondb:
        with pytest.raises(UconDBError) as caught:
            await ucondb.store("1001", Blob.of(blob), tag="1001", look_first=False)
    assert caught.value.retry is Retry.UNKNOWN or "ucon_db.folder_name" in caught.value.remedy
    server.close()
    await server.wait_closed()


async def test_nothing_sent_is_told_as_connection_refused() -> None:
    """With no server there, each call fails in the runbook's words, and nothing is unknown."""
    async with Playback().running() as server:
        url = server.url
    async with client(url) as ucondb:
        for call in (
            ucondb.store("1001", Blob.of(b"x"), tag="1001", look_first=False),
            ucondb.store("1001", Blob.of(b"x"), tag="1001", look_first=True),
        ):
            with pytest.raises(
                UconDBError, match=r"^Failed to upload blob for run 1001: Connection refused$"
            ) as caught:
                await call
            assert (caught.value.retry, caught.value.run) == (Retry.TRANSIENT, 1001)
        with pytest.raises(UconDBError, match=r"^Failed to initialize UConDB client: Connection refused$"):
            await ucondb.check()


async def test_a_refusal_between_login_and_put_sent_nothing() -> None:
    """A server that goes away after the login was learned refuses the put: transient, not unknown."""
    steps = play("q_safe_probe_with_credentials", 0), play("b_put_key_tag_fullmeta"), play("d_get_key_query")
    blob = b"hello run 1001\n"
    async with Playback(*steps).running() as server:
        ucondb = HttpUconDB(settings(server.url), rereads=2)
        await ucondb.open()
        assert await ucondb.store("1001", Blob.of(blob), tag="1001", look_first=False) is StoreOutcome.PROVEN
    with pytest.raises(UconDBError, match="Connection refused") as caught:
        await ucondb.store("1001", Blob.of(blob), tag="1001", look_first=False)
    assert caught.value.retry is Retry.TRANSIENT
    await ucondb.close()


async def test_a_connection_that_is_kept_is_used_again() -> None:
    """Where the server keeps the connection, the next request goes over it."""
    keep = say(recorded("d_get_meta_only").replace(b"Connection: close\r\n", b""), keep=True)
    async with playing(keep, keep, keep) as (ucondb, server):
        for _ in range(3):
            assert await ucondb.look_up("1001") is not None
        assert server.connections == 1


def server_tls() -> ssl.SSLContext:
    """Return a TLS context with the tests' own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


async def test_tls_is_verified_unless_told_otherwise() -> None:
    """A certificate nobody vouches for is refused by name; a ca_file, or verify_tls = false, takes it."""
    found = play("d_get_meta_only")
    async with Playback(found, found).running(tls=server_tls()) as server:
        async with client(server.url) as ucondb:
            with pytest.raises(UconDBError, match=r"TLS certificate verification failed: self.signed") as caught:
                await ucondb.look_up("1001")
            assert caught.value.retry is Retry.TRANSIENT
        async with client(server.url, ca_file=PEM) as ucondb:
            assert await ucondb.look_up("1001") is not None
        async with client(server.url, verify_tls=False) as ucondb:
            assert await ucondb.look_up("1001") is not None


async def test_tls_to_a_server_without_it_sent_nothing() -> None:
    """A failed handshake is reported as TLS, and a put through it is not unknown."""

    async def speak_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(recorded("raw/21_overload_503"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/i/app"
    async with client(url) as ucondb:
        with pytest.raises(UconDBError, match=r"run 1001: TLS failed: ") as caught:
            await ucondb.store("1001", Blob.of(b"x"), tag="1001", look_first=False)
        assert caught.value.retry is Retry.TRANSIENT
    server.close()
    await server.wait_closed()


async def test_a_ca_file_that_is_none_is_told_when_opening() -> None:
    """The error of a missing file, and of one without certificates, names it."""
    for path in (DATA / "nosuch.pem", DATA / "exchanges.md"):
        ucondb = HttpUconDB(settings("https://127.0.0.1:1/i/app", ca_file=path), rereads=2)
        with pytest.raises(UconDBError, match=f"^Failed to initialize UConDB client: .*{path.name}"):
            await ucondb.open()


async def test_a_name_that_does_not_resolve_is_told() -> None:
    """A host that the resolver refuses is reported as such, and nothing was sent."""
    async with client(f"http://{'x' * 70}.invalid/i/app") as ucondb:
        with pytest.raises(UconDBError, match=r"the server's name cannot be resolved") as caught:
            await ucondb.look_up("1001")
    assert caught.value.retry is Retry.TRANSIENT


def wire_to(server: Playback, seconds: float, connections: int) -> HttpExchange:
    """Return a wire with few connections and little patience."""
    return HttpExchange(server.url, seconds, tls_context(verify=True, ca_file=None), connections=connections)


async def test_a_pool_that_gives_no_connection_is_replaced() -> None:
    """With its only connection held, a request goes through a fresh pool; the held exchange ends in peace."""
    held = asyncio.Event()

    async def hold(writer: asyncio.StreamWriter, _ended: asyncio.Event) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe")
        await held.wait()
        writer.write(b"ld")
        await writer.drain()
        return False

    async with Playback(hold, say(reply("200 OK", b"fresh"))).running() as server:
        wire = wire_to(server, seconds=0.5, connections=1)
        stuck = wire._pool.client
        async with wire.exchange("GET", "/held", seconds=20) as answer:
            assert (await wire.ask("GET", "/next")).body == b"fresh"
            closed_while_held = stuck.is_closed
            held.set()
            assert (await answer.whole()).body == b"held"
        assert (closed_while_held, stuck.is_closed) == (False, True)
        await wire.close()


async def test_requests_cancelled_under_contention_do_not_poison_the_client() -> None:
    """After hundreds of cancellations while others wait for two connections, every request still gets through."""
    cancelled, answered = 300, 10

    async def slow(writer: asyncio.StreamWriter, _ended: asyncio.Event) -> bool:
        for _ in range(3):
            await asyncio.sleep(0)
        writer.write(reply("200 OK", b"OK"))
        await writer.drain()
        return True

    playback = Playback(*[slow] * (cancelled + answered))
    async with playback.running() as server:
        wire = wire_to(server, seconds=2.0, connections=2)
        tasks = []
        for turn in range(cancelled):
            tasks.append(asyncio.create_task(wire.ask("GET", f"/{turn}")))
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            tasks[turn // 2].cancel()
            tasks[turn].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for turn in range(answered):
            assert (await wire.ask("GET", f"/after/{turn}")).body == b"OK"
        await wire.close()
        playback.steps.clear()


async def test_closing_closes_replaced_pools_too() -> None:
    """A pool that was replaced while in use is closed with the rest."""
    async with Playback(freeze(b"HTTP/1.1 200 OK\r\n\r\n"), say(reply("200 OK"))).running() as server:
        wire = wire_to(server, seconds=0.5, connections=1)

        async def close_while_it_is_held() -> None:
            async with wire.exchange("GET", "/held", seconds=20) as answer:
                await wire.ask("GET", "/next")
                await wire.close()
                await answer.whole()

        with pytest.raises(BrokenExchangeError, match="broke"):
            await close_while_it_is_held()


async def test_a_client_that_is_not_open_says_so() -> None:
    """Using the client before open or after close is our own mistake, reported as such; closing twice is harmless."""
    ucondb = HttpUconDB(settings("http://127.0.0.1:1/i/app"), rereads=2)
    with pytest.raises(UconDBError, match="not open") as caught:
        await ucondb.look_up("1")
    assert caught.value.retry is Retry.BUG
    await ucondb.open()
    await ucondb.close()
    await ucondb.close()
