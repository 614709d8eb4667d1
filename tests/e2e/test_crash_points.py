"""Killed after any effect: the next start finishes everything, each run exactly once, and needs no human (I6).

`make crash-test` tries every point of every scenario, and 300 kills of a daemon under live load.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from tests.e2e.test_operations import stop, unstop
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Site

CRASHING = Path(__file__).with_name("crashing.py")
POINTS = int(os.environ.get("ARCHIVERD_CRASH_POINTS", "6"))
"""So many points of each scenario are tried, spread evenly; 0 for every one."""
KILLS = int(os.environ.get("ARCHIVERD_DAEMON_KILLS", "8"))
DEMO = ("--profile", "demo", "--fcl", "dumped", "--gaps", "0", "--no-chmod", "--crash", "0")
PENDING = "pending01"


def fresh(site: Site) -> None:
    """Prepare a run that was never seen."""
    site.make(*DEMO, "--runs", "1", "--first", "7")


def backlog(site: Site) -> None:
    """Prepare runs that were archived, in part by a journal that is lost, and some that were not."""
    site.make(*DEMO, "--runs", "2", "--first", "7")
    assert site.run("once").returncode == 0
    site.lose_the_journal()
    shutil.rmtree(site.records / "7")
    site.make(*DEMO, "--runs", "2", "--first", "20")


def retry(site: Site) -> None:
    """Prepare a run that failed in each stage."""
    site.make(*DEMO, "--runs", "2", "--first", "7")
    config = site.root / "archiverd.toml"
    plain = config.read_text()
    config.write_text(plain + "[app_fuzz]\nrandom_error_percent = 100\n")
    assert site.run("once").returncode == 1
    config.write_text(plain)


def update(site: Site) -> None:
    """Prepare a run that was archived as dead and has its stop line now."""
    site.make(*DEMO, "--runs", "2", "--first", "7")
    unstop(site, 7)
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text() + "[watch]\nabandon_after_seconds = 0\n")
    assert site.run("once").returncode == 0
    stop(site, 7)


@pytest.fixture(autouse=True)
def _quick_to_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let records settle at once: some hundred passes are made here, and none of the records changes."""
    monkeypatch.setenv("ARCHIVERD_WATCH__SETTLE_SECONDS", "0.1")


def outage(site: Site) -> None:
    """Prepare runs that were imported while UconDB was away."""
    site.make(*DEMO, "--runs", "2", "--first", "7")
    address, site.url = site.url, "http://127.0.0.1:9/inst/app"
    site.configure(run_process_retries=0)
    assert site.run("once").returncode == 1
    site.url = address
    site.configure()


def first_phase(site: Site) -> None:
    """Prepare a run that has only started, for the pending folder; see ``end``."""
    site.settings = f'pending_folder_name = "{PENDING}"\n'
    site.configure()
    site.make(*DEMO, "--runs", "1", "--first", "7")
    unstop(site, 7)


def end(site: Site) -> None:
    """Let the run that had only started end: until then it was open, and once in the pending folder."""
    assert {row.state for row in site.rows().values()} == {State.OPEN}
    assert (site.versions(PENDING), site.versions()) == ({7: 1}, {})
    stop(site, 7)


SCENARIOS: tuple[Callable[[Site], None], ...] = (fresh, backlog, retry, update, outage, first_phase)


def crash(site: Site, point: int, counted: Path) -> int:
    """Run a pass that dies after its n-th effect; return its exit code."""
    argv = [
        sys.executable,
        str(CRASHING),
        str(point),
        str(counted),
        "--config",
        str(site.root / "archiverd.toml"),
        "once",
    ]
    return subprocess.run(argv, capture_output=True, timeout=DEADLINE_SECONDS, check=False).returncode


@pytest.mark.parametrize("prepare", SCENARIOS, ids=lambda prepare: prepare.__name__)
def test_killed_after_any_effect(site: Site, prepare: Callable[[Site], None]) -> None:
    """Killed there and started again: every run is verified, once, and a deep comparison finds nothing wrong."""
    counted = site.root / "counted"
    kept = site.root / "kept"
    config = site.root / "archiverd.toml"
    prepare(site)
    site.children[0].terminate()
    site.children[0].wait()
    parts = (site.root / "artdaqdb", site.work, site.root / "ucondb", site.records)
    for part in parts:
        if part.exists():
            shutil.copytree(part, kept / part.name)

    def reset() -> None:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
            if (kept / part.name).exists():
                shutil.copytree(kept / part.name, part)
        address, site.served = site.url, False  # another port: somebody else may have taken the old one
        site.serve("--folder", PENDING)
        config.write_text(config.read_text().replace(address, site.url))

    def stop_server() -> None:
        server = site.children.pop()
        server.terminate()
        server.wait()

    reset()
    assert crash(site, 0, counted) == 0
    effects = int(counted.read_text())
    stop_server()
    assert effects > 20
    points = range(1, effects + 1)
    step = max(1, effects // POINTS) if POINTS else 1
    for point in points[random.Random(effects).randrange(step) :: step]:
        reset()
        killed = crash(site, point, counted)
        assert killed in (-9, 0), (point, killed)  # group commits may make a few effects fewer
        ended = site.run("once")
        assert ended.returncode == 0, (point, ended.stderr)
        if prepare is first_phase:
            end(site)
            assert site.run("once").returncode == 0, point
            assert site.versions(PENDING) == {7: 1}, point
        compared = site.run("reconcile", "--deep")
        assert compared.returncode == 0, (point, compared.stdout)
        rows = site.rows()
        assert {row.state for row in rows.values()} == {State.VERIFIED}, point
        assert site.versions() == dict.fromkeys(rows, 1), point
        stop_server()


def test_killed_at_random_moments_of_a_live_load(site: Site) -> None:
    """However often the daemon is killed while runs start and stop: in the end each is verified once, by itself."""
    chance = random.Random(20261124)
    runs = 10 + KILLS // 4
    rate = 60 * runs / (KILLS * 0.7 + 4)
    maker = site.make(*DEMO, "--runs", str(runs), "--first", "100", "--live", f"{rate:.0f}", live=True)
    for _ in range(KILLS):
        daemon = site.start("run")
        time.sleep(0.3 + chance.uniform(0.0, 0.8))  # the moment of the kill is the test's input, not a wait
        daemon.kill()
        daemon.wait()
    assert maker.wait(DEADLINE_SECONDS) == 0
    daemon = site.start("run")
    rows = site.wait(lambda rows: len(rows) == runs and all(row.state is State.VERIFIED for row in rows.values()))
    assert site.stop(daemon) == 130
    assert site.versions() == dict.fromkeys(rows, 1)
    compared = site.run("reconcile", "--deep")
    assert compared.returncode == 0, compared.stdout
