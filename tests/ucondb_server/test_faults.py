"""Drills: each fault as a client meets it, and the same ones every time."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.ucondb_server.faults import Fault, FaultDealer, FaultPlan, parse_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.ucondb_server.conftest import Server


def test_a_specification_is_read_whole() -> None:
    """Every name has its place; spaces and empty parts do not matter."""
    spec = "latency=0.2, error=0.1,cut=0.05,,freeze=0.01,drop=0.02,seed=7"
    assert parse_plan(spec) == FaultPlan(latency=0.2, error=0.1, cut=0.05, freeze=0.01, drop=0.02, seed=7)
    assert parse_plan(None) == parse_plan("") == FaultPlan()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("errors=0.1", "'errors' is not one of"),
        ("error", "'' is not a number"),
        ("error=often", "'often' is not a number"),
        ("error=0.1,error=0.2", "twice"),
        ("error=-1", "not below 0"),
        ("latency=inf", "finite"),
        ("error=0.6,cut=0.6", "exceed 1"),
        ("seed=0.5", "not a number"),
    ],
)
def test_a_wrong_specification_is_refused_in_words(spec: str, words: str) -> None:
    """A mistake in the specification is named."""
    with pytest.raises(ValueError, match=words):
        parse_plan(spec)


@given(st.text(max_size=60))
def test_any_text_is_a_plan_or_a_value_error(spec: str) -> None:
    """Reading a specification ends in a plan or in words."""
    try:
        plan = parse_plan(spec)
    except ValueError:
        return
    assert 0 <= plan.error + plan.cut + plan.freeze + plan.drop <= 1


def test_faults_repeat_with_the_seed_whatever_else_happens() -> None:
    """What befalls a request depends on seed, request and repetition, not on what came between."""
    plan = FaultPlan(error=0.3, drop=0.3, seed=5)
    alone, among_others = FaultDealer(plan), FaultDealer(plan)
    expected = [alone.next("GET /a") for _ in range(50)]
    got = []
    for n in range(50):
        among_others.next(f"GET /other/{n}")
        got.append(among_others.next("GET /a"))
    assert got == expected
    assert len(set(expected)) == 3
    assert [FaultDealer(FaultPlan(error=0.3, drop=0.3, seed=6)).next("GET /a") for _ in range(50)] != expected


def test_shares_come_out_as_asked() -> None:
    """Over many requests each fault has its share."""
    drill = FaultDealer(FaultPlan(error=0.1, cut=0.2, freeze=0.2, drop=0.1))
    faults = [drill.next(f"GET /{n}") for n in range(10_000)]
    expected = {
        Fault.ERROR: 0.1,
        Fault.CUT: 0.2,
        Fault.FREEZE_FIRST: 0.1,
        Fault.FREEZE_LATE: 0.1,
        Fault.DROP: 0.1,
        Fault.NONE: 0.4,
    }
    for fault, share in expected.items():
        assert abs(faults.count(fault) / 10_000 - share) < 0.02


def test_an_error_is_the_page_of_a_stopped_database(launch: Callable[..., Server], tmp_path: Path) -> None:
    """Everything is a 500 but /version, and /probe reports it with status 200."""
    server = launch(tmp_path / "data", fault="error=1")
    reply = server.put("/data/test01/o?key=1", b"x")
    assert (reply.status, reply.reason) == (500, "Application Error")
    assert b"<h3>connection to server at" in reply.body
    assert server.get("/version").body == b"3.9.7"
    probe = server.get("/probe")
    assert (probe.status, probe.body[:6]) == (200, b"Error:")


@pytest.mark.parametrize("faithful", [False, True], ids=["plain", "faithful"])
def test_a_cut_download_shows_only_where_lengths_are_sent(
    launch: Callable[..., Server], tmp_path: Path, faithful: bool
) -> None:
    """Half of the blob arrives: an error with Content-Length, silence without, as on the real listener."""
    server = launch(tmp_path / "data", fault="cut=1", faithful=faithful)
    assert server.put("/data/test01/o?key=1", b"0123456789").status == 200
    if faithful:
        reply = server.get("/data/test01/o?key=1")
        assert (reply.body, reply.headers["x-ucondb-data-size"]) == (b"01234", "10")
    else:
        with pytest.raises(http.client.IncompleteRead) as cut:
            server.get("/data/test01/o?key=1")
        assert cut.value.partial == b"01234"


def test_a_dropped_put_was_carried_out(launch: Callable[..., Server], tmp_path: Path) -> None:
    """The connection ends without a reply, and the version is there."""
    server = launch(tmp_path / "data", fault="drop=1")
    with pytest.raises(http.client.RemoteDisconnected):
        server.put("/data/test01/o?key=1", b"stored all the same")
    server.stop()
    assert launch(tmp_path / "data").get("/data/test01/o?key=1").body == b"stored all the same"


def test_half_of_the_frozen_puts_are_carried_out(launch: Callable[..., Server], tmp_path: Path) -> None:
    """No frozen request is answered; which were carried out shows afterwards, and both happen."""
    server = launch(tmp_path / "data", fault="freeze=1,seed=3")
    connections = []
    for key in range(12):
        target = f"/data/test01/o?key={key}"
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.1)
        connection.request("POST", server.base + target, b"frozen", server.login("POST", target))
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connections.append(connection)
    for connection in connections:
        connection.close()
    assert server.stop()[0] == 0
    stored = launch(tmp_path / "data").get("/versions?folder=test01&object=o").json
    assert 0 < len(stored) < 12


def test_latency_is_waited_by_every_request(launch: Callable[..., Server], tmp_path: Path) -> None:
    """A reply comes no sooner than the latency asked for."""
    server = launch(tmp_path / "data", fault="latency=0.2")
    before = time.monotonic()
    assert server.get("/version").status == 200
    assert time.monotonic() - before >= 0.2
