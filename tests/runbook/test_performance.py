"""Memory and performance: what `status` tells, never how long something takes on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archiverd.control import client
from archiverd.core.machine import State

if TYPE_CHECKING:
    from tests.runbook.conftest import Desk


def told(desk: Desk) -> dict[str, Any]:
    """Return what `status` says."""
    found: dict[str, Any] = json.loads(desk.run("status", "--json").stdout)
    return found


def stages(desk: Desk) -> dict[str, dict[str, Any]]:
    """Return what `status` says of each stage."""
    return {stage["stage"]: stage for stage in told(desk)["stages"]}


@pytest.fixture
def slow(desk: Desk) -> Desk:
    """A site whose server takes its time, with a daemon that has archived runs 7 to 9."""
    desk.serve_slowly(0.2)
    desk.edit("app", parallel_workers=1, batch_size=2)
    desk.edit("ucon_db", max_concurrent_uploads=1)
    desk.three_runs()
    desk.start("run")
    desk.wait(lambda rows: len(rows) == 3 and all(row.state is State.VERIFIED for row in rows.values()))
    return desk


def test_one_screen_tells_both(slow: Desk) -> None:
    """The daemon's memory in its line, and for each stage what waits, what is in hand, and how long a run takes."""
    screen = slow.run("status").stdout
    assert " MB" in screen.splitlines()[0]
    assert "migrate " in screen
    assert "0 waiting, 0 in hand; the slowest stage" in screen
    assert len(screen.splitlines()) <= 24


def test_which_stage_is_slow(slow: Desk) -> None:
    """The slowest stage is named; raised in the configuration, more workers take its runs up after a restart."""
    found = stages(slow)
    assert found["migrate"]["median_seconds"] > found["import"]["median_seconds"]
    (line,) = [line for line in slow.run("status").stdout.splitlines() if "the slowest stage" in line]
    assert line.startswith("migrate")
    before = (found["import"]["workers"], found["migrate"]["workers"])
    slow.edit("app", parallel_workers=8, batch_size=8)
    slow.edit("ucon_db", max_concurrent_uploads=4)
    assert slow.run("drain").returncode == 0
    slow.start("run")
    slow.one_run(20)
    slow.wait(lambda rows: 20 in rows and rows[20].state is State.VERIFIED)
    after = stages(slow)
    assert (after["import"]["workers"], after["migrate"]["workers"]) > before
    slow.prove(7, 8, 9, 20)


def test_how_much_memory_is_used(slow: Desk) -> None:
    """`status` tells what the kernel counts, `check` what is allowed; the queues never hold more than batch_size."""
    daemon = told(slow)["daemon"]
    pages = int(Path(f"/proc/{daemon['pid']}/statm").read_text().split()[1])
    kernel = pages * os.sysconf("SC_PAGE_SIZE")
    assert daemon["rss_bytes"] == pytest.approx(kernel, rel=0.25)
    (line,) = [one for one in json.loads(slow.run("check", "--json").stdout)["checks"] if one["name"] == "memory"]
    assert line["status"] == "ok"
    assert slow.run("pause").returncode == 0
    slow.make("--profile", "demo", "--fcl", "dumped", "--crash", "0", "--no-chmod", "--runs", "4", "--first", "20")
    slow.wait(lambda rows: sum(row.state is State.QUEUED for row in rows.values()) == 4)
    assert (stages(slow)["import"]["waiting"], stages(slow)["import"]["in_hand"]) == (4, 0)
    assert slow.run("resume").returncode == 0
    most = 0
    while any(row.state is not State.VERIFIED for row in slow.rows().values()):
        said: Any = client.ask_now(slow.work, "status", {}, 30.0)
        most = max(most, *(len(runs) for runs in said["in_hand"].values()))
    assert 1 <= most <= 2 + 2
