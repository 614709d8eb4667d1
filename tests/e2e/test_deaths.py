"""A run that kills archiverd keeps no other from being archived, and is set aside in the end."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from archiverd.process.hands import DEATHS
from tests.waiting import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from .conftest import Site

DYING = Path(__file__).with_name("dying.py")
DEMO = ("--profile", "demo", "--fcl", "dumped", "--crash", "0", "--gaps", "0", "--no-chmod", "--first", "7")
DEADLY = 10
"""The newest run: it is taken up first."""
SAID = f"archiverd ended {DEATHS} times while it worked on this run alone"


@pytest.mark.parametrize("command", ["run", "once"])
def test_a_run_that_kills_the_process_is_set_aside(site: Site, command: str) -> None:
    """At the third death with that run alone in hand; its neighbours are archived, and further starts live."""
    site.make(*DEMO, "--runs", "4")
    site.launcher = [str(DYING), str(DEADLY)]
    deaths = 0
    while (process := site.start(command)) and deaths < DEATHS + 2:
        wait_until(lambda: process.poll() is not None or SAID in site.log, lambda: site.log)
        if SAID in site.log:
            break
        assert process.wait(DEADLINE_SECONDS) == -signal.SIGKILL
        deaths += 1
    assert deaths in (DEATHS, DEATHS + 1)  # at the first, others may have been in hand
    states = {**dict.fromkeys(range(7, DEADLY), State.VERIFIED), DEADLY: State.QUARANTINED}
    rows = site.wait(lambda rows: {run: row.state for run, row in rows.items()} == states)
    assert (site.stop(process) if command == "run" else process.wait(DEADLINE_SECONDS)) in (1, 130)
    assert SAID in rows[DEADLY].error
    assert SAID in site.run("why", str(DEADLY)).stdout
    assert f"archiverd release {DEADLY}" in rows[DEADLY].remedy
    assert site.run("release", str(DEADLY)).returncode == 0
    assert site.run("once").returncode == 0
    assert site.rows()[DEADLY].state is State.VERIFIED


@pytest.mark.parametrize("asked", [True, False])
def test_a_stop_that_was_asked_for_counts_against_no_run(site: Site, asked: bool) -> None:
    """Nor the kill that follows it when the drain takes too long. A kill alone makes a suspect, which is archived."""
    site.make(*DEMO, "--runs", "2")
    later = site.root / "8"
    (site.records / "8").rename(later)
    daemon = site.start("run")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    site.freeze()
    later.rename(site.records / "8")
    in_hand = site.work / "in_hand"
    wait_until((in_hand / "migrate-8").exists)
    if asked:
        daemon.send_signal(signal.SIGINT)
        wait_until(lambda: not (in_hand / "process.json").exists())
    daemon.kill()
    daemon.wait(DEADLINE_SECONDS)
    assert (in_hand / "migrate-8").exists()
    site.thaw()
    assert site.run("once").returncode == 0
    assert site.rows()[8].state is State.VERIFIED
    suspects = site.work / "in_hand" / "suspects.json"
    assert suspects.exists() is not asked
    assert asked or json.loads(suspects.read_bytes())["suspects"] == {}
