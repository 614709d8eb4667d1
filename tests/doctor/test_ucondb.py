"""The way to UconDB, step by step: each fault is made for real, told, and mended; nothing is stored."""

from __future__ import annotations

import base64
import functools
import json
import os
import signal
import socket
import time
from contextlib import ExitStack
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from archiverd.doctor import certificate, ucondb
from archiverd.doctor.checkup import holds
from archiverd.doctor.finding import Status
from archiverd.ucondb.server_info import date_of, second_in
from tests.e2e.conftest import PASSWORD
from tests.waiting import NEVER_SECONDS

from .conftest import PEMS, answering, listening, relayed_to

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

    from .conftest import House, Lines

STEPS = (
    "UconDB URL",
    "UconDB name",
    "UconDB port",
    "UconDB certificate",
    "UconDB answer",
    "clock",
    "UconDB folder",
    "UconDB login",
)


def outcome(found: Lines) -> list[str]:
    """Return the statuses of all steps; the time is the machine's business."""
    return [found[name].status for name in STEPS if name != "clock"]


async def assert_fails_at(house: House, step: str, words: str, remedy: str) -> Lines:
    """Whatever comes before the step is well, it fails with words and remedy, what comes after is skipped."""
    found = await house.look(migrating=True)
    place = STEPS.index(step)
    assert all(found[name].status is not Status.FAILED for name in STEPS[:place])
    assert found[step].status is Status.FAILED
    assert words in found[step].message
    assert remedy in found[step].remedy
    assert all(found[name].status is Status.SKIPPED for name in STEPS[place + 1 :])
    assert PASSWORD not in repr(found)
    return found


async def test_when_all_is_well(full_house: House, server: Site) -> None:
    """Every step is taken, our clock agrees with the server's, and nothing is stored."""
    found = await full_house.look(migrating=True)
    assert outcome(found) == ["ok"] * 7
    assert found["clock"].status is Status.OK
    assert holds(list(found.values()))
    assert server.versions() == {}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://h:1/inst", "must end in /app"),
        ("https://writer:pl4nted@h:1/inst/app", "names a user"),
        ("ftp://h/inst/app", "is not http"),
        ("https://h:port/inst/app", "impossible port"),
    ],
)
async def test_the_shape_of_the_url(full_house: House, url: str, words: str) -> None:
    """The runbook's "must end in /app", and other ways to get it wrong; the URL itself is not shown."""
    right = full_house.settings["ucon_db"]["server_url"]
    full_house.change("ucon_db", server_url=url)
    found = await assert_fails_at(full_house, "UconDB URL", words, "https://host:port/instance/app")
    assert "pl4nted" not in repr(found)
    full_house.change("ucon_db", server_url=right)
    assert (await full_house.look(migrating=True))["UconDB URL"].status is Status.OK


async def test_a_name_that_nobody_knows(full_house: House) -> None:
    """A name without an address is told, with the command that looks it up."""
    full_house.change("ucon_db", server_url="http://nowhere.invalid:9443/inst/app")
    await assert_fails_at(full_house, "UconDB name", "nowhere.invalid", "getent hosts nowhere.invalid")


