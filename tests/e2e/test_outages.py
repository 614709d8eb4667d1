"""UconDB killed, frozen, failing, cutting, slow during uploads: nothing lost, nothing twice, nothing falsely verified.

`make outage-test` does it with 200 runs each.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from archiverd.core.machine import State
from tests.e2e.relay import Relay
from tests.waiting import wait_until

if TYPE_CHECKING:
    from archiverd.journal.rows import RunRow
    from tests.e2e.conftest import Site

RUNS = int(os.environ.get("ARCHIVERD_OUTAGE_RUNS", "24"))
SMALL = ("--profile", "demo", "--fcl", "dumped", "--crash", "0", "--gaps", "0", "--first", "100", "--no-chmod")

FAULTS = {
    "failing with 5xx": "error=0.2,seed=4",
    "cutting downloads": "cut=0.3,seed=4",
    "dropping connections": "drop=0.15,seed=4",
    "freezing requests": "freeze=0.03,seed=4",
    "answering slowly": "latency=0.25",
}


def verified(rows: dict[int, RunRow]) -> int:
    """Return how many runs are verified."""
    return sum(row.state is State.VERIFIED for row in rows.values())


def all_verified(rows: dict[int, RunRow]) -> bool:
    """Tell whether every run is verified."""
    return verified(rows) == RUNS


def some_verified(rows: dict[int, RunRow]) -> bool:
    """Tell whether the uploads are under way."""
    return verified(rows) >= RUNS // 6


def assert_exactly_once(site: Site, rows: dict[int, RunRow]) -> None:
    """Every run is in UconDB once, byte for byte what was verified."""
    assert site.versions() == dict.fromkeys(range(100, 100 + RUNS), 1)
    for row in rows.values():
        site.assert_proven(row)


def wait_for_hold(site: Site) -> None:
    """Wait until the daemon leaves the server alone."""
    wait_until(lambda: any(hold.health == "away" for hold in site.holds()))


@pytest.fixture
def backlog(site: Site) -> Site:
    """A site with runs to archive and little patience."""
    site.settings = "timeout_seconds = 3.0\nmax_concurrent_uploads = 4\n"
    site.configure(batch_size=20)
    site.make(*SMALL, "--runs", str(RUNS))
    return site


def test_a_killed_server_costs_nothing_but_time(backlog: Site) -> None:
    """Killed with uploads under way and started again: the rest follows by itself."""
    daemon = backlog.start("run")
    backlog.wait(some_verified)
    backlog.children[0].kill()
    backlog.children[0].wait()
    wait_for_hold(backlog)
    told = backlog.run("status").stdout
    assert "UconDB is away for" in told
    assert "Connection refused" in told
    backlog.serve()
    rows = backlog.wait(all_verified)
    assert backlog.stop(daemon) == 130
    assert_exactly_once(backlog, rows)
    assert backlog.holds() == []


def test_a_frozen_server_costs_nothing_but_time(backlog: Site) -> None:
    """Stopped in the middle of requests, which it carries out once it goes on: every put is resolved by looking."""
    daemon = backlog.start("run")
    backlog.wait(some_verified)
    server = backlog.children[0]
    server.send_signal(signal.SIGSTOP)
    wait_for_hold(backlog)
    assert "timed out" in backlog.run("status").stdout
    server.send_signal(signal.SIGCONT)
    rows = backlog.wait(all_verified)
    assert backlog.stop(daemon) == 130
    assert_exactly_once(backlog, rows)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_sick_server_costs_nothing_but_time(bare_site: Site, fault: str) -> None:
    """Whatever share of its answers is wrong, late or missing: in the end every run is there once."""
    bare_site.serve("--fault", fault)
    bare_site.settings = "timeout_seconds = 3.0\nmax_concurrent_uploads = 4\n"
    bare_site.configure(batch_size=20)
    bare_site.make(*SMALL, "--runs", str(RUNS))
    daemon = bare_site.start("run")
    rows = bare_site.wait(all_verified)
    assert bare_site.stop(daemon) == 130
    bare_site.children[0].terminate()
    bare_site.children[0].wait()
    bare_site.serve()  # healthy: what it holds is read without faults
    assert_exactly_once(bare_site, rows)


def test_without_faults_a_run_is_sent_once(site: Site) -> None:
    """Look-ups, logins and read-backs included, hardly more bytes go to the server than the blobs have."""
    site.make("--profile", "sbnd", "--fcl", "dumped", "--crash", "0", "--runs", "3", "--gaps", "0", "--no-chmod")
    url = urlsplit(site.url)
    with Relay(url.hostname or "", url.port or 0).running() as relay:
        site.url = site.url.replace(url.netloc, relay.address)
        site.configure()
        assert site.run("once").returncode == 0
    blobs = sum(row.blob_length or 0 for row in site.rows().values())
    assert blobs > 3_000_000
    assert relay.sent <= 1.1 * blobs
