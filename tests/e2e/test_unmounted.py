"""Run records whose file system is not mounted: nobody can tell, so nothing is flagged."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from archiverd.core.machine import State
from tests.e2e.test_operations import stop, unstop

if TYPE_CHECKING:
    from archiverd.journal.rows import RunRow

    from .conftest import Site

DEMO = ("--profile", "demo", "--fcl", "dumped", "--crash", "0", "--gaps", "0", "--no-chmod", "--first", "7")
LAST = 19


def archived(rows: dict[int, RunRow]) -> bool:
    """Return whether every run but the last is verified, and that one goes on."""
    verified = all(row.state is (State.OPEN if run == LAST else State.VERIFIED) for run, row in rows.items())
    return len(rows) == LAST - 6 and verified and rows[LAST].started


def flags(row: RunRow) -> tuple[object, ...]:
    """Return all that a run is flagged with."""
    return row.source_gone, row.changed, row.reused, row.dead, row.error


def test_records_that_are_not_mounted_flag_nothing(site: Site) -> None:
    """An empty mount point, while the daemon runs and across a restart; and all is well once it is mounted again."""
    site.make(*DEMO, "--runs", "13")
    unstop(site, LAST)
    daemon = site.start("run")
    site.wait(archived)
    away = site.root / "away"
    site.records.rename(away)
    site.records.mkdir()
    for starts in (1, 2):
        if starts > 1:
            assert site.stop(daemon) == 130
            daemon = site.start("run")
        site.wait(lambda _, starts=starts: site.log.count("13 run directories missing: cannot tell") == starts)
        assert site.run("once").returncode == 0
        rows = site.rows()
        assert archived(rows)
        assert {flagged for row in rows.values() if any(flagged := flags(row))} == set()
        status = site.run("status").stdout
        assert "7-19: cannot tell what became of them: the run-records directory looks unmounted" in status
        assert "no action needed" not in status
        found = site.run("reconcile", "--deep")
        assert (found.returncode, "directories missing: 7-19: cannot tell" in found.stdout) == (0, True)
        assert json.loads(site.run("reconcile", "--json").stdout)["missing"] == list(range(7, LAST + 1))
    site.records.rmdir()
    away.rename(site.records)
    site.wait_for_log("the run directories are back")
    stop(site, LAST)
    site.assert_proven(site.wait(lambda rows: rows[LAST].state is State.VERIFIED)[LAST])
    assert json.loads(site.run("reconcile", "--json").stdout)["missing"] == []
    assert "cannot tell" not in site.run("status").stdout
    assert site.stop(daemon) == 130


def test_a_reconcile_alone_is_not_deceived_either(site: Site) -> None:
    """Before any scan was made of an empty mount point it says by itself that nobody can tell."""
    site.make(*DEMO, "--runs", "2")
    assert site.run("once").returncode == 0
    site.records.rename(site.root / "away")
    site.records.mkdir()
    found = site.run("reconcile")
    assert (found.returncode, "directories missing: 7-8: cannot tell" in found.stdout) == (0, True)
    refused = site.run("waive", "--missing", "--reason", "x")
    assert (refused.returncode, "no run directories are known to be missing" in refused.stderr) == (1, True)


def test_an_operator_says_that_they_were_moved_away(site: Site) -> None:
    """Beside a daemon, the running run too; and without one; what comes back is noted, and new runs are archived."""
    site.make(*DEMO, "--runs", "13")
    unstop(site, LAST)
    daemon = site.start("run")
    site.wait(archived)
    tape = site.root / "tape"
    tape.mkdir()
    daemon.send_signal(signal.SIGSTOP)  # between two scans, or they go one by one
    for path in list(site.records.iterdir()):
        path.rename(tape / path.name)
    daemon.send_signal(signal.SIGCONT)
    site.wait_for_log("run directories missing")
    site.wait(lambda _: "7-19: cannot tell" in site.run("status").stdout)
    assert site.run("waive", "7", "--missing", "--reason", "x").returncode == 1
    assert site.run("waive", "--reason", "x").returncode == 1
    waived = json.loads(site.run("waive", "--missing", "--reason", "moved to tape", "--json").stdout)
    assert waived == {"version": 1, "gone": list(range(7, LAST + 1))}
    assert "taken as gone by an operator: 7-19: moved to tape" in site.log
    assert all(row.source_gone for row in site.rows().values())
    (tape / "8").rename(site.records / "8")
    site.wait(lambda rows: [run for run, row in rows.items() if not row.source_gone] == [8])
    assert "cannot tell" not in site.run("status").stdout
    assert site.stop(daemon) == 130
    (site.records / "8").rename(tape / "8")
    assert site.run("once").returncode == 0
    assert not site.rows()[8].source_gone
    assert site.run("waive", "--missing", "--reason", "moved to tape").returncode == 0
    assert site.run("once").returncode == 0
    assert site.rows()[8].source_gone
    assert "cannot tell" not in site.run("status").stdout