async def test_a_port_that_nobody_listens_at(full_house: House, server: Site) -> None:
    """The runbook's Connection refused; with the right port all is well."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    full_house.change("ucon_db", server_url=f"http://127.0.0.1:{port}/inst/app")
    await assert_fails_at(full_house, "UconDB port", "Connection refused", "port of ucon_db.server_url")
    full_house.change("ucon_db", server_url=server.url)
    assert outcome(await full_house.look(migrating=True)) == ["ok"] * 7


async def test_a_firewall_that_swallows_everything(full_house: House) -> None:
    """A host that says nothing at all costs four seconds, and is told as such."""
    with ExitStack() as stack:
        # A listener that accepts nothing: once its queue is full, the kernel drops what comes.
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 - the standard library's form
            filler.connect_ex(full.getsockname())
        full_house.change("ucon_db", server_url=f"http://127.0.0.1:{full.getsockname()[1]}/inst/app")
        await assert_fails_at(full_house, "UconDB port", "Connection timed out (connect timeout=4)", "firewall")


async def test_a_server_that_hangs(full_house: House, server: Site) -> None:
    """A frozen server takes the connection and no more: told as Read timed out, within the four seconds of a step."""
    full_house.change("ucon_db", timeout_seconds=NEVER_SECONDS)
    os.kill(server.children[0].pid, signal.SIGSTOP)
    try:
        await assert_fails_at(full_house, "UconDB answer", "Read timed out (read timeout=4", "UconDB")
    finally:
        os.kill(server.children[0].pid, signal.SIGCONT)
    assert outcome(await full_house.look(migrating=True)) == ["ok"] * 7


async def test_a_certificate_of_a_private_authority(full_house: House, server: Site) -> None:
    """Instead of `curl -k`: the certificate says what it is, and ca_file proves it."""
    async with listening(relayed_to(urlsplit(server.url).port or 0), "good.pem") as port:
        full_house.change("ucon_db", server_url=f"https://localhost:{port}/inst/app")
        found = await assert_fails_at(
            full_house, "UconDB certificate", "TLS certificate verification failed", "ucon_db.ca_file"
        )
        assert "localhost" in found["UconDB certificate"].message
        assert "issued by Test Authority, valid until 2119-01-01" in found["UconDB certificate"].message
        full_house.change("ucon_db", ca_file=str(PEMS / "authority.pem"))
        found = await full_house.look(migrating=True)
        assert outcome(found) == ["ok"] * 7
        assert "more days" in found["UconDB certificate"].message
        full_house.change("ucon_db", ca_file=None, verify_tls=False)
        found = await full_house.look(migrating=True)
        assert (found["UconDB certificate"].status, found["UconDB login"].status) == (Status.WARNING, Status.OK)
        assert "ucon_db.ca_file" in found["UconDB certificate"].remedy


@pytest.mark.parametrize(
    ("pem", "words", "remedy"),
    [
        ("expired.pem", "valid until 2021-01-01", "renew"),
        ("elsewhere.pem", "ucondb.elsewhere.test", "write ucondb.elsewhere.test instead of localhost"),
    ],
)
async def test_a_certificate_that_does_not_do(
    full_house: House, server: Site, pem: str, words: str, remedy: str
) -> None:
    """Expired, or for another host: told with what it says, and who is to mend it."""
    async with listening(relayed_to(urlsplit(server.url).port or 0), pem) as port:
        keys = {"server_url": f"https://localhost:{port}/inst/app", "ca_file": str(PEMS / "authority.pem")}
        full_house.change("ucon_db", **keys)
        await assert_fails_at(full_house, "UconDB certificate", words, remedy)


async def test_a_certificate_that_expires_soon(
    full_house: House, server: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three weeks before its end it is a warning, and uploads still work."""
    end = 4_702_060_800.0  # 2119-01-01
    monkeypatch.setattr(certificate.time, "time", lambda: end - 5 * certificate.DAY)
    assert certificate.Certificate("a", "b", (), 0.0, end).days == pytest.approx(5.0)
    monkeypatch.undo()
    monkeypatch.setattr(ucondb, "WARNED_DAYS", 1e6)
    async with listening(relayed_to(urlsplit(server.url).port or 0), "good.pem") as port:
        keys = {"server_url": f"https://localhost:{port}/inst/app", "ca_file": str(PEMS / "authority.pem")}
        full_house.change("ucon_db", **keys)
        found = await full_house.look(migrating=True)
    assert found["UconDB certificate"].status is Status.WARNING
    assert "renew" in found["UconDB certificate"].remedy
    assert found["UconDB login"].status is Status.OK


async def test_no_tls_where_there_should_be(full_house: House, server: Site) -> None:
    """https:// to a port that speaks http is told as the URL's mistake; so is a ca_file that is none."""
    full_house.change("ucon_db", server_url=server.url.replace("http:", "https:"))
    await assert_fails_at(full_house, "UconDB certificate", "TLS failed", "ucon_db.server_url")
    full_house.change("ucon_db", ca_file=str(full_house.path))
    await assert_fails_at(full_house, "UconDB certificate", "cannot use", "ucon_db.ca_file")


async def test_a_folder_that_is_not_there(full_house: House) -> None:
    """The runbook's "verify folder exists", without a write."""
    full_house.change("ucon_db", folder_name="nowhere")
    found = await assert_fails_at(full_house, "UconDB folder", "nowhere", "ucon_db.folder_name")
    assert found["UconDB answer"].status is Status.OK
    full_house.change("ucon_db", folder_name="test01", pending_folder_name="nowhere")
    found = await full_house.look(migrating=True)
    assert (found["UconDB folder"].status, found["UconDB pending folder"].status) == (Status.OK, Status.FAILED)
    full_house.change("ucon_db", pending_folder_name="pending01")
    assert (await full_house.look(migrating=True))["UconDB pending folder"].status is Status.OK


