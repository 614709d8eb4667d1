"""The backlog is what stood there at the very first start, by name, whatever the clocks say."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from tests.e2e.test_operations import stop, unstop
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Site

DEMO = ("--profile", "demo", "--fcl", "dumped", "--crash", "0", "--gaps", "0", "--no-chmod", "--first", "7")


def set_back(directory: Path, seconds: float) -> None:
    """Give the files of a record the times of a file server whose clock is behind ours."""
    for path in directory.iterdir():
        os.utime(path, (time.time() - seconds, time.time() - seconds))


@pytest.mark.parametrize("behind", [3_600.0, 2_592_000.0], ids=["an hour", "30 days"])
@pytest.mark.parametrize("lost", [False, True], ids=["kept", "journal lost"])
def test_a_clock_ahead_of_the_file_server_ignores_no_new_run(site: Site, lost: bool, behind: float) -> None:
    """What had ended is ignored; a run that was running then, and one that is new, are archived."""
    site.settings = '[watch]\nbackfill = "none"\n'
    site.configure()
    site.make(*DEMO, "--runs", "4")
    new = site.root / "new"
    (site.records / "10").rename(new)
    unstop(site, 9)
    set_back(site.records / "9", behind)
    daemon = site.start("run")
    noted = site.work / "first_start.json"
    wait_until(lambda: noted.exists() and "running" in json.loads(noted.read_bytes()))
    assert (json.loads(noted.read_bytes())["runs"], json.loads(noted.read_bytes())["running"]) == ("7-9", "9")
    site.wait(lambda rows: [rows[run].state for run in sorted(rows)] == [State.IGNORED, State.IGNORED, State.OPEN])
    if lost:
        assert site.stop(daemon) == 130
        site.lose_the_journal()
        daemon = site.start("run")
        site.wait(lambda rows: len(rows) == 3)
    stop(site, 9)
    set_back(site.records / "9", behind)
    set_back(new, behind)
    shutil.move(new, site.records / "10")
    rows = site.wait(lambda rows: {10} <= rows.keys() and {rows[9].state, rows[10].state} == {State.VERIFIED})
    assert {run for run, row in rows.items() if row.state is State.IGNORED} == {7, 8}
    assert site.stop(daemon) == 130
