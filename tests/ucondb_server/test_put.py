"""Putting: order of checks, keys taken, durability (ucondb_protocol.md sections 4 and 8)."""

from __future__ import annotations

import http.client
import random
import re
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ucondb_server.conftest import Server

SEQUENTIAL = re.compile(r"<h3>Version of object (\S+) with key (\S+) already exists</h3>")
SIMULTANEOUS = re.compile(
    r'<h3>duplicate key value violates unique constraint "test01_object_key_inx"\n'
    r"DETAIL:  Key \(object, key\)=\((\S+), (\S+)\) already exists.\n</h3>"
)


def noise(size: int, seed: int = 1) -> bytes:
    """Return pseudo-random bytes, the same each time."""
    return random.Random(seed).randbytes(size)


def test_login_by_the_challenge_stores_the_bytes(shared: Server) -> None:
    """Without credentials comes a challenge; answering it stores exactly the body, read back under its key."""
    target = "/data/test01/login?key=7&tag=7&full_meta=yes"
    refused = shared.request("POST", target, b"blob")
    assert (refused.status, refused.body) == (401, b"Authorization required")
    challenge = dict(re.findall(r'(\w+)="?([^",]+)"?', refused.headers["www-authenticate"]))
    login = shared.login("POST", target, challenge["realm"], nonce=challenge["nonce"])
    meta = shared.request("POST", target, b"blob", login).json
    assert (meta["key"], meta["data_size"], meta["tags"]) == ("7", 4, ["7"])
    read = shared.get("/data/test01/login?key=7")
    assert (read.body, read.headers["x-ucondb-version-key"]) == (b"blob", "7")


@pytest.mark.parametrize(
    ("target", "login", "status", "words"),
    [
        ("/data/a-b/o?key=%3C", True, 400, "Invalid value for key"),
        ("/data/a-b/o?key=%3B", True, 500, "Invalid argument value"),
        ("/data/a-b?tv=x", False, 500, "not all arguments converted"),
        ("/data/nosuch?tv=x", False, 404, "Folder not found"),
        ("/data/test01?tv=x", False, 400, ""),
        ("/data/test01/order?tv=x&key=1", False, 401, "Authorization required"),
        ("/data/test01/order?tv=x&key=1", True, 500, "could not convert string to float: 'x'"),
        ("/data/test01/order?tv=1&key=1", True, 500, "already exists"),
    ],
)
def test_checks_come_in_the_real_order(shared: Server, target: str, login: bool, status: int, words: str) -> None:
    """Of several faults of a put, the one that the real server checks first is reported."""
    if shared.get("/data/test01/order?key=1").status != 200:
        assert shared.put("/data/test01/order?key=1", b"first").status == 200
    reply = shared.request("POST", target, b"x", shared.login("POST", target) if login else {})
    assert reply.status == status
    assert words in reply.body.decode()


def test_of_simultaneous_puts_of_a_key_exactly_one_wins(shared: Server) -> None:
    """Twenty clients put different bytes under one key: one 200, nineteen 500 that say so, and one version."""
    target = "/data/test01/race?key=1"
    with ThreadPoolExecutor(20) as clients:
        replies = list(clients.map(lambda n: shared.put(target, b"racer %d" % n), range(20)))
    assert sorted(reply.status for reply in replies) == [200] + [500] * 19
    for reply in replies:
        if reply.status == 500:
            text = reply.body.decode()
            match = SEQUENTIAL.search(text) or SIMULTANEOUS.search(text)
            assert match is not None, text
            assert match.groups() == ("race", "1")
    winner = next(n for n, reply in enumerate(replies) if reply.status == 200)
    assert shared.get(target).body == b"racer %d" % winner
    assert len(shared.get("/versions?folder=test01&object=race").json) == 1


def test_a_version_is_never_visible_before_its_blob_is_whole(shared: Server) -> None:
    """Readers that poll during a large put see nothing, and then all of it."""
    blob, target = noise(24_000_000), "/data/test01/whole?key=1"
    seen: list[tuple[int, bytes]] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            reply = shared.get(target)
            seen.append((reply.status, reply.body))

    with ThreadPoolExecutor(1) as reader:
        polling = reader.submit(poll)
        try:
            assert shared.put(target, blob).status == 200
            assert shared.get(target).body == blob
        finally:
            done.set()
        polling.result()
    assert {status for status, _ in seen} <= {500, 200}  # 500: the object has no version yet
    assert all(body == blob for status, body in seen if status == 200)
    assert seen[0][0] == 500


