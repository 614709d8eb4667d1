"""A site where nothing is wrong: clean records of every layout are verified, and no flag is raised."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.journal.rows import RunRow

    from .conftest import Site

LAYOUTS = (
    "v1_00_00",
    "v1_00_04",
    "v1_00_06",
    "v3_00_05",
    "v3_02_01",
    "v3_03_00",
    "v3_04_01",
    "v3_05_00",
    "v3_06_01",
    "v3_07_00",
    "v3_14_01",
)
"""DAQInterface versions whose records differ (run_records.md section 1.1)."""
PROFILES = ("demo", "sbnd", "icarus", "dune")
EACH = int(os.environ.get("ARCHIVERD_HEALTHY_RUNS", "0"))
"""Records of each layout and profile; 0 for one of each layout, the profiles in turn."""
FLAGS = ("dead", "superseded", "incomplete", "no_end", "changed", "reused")


def make(site: Site, first: int) -> int:
    """Write clean records of every layout and profile; return the number after the last."""
    for number, layout in enumerate(LAYOUTS):
        for profile in PROFILES if EACH else [PROFILES[number % len(PROFILES)]]:
            arguments = ("--runs", str(EACH or 1), "--first", str(first), "--format", layout, "--profile", profile)
            site.make(*arguments, "--crash", "0", "--gaps", "0", "--fcl-scale", "0.02", "--fcl", "auto")
            first += EACH or 1
    return first


def assert_healthy(site: Site, rows: dict[int, RunRow], total: int) -> None:
    """Every run is verified and proven, and nothing is said against any."""
    assert len(rows) == total
    for row in rows.values():
        assert row.state is State.VERIFIED, (row.run, row.state, row.error, row.waits_for)
        assert not [flag for flag in FLAGS if getattr(row, flag)], row
    site.assert_proven(rows[min(rows)])
    site.assert_proven(rows[max(rows)])


def verified(site: Site) -> int:
    """Return how many runs are verified."""
    return sum(row.state is State.VERIFIED for row in site.rows().values())


def wait_for_progress(site: Site, ended: Callable[[], bool]) -> None:
    """Wait until ``ended``, as long as runs get verified: how long all of them take is up to the machine."""
    while not ended():
        before = verified(site)
        wait_until(lambda before=before: ended() or verified(site) > before, lambda: site.log)


def once(site: Site) -> int:
    """Make a pass over all runs; return its exit code."""
    process = site.start("once")
    wait_for_progress(site, lambda: process.poll() is not None)
    return process.wait()


@pytest.mark.parametrize("way", ["once", "daemon"])
def test_clean_records_are_verified_without_a_flag(site: Site, way: str) -> None:
    """A core dump that nobody may read and an editor's backup beside them; `Total events` may still come in some."""
    site.settings = "[watch]\nfinal_wait_seconds = 3.0\n"
    site.configure()
    total = make(site, 100) - 100
    odd = site.records / "100"
    odd.chmod(0o755)
    (odd / "boot.txt~").write_text("old")
    (odd / "core.77").write_text("dump")
    (odd / "core.77").chmod(0)
    if way == "once":
        assert once(site) == 0
        while any(row.state is State.OPEN for row in site.rows().values()):
            assert once(site) == 0
    else:
        daemon = site.start("run")
        wait_for_progress(site, lambda: len(site.rows()) == verified(site) == total)
        assert site.stop(daemon) == 130
    assert_healthy(site, site.rows(), total)
    assert site.run("reconcile").returncode == 0