async def test_a_wrong_password(full_house: House, server: Site) -> None:
    """401 blames user or password; the right one mends it; nothing was stored by either."""
    full_house.change("ucon_db", writer_password="wr0ng-w0rd")
    found = await assert_fails_at(full_house, "UconDB login", "401", "user or password is wrong for test01")
    assert "wr0ng-w0rd" not in repr(found)
    full_house.change("ucon_db", writer_password=PASSWORD)
    assert outcome(await full_house.look(migrating=True)) == ["ok"] * 7
    assert server.versions() == {}


CHALLENGE = 'Digest realm="x", nonce="b\'{}\'", algorithm=MD5, qop="auth"'
NUMBER = "<h3>could not convert string to float: 'x'</h3>"


def ucon(
    method: str, path: str, logged_in: bool, *, refusal: tuple[int, bool] | None = None, skew: float = 0.0
) -> tuple[int, str, dict[str, str]]:
    """Answer as UconDB; a login is refused with a status, and with a challenge or without."""
    nonce = base64.b64encode(str(int(time.time() + skew)).encode()).decode()
    challenge = {"WWW-Authenticate": CHALLENGE.format(nonce)}
    if method == "POST":
        if not logged_in:
            return 401, "Authorization required", challenge
        if refusal is not None:
            status, challenging = refusal
            return status, "refused", challenge if challenging else {}
        return 500, NUMBER, {}
    body = "OK" if "/probe" in path else "3.9.7" if "/version" in path else "Version not found"
    return 404 if body == "Version not found" else 200, body, {}


@pytest.mark.parametrize(
    ("status", "challenging", "words", "remedy"),
    [
        (403, False, "403 Forbidden", "writer is known and may not write to test01: ask"),
        (401, False, "401", "user or password is wrong"),
        (401, True, "401", "a proxy may drop the Authorization header"),
    ],
)
async def test_refusals_are_told_apart(
    full_house: House, status: int, challenging: bool, words: str, remedy: str
) -> None:
    """403 is what we may, 401 who we are, and 401 with a challenge again what a proxy dropped."""
    async with listening(answering(functools.partial(ucon, refusal=(status, challenging)))) as port:
        full_house.change("ucon_db", server_url=f"http://127.0.0.1:{port}/inst/app")
        await assert_fails_at(full_house, "UconDB login", words, remedy)


@pytest.mark.parametrize(
    ("skew", "status", "words"),
    [
        (0.0, Status.OK, "agrees with UconDB's"),
        (40.0, Status.WARNING, "behind UconDB's"),
        (-4000.0, Status.FAILED, "ahead of UconDB's"),
    ],
)
@pytest.mark.parametrize("told_by", ["nonce", "Date"])
async def test_a_clock_that_is_wrong(full_house: House, skew: float, status: Status, words: str, told_by: str) -> None:
    """UconDB's time stands in its Date header, or in the nonce of a login; a wrong clock hinders no other step."""

    def answer(method: str, path: str, logged_in: bool) -> tuple[int, str, dict[str, str]]:
        if told_by == "nonce":
            return ucon(method, path, logged_in, skew=skew)
        code, body, headers = ucon(method, path, logged_in)
        return code, body, {**headers, "Date": formatdate(time.time() + skew, usegmt=True)}

    async with listening(answering(answer)) as port:
        full_house.change("ucon_db", server_url=f"http://127.0.0.1:{port}/inst/app")
        found = await full_house.look(migrating=True)
    assert found["clock"].status is status
    assert words in found["clock"].message
    assert "UconDB 3.9.7" in found["clock"].message
    assert found["UconDB login"].status is Status.OK


def test_times_that_cannot_be_understood() -> None:
    """A header or nonce of another form tells no time, and does no harm."""
    assert date_of("") is date_of("yesterday") is None
    assert second_in("b'MTc5NTQ3MjI1NQ=='") == 1795472255.0
    assert [second_in(text) for text in ("", "b''", "abc", "b'////'", "b'5'")] == [None] * 5


async def test_without_ucondb(full_house: House) -> None:
    """--import-only leaves the whole way out, and says so in one line."""
    full_house.change("ucon_db", writer_password=None)
    found = await full_house.look(migrating=False)
    assert found["UconDB URL"].status is Status.SKIPPED
    assert "UconDB login" not in found
    told = json.dumps([one.to_json() for one in found.values()])
    assert '"name": "UconDB URL", "status": "skipped"' in told
