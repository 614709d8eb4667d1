"""HTTP itself: framing, keep-alive, refusals before the body (ucondb_protocol.md sections 2 and 10)."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.waiting import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.ucondb_server.conftest import Server

CHUNKED = b"6\r\nhello \r\n8\r\nchunked\n\r\n0\r\n\r\n"


def head(server: Server, line: str, *headers: str) -> bytes:
    """Return a request's head; ``line`` holds the target below the base."""
    method, target = line.split()
    return "\r\n".join((f"{method} {server.base}{target} HTTP/1.1", "Host: x", *headers, "", "")).encode()


@pytest.fixture(scope="module")
def faithful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One faithful server for the tests of this module."""
    from tests.ucondb_server.conftest import launcher

    with launcher() as launch:
        yield launch(tmp_path_factory.mktemp("faithful") / "data", faithful=True)


def test_a_plain_connection_serves_many_requests(shared: Server) -> None:
    """One connection carries puts, reads, lists and errors; every reply has a Content-Length."""
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=DEADLINE_SECONDS)
    with contextlib.closing(connection):
        connection.connect()
        first = connection.sock
        for method, target in (
            ("POST", "/data/test01/keep?key=1"),
            ("GET", "/data/test01/keep?key=1"),
            ("HEAD", "/data/test01/keep?key=1"),
            ("GET", "/data/test01/keep?id=1"),
            ("GET", "/get_blob?folder=test01&data_key=1"),
            ("GET", "/versions?folder=test01&object=keep"),
            ("GET", "/nosuch"),
            ("GET", "/data/nosuch/o"),
        ):
            login = shared.login(method, target) if method == "POST" else {}
            connection.request(method, shared.base + target, b"kept" if login else None, login)
            reply = connection.getresponse()
            body = reply.read()
            length = reply.getheader("Content-Length")
            assert length is not None
            assert int(length) == (4 if method == "HEAD" else len(body))
        assert connection.sock is first


def test_a_kept_connection_is_not_slowed_by_delayed_acknowledgements(shared: Server) -> None:
    """Head and body of a reply leave at once: Nagle's algorithm would make every such request take 40 ms."""
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=DEADLINE_SECONDS)

    def took_less_than_a_delayed_acknowledgement() -> bool:
        before = time.perf_counter()
        connection.request("GET", shared.base + "/version")
        connection.getresponse().read()
        return time.perf_counter() - before < 0.03

    with contextlib.closing(connection):
        for _ in range(5):  # the kernel acknowledges the first ones at once
            took_less_than_a_delayed_acknowledgement()
        wait_until(took_less_than_a_delayed_acknowledgement)  # however slow the machine is, one is undisturbed


def test_requests_sent_together_are_answered_in_order(shared: Server) -> None:
    """Two requests in one packet get two replies on the same connection."""
    with shared.connect() as connection:
        connection.sendall(head(shared, "GET /version") + head(shared, "GET /probe", "Connection: close"))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b"3.9.7") < received.index(b"OK", received.index(b"3.9.7"))


def test_a_chunked_upload_is_411_and_stores_nothing(shared: Server) -> None:
    """A plain server demands Content-Length, as Apache does."""
    target = "/data/test01/chunked?key=1"
    login = f"Authorization: {shared.login('POST', target)['Authorization']}"
    reply = shared.raw(head(shared, f"POST {target}", login, "Transfer-Encoding: chunked") + CHUNKED, "POST")
    assert (reply.status, reply.reason) == (411, "Length Required")
    assert shared.get(target).status == 500  # no such object


def test_a_chunked_upload_to_a_faithful_server_stores_nothing_but_a_version(faithful: Server) -> None:
    """The trap of the real listener: 200, and an empty blob under the key."""
    target = "/data/test01/chunked?key=1&full_meta=yes"
    login = f"Authorization: {faithful.login('POST', target)['Authorization']}"
    reply = faithful.raw(head(faithful, f"POST {target}", login, "Transfer-Encoding: chunked") + CHUNKED, "POST")
    assert (reply.status, reply.json["data_size"]) == (200, 0)


