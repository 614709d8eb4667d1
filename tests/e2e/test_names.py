"""Whatever stands in the run-records directory is a run, or named with the reason why it is none."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from archiverd.core.machine import State

if TYPE_CHECKING:
    from .conftest import Site

DEMO = (
    "--profile",
    "demo",
    "--fcl",
    "dumped",
    "--crash",
    "0",
    "--gaps",
    "0",
    "--no-chmod",
    "--runs",
    "2",
    "--first",
    "7",
)


def test_a_run_that_was_moved_and_names_that_are_none(site: Site) -> None:
    """A link to a moved run is archived, its double is ignored; odd names are listed, and change no exit code."""
    site.make(*DEMO)
    moved = site.root / "another disk"
    moved.mkdir()
    (site.records / "7").rename(moved / "7")
    (site.records / "7").symlink_to(moved / "7")
    (site.records / "9").symlink_to(site.records / "8")
    for name in ("01502", "0", "1234567890123456789"):
        shutil.copytree(site.records / "8", site.records / name)
    assert site.run("once").returncode == 0
    rows = site.rows()
    assert {run: row.state for run, row in rows.items()} == {
        7: State.VERIFIED,
        8: State.VERIFIED,
        9: State.IGNORED,
    }
    site.assert_proven(rows[7])
    assert "its directory is a link to that of run 8" in site.run("why", "9").stdout
    listed = site.run("runs")
    assert "01502: a run number has no zero in front" in listed.stderr
    told = json.loads(site.run("runs", "--json").stdout)
    assert (told["names_count"], [one["name"] for one in told["names"]]) == (3, ["0", "01502", "1234567890123456789"])
    assert "3 names in run_records_dir" in site.run("status").stdout
    found = site.run("reconcile", "--deep")
    assert (found.returncode, "3 names in run_records_dir" in found.stdout) == (0, True)
    assert json.loads(site.run("reconcile", "--json").stdout)["names_count"] == 3
    daemon = site.start("run")
    site.wait_for_log("watches ")
    (moved / "7" / "late01.fcl").write_text("a: 1\n")
    once = site.run("once")
    assert (once.returncode, site.rows()[7].changed.added) == (1, ("late01.fcl",)), once.stdout + once.stderr
    assert site.stop(daemon) == 130