def test_large_blobs_pass_through_bounded_memory(launch: Callable[..., Server], tmp_path: Path) -> None:
    """A blob of 96 MB is stored and read back whole while the process stays far below its size."""
    server = launch(tmp_path / "data")
    blob = noise(96_000_000)
    assert server.put("/data/test01/large?key=1", blob).status == 200
    assert server.get("/data/test01/large?key=1").body == blob
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text("ascii"))
    assert peak is not None
    assert int(peak[1]) < 90_000


def test_a_refused_large_put_is_told_after_the_whole_body(shared: Server) -> None:
    """A taken key and a missing login cost the whole upload, and the connection serves on."""
    blob, target = noise(3_000_000), "/data/test01/refused?key=1"
    assert shared.put(target, b"first").status == 200
    with shared.connect() as connection:
        http_connection = http.client.HTTPConnection("127.0.0.1", shared.port)
        http_connection.sock = connection
        for login, status in ((shared.login("POST", target), 500), ({}, 401)):
            http_connection.request("POST", shared.base + target, blob, login)
            reply = http_connection.getresponse()
            reply.read()
            assert reply.status == status
    assert shared.get(target).body == b"first"


def test_a_body_cut_short_stores_nothing(shared: Server) -> None:
    """A client that closes in the middle of its body leaves no version behind."""
    target = "/data/test01/short?key=1"
    assert shared.put("/data/test01/short?key=0", b"other").status == 200
    login = shared.login("POST", target)["Authorization"]
    head = f"POST {shared.base}{target} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\nContent-Length: 100\r\n\r\n"
    with shared.connect() as connection:
        connection.sendall(head.encode() + b"only this")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000) == b""
    assert shared.get(target).status == 404


def test_equal_bytes_share_a_blob(shared: Server) -> None:
    """Equal bytes under other keys and objects get the same data key; other bytes a new one."""
    first, second, third = (
        shared.put(f"/data/test01/{target}&full_meta=yes", body).json["data_key"]
        for target, body in (("share?key=1", b"same"), ("share2?key=2", b"same"), ("share?key=3", b"else"))
    )
    assert first == second
    assert third not in (first, second)


def test_what_was_acknowledged_survives_a_kill(launch: Callable[..., Server], tmp_path: Path) -> None:
    """Killed during puts and started again, the server has every acknowledged version, and only whole ones."""
    server = launch(tmp_path / "data")
    acknowledged: dict[str, bytes] = {}
    enough = threading.Event()

    def put_until_killed(client: int) -> None:
        for n in range(10_000):
            key, blob = f"{client}-{n}", noise(200_000 + 1_100_000 * (n % 2), seed=1000 * client + n)
            try:
                reply = server.put(f"/data/test01/kill?key={key}", blob)
            except (OSError, http.client.HTTPException):
                return
            assert reply.status == 200
            acknowledged[key] = blob
            if len(acknowledged) >= 12:
                enough.set()

    with ThreadPoolExecutor(4) as clients:
        running = [clients.submit(put_until_killed, client) for client in range(4)]
        assert enough.wait(DEADLINE_SECONDS)
        server.process.kill()
        for client in running:
            client.result()
    again = launch(tmp_path / "data")
    listed = again.get("/versions?folder=test01&object=kill").json
    assert set(acknowledged) <= {record["key"] for record in listed}
    for record in listed:
        body = again.get(f"/data/test01/kill?key={record['key']}").body
        assert len(body) == record["data_size"]
        client, n = map(int, record["key"].split("-"))
        assert body == noise(len(body), seed=1000 * client + n)
    assert again.stop(signal.SIGTERM)[0] == 0


def test_a_folder_dropped_during_a_download_breaks_it_off(launch: Callable[..., Server], tmp_path: Path) -> None:
    """A reader whose folder is emptied gets a short body that shows as such, never other bytes."""
    server = launch(tmp_path / "data")
    blob = noise(40_000_000)
    assert server.put("/data/test01/o?key=1", blob).status == 200
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", server.base + "/data/test01/o?key=1")
    reply = connection.getresponse()
    start = reply.read(100_000)
    drop = "/create_folder?folder=test01&drop=yes"
    assert server.request("GET", drop, headers=server.login("GET", drop, "test01")).body == b"OK"
    assert server.put("/data/test01/o?key=1", noise(40_000_000, seed=2)).status == 200
    with pytest.raises(http.client.IncompleteRead) as cut:
        reply.read()
    got = start + cut.value.partial
    assert got == blob[: len(got)]
    connection.close()