def test_a_plain_server_reads_on_after_an_early_refusal(shared: Server) -> None:
    """The rest of a refused body is read and forgotten, and the connection serves the next request."""
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=DEADLINE_SECONDS)
    with contextlib.closing(connection):
        connection.request("POST", shared.base + "/data/nosuch/o?key=1", bytes(4_000_000))
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (404, b"Folder not found")
        connection.request("GET", shared.base + "/version")
        assert connection.getresponse().read() == b"3.9.7"


def test_a_faithful_server_answers_and_closes_with_the_body_unread(faithful: Server) -> None:
    """The refusal of a body that is still being sent is there to be read, then the connection ends."""
    with faithful.connect() as connection:
        connection.sendall(head(faithful, "POST /data/nosuch/o?key=1", "Content-Length: 4000000") + bytes(1000))
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        assert (reply.status, reply.read()) == (404, b"Folder not found")
        assert connection.recv(1) == b""


def test_expect_continue_is_answered_before_the_body(shared: Server) -> None:
    """A client that waits for 100 gets it, sends its body, and has it stored."""
    target = "/data/test01/expect?key=1&full_meta=yes"
    login = f"Authorization: {shared.login('POST', target)['Authorization']}"
    with shared.connect() as connection:
        connection.sendall(head(shared, f"POST {target}", login, "Content-Length: 7", "Expect: 100-continue"))
        interim = connection.recv(1000)
        assert interim.startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"expect\n")
        reply = http.client.HTTPResponse(connection, method="POST")
        reply.begin()
        assert reply.status == 200
        assert b'"data_size": 7' in reply.read()


def test_a_key_that_would_break_the_headers_is_a_500(shared: Server) -> None:
    """A key with a line break can be put and looked up, but never injects a header."""
    target = "/data/test01/inject?key=a%0D%0AX-Injected:%201"
    assert shared.put(target, b"x").status == 200
    assert shared.get(target + "&meta_only=yes").json["key"] == "a\r\nX-Injected: 1"
    reply = shared.get(target)
    assert reply.status == 500
    assert "x-injected" not in reply.headers


def test_markup_in_a_reason_stays_text(shared: Server) -> None:
    """What a stranger writes into a parameter's name comes back with its angle brackets escaped."""
    reply = shared.get("/get_blob?folder=test01&data_key=1&%3Cscript%3E=1")
    assert reply.status == 500
    assert b"unexpected keyword argument '&lt;script>'" in reply.body


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_not_http_is_a_400(shared: Server, junk: bytes) -> None:
    """A malformed head (TLS, no target, no Host) is refused and the server serves on."""
    reply = shared.raw(junk)
    assert reply.status == 400
    assert shared.get("/version").status == 200


def test_an_endless_head_is_refused(shared: Server) -> None:
    """A head that does not end is given up, not collected."""
    with shared.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head(shared, "GET /version")[:-2] + b"X: " + b"y" * 400_000)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert shared.get("/version").status == 200


def test_one_stalled_uploader_blocks_a_faithful_server_only(shared: Server, faithful: Server) -> None:
    """The real process works on one request at a time; the plain one does not."""
    for server, blocked in ((shared, False), (faithful, True)):
        with server.connect() as stalled, server.connect() as other:
            stalled.sendall(head(server, "POST /data/test01/stall?key=1", "Content-Length: 10", "Expect: 100-continue"))
            assert stalled.recv(1000).startswith(b"HTTP/1.1 100 ")  # now it waits for the body
            other.sendall(head(server, "GET /version"))
            other.settimeout(0.3 if blocked else DEADLINE_SECONDS)
            if blocked:
                with pytest.raises(TimeoutError):
                    other.recv(1000)
                stalled.shutdown(socket.SHUT_RDWR)
                other.settimeout(DEADLINE_SECONDS)
            assert other.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_a_silent_client_does_not_stop_others_from_downloading(launch: Callable[..., Server], tmp_path: Path) -> None:
    """Clients that ask for a large blob and never read it leave the server to everybody else."""
    server = launch(tmp_path / "data")
    blob = bytes(12_000_000)
    assert server.put("/data/test01/o?key=1", blob).status == 200
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(server.connect()).sendall(head(server, "GET /data/test01/o?key=1"))
        assert server.get("/data/test01/o?key=1").body == blob
