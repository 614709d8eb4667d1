"""A run that ends is in UconDB, proven, seconds later."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem.lock import take_lock
from archiverd.core.machine import State
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from .conftest import Site

LIVE = ("--profile", "demo", "--fcl", "dumped", "--no-chmod")


def test_live_runs_are_verified_and_a_crashed_one_is_archived_once_proven_dead(site: Site) -> None:
    """Every run with a stop line is verified; a crashed one stays open until its successor starts, then is archived."""
    daemon = site.start("run")
    maker = site.make(
        *LIVE, "--runs", "8", "--live", "240", "--crash", "0.3", "--seed", "3", "--first", "500", live=True
    )
    assert maker.wait(DEADLINE_SECONDS) == 0
    planned = site.planned()
    last = max(planned)
    stopped = {run for run, facts in planned.items() if facts["stop"] is not None}
    crashed = {run for run, facts in planned.items() if facts["crash"] == "run" and run != last}
    assert crashed
    assert stopped
    rows = site.wait(lambda rows: all(run in rows and rows[run].state is State.VERIFIED for run in stopped | crashed))
    assert {run for run, row in rows.items() if row.dead} >= crashed
    assert not any(rows[run].dead for run in stopped)
    for run in stopped | crashed:
        site.assert_proven(rows[run])
    assert set(site.versions().values()) == {1}
    assert site.stop(daemon) == 130
    assert not (site.work / ".archiver.lock").exists()


def test_a_run_that_crashed_last_stays_open(site: Site) -> None:
    """Nothing proves the last run of a partition dead: it is open, not lost, until a later one starts."""
    site.make("--runs", "2", "--profile", "demo", "--first", "10", "--crash", "0", "--gaps", "0", "--no-chmod")
    metadata = site.records / "11" / "metadata.txt"
    text = metadata.read_text()
    metadata.write_text(text[: text.index("\nDAQInterface stop time")])
    daemon = site.start("run")
    rows = site.wait(lambda rows: 10 in rows and rows[10].state is State.VERIFIED)
    assert rows[11].state is State.OPEN
    site.make("--runs", "1", "--profile", "demo", "--first", "12", "--crash", "0", "--no-chmod")
    rows = site.wait(
        lambda rows: all(rows[run].state is State.VERIFIED for run in (10, 11, 12) if run in rows) and 12 in rows
    )
    assert (rows[11].dead, rows[12].dead) == (True, False)
    assert site.stop(daemon) == 130


def test_sigint_in_the_middle_loses_and_repeats_nothing(site: Site) -> None:
    """SIGINT drains with 130, and a second start finishes the rest: each run exactly once in UconDB."""
    site.make("--runs", "15", "--profile", "demo", "--fcl", "dumped", "--crash", "0", "--first", "100", "--no-chmod")
    daemon = site.start("run")
    site.wait(lambda rows: any(row.state is State.VERIFIED for row in rows.values()))
    assert site.stop(daemon) == 130
    left = site.rows()
    assert not [run for run, row in left.items() if row.state in (State.IMPORTING, State.UPLOADING)]
    second = site.start("run")
    rows = site.wait(lambda rows: len(rows) == 15 and all(row.state is State.VERIFIED for row in rows.values()))
    assert site.stop(second) == 130
    assert site.versions() == dict.fromkeys(rows, 1)
    for row in rows.values():
        site.assert_proven(row)


def test_removing_the_lock_file_drains_with_the_runbooks_banner(site: Site) -> None:
    """The lock file's removal finishes what is in flight and exits 1, saying so in the runbook's words."""
    daemon = site.start("run")
    lock = site.work / ".archiver.lock"
    site.wait(lambda _: lock.exists() and "watches" in site.log)
    lock.unlink()
    assert daemon.wait(DEADLINE_SECONDS) == 1
    assert "LOCK FILE REMOVED - INITIATING GRACEFUL SHUTDOWN" in site.log
    assert f"Lock file: {lock}" in site.log


def test_a_second_daemon_is_refused_and_the_first_goes_on(site: Site) -> None:
    """A second instance exits 1 with LockExistsError and does not disturb the first."""
    daemon = site.start("run")
    site.wait(lambda _: "watches" in site.log)
    second = site.run("run")
    assert second.returncode == 1
    assert (
        f"LockExistsError: Another process may be running. Lock file '{site.work}/.archiver.lock' is held."
        in second.stderr
    )
    site.make("--runs", "1", "--profile", "demo", "--crash", "0", "--first", "7", "--no-chmod")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    assert site.stop(daemon) == 130


def test_kill_9_and_a_second_start_finish_every_run_once(site: Site) -> None:
    """Killed at any moment, nothing acknowledged is lost and no human is needed afterwards (I6)."""
    site.make("--runs", "12", "--profile", "demo", "--fcl", "dumped", "--crash", "0", "--first", "100", "--no-chmod")
    for enough in (1, 4, 8):
        daemon = site.start("run")
        site.wait(lambda rows, enough=enough: sum(row.state is State.VERIFIED for row in rows.values()) >= enough)
        daemon.kill()
        daemon.wait()
    last = site.start("run")
    rows = site.wait(lambda rows: len(rows) == 12 and all(row.state is State.VERIFIED for row in rows.values()))
    assert site.stop(last) == 130
    assert site.versions() == dict.fromkeys(rows, 1)
    for row in rows.values():
        site.assert_proven(row)


def test_once_archives_everything_that_has_ended(site: Site) -> None:
    """One pass archives every ended run and exits 0; a second pass finds nothing to do."""
    site.make("--runs", "5", "--profile", "demo", "--crash", "0", "--first", "20", "--no-chmod")
    first = site.run("once")
    assert (first.returncode, "5 runs imported, 5 verified, 0 still open, 0 failed" in first.stderr) == (0, True), (
        first.stderr
    )
    second = site.run("once")
    assert (second.returncode, "0 verified" in second.stderr) == (0, True)
    assert set(site.versions().values()) == {1}


def test_status_and_why_tell_the_story(site: Site) -> None:
    """`status` and `why` tell, for people and machines, how we stand and what became of a run."""
    site.make("--runs", "2", "--profile", "demo", "--crash", "0", "--first", "20", "--gaps", "0", "--no-chmod")
    (site.records / "20" / "operator_notes.md").write_bytes(b"# not FHiCL: {\n")
    assert site.run("once").returncode == 0
    status = json.loads(site.run("status", "--json").stdout)
    assert (status["counts"]["verified"], status["runs"]["verified"]) == (2, [[20, 21]])
    assert "verified" in site.run("status").stdout
    told = site.run("why", "20")
    assert told.returncode == 0
    assert "run 20: verified" in told.stdout
    assert "metadata.txt as metadata" in told.stdout
    assert re.search(r"stopped: +\w{3} .* UTC 20\d\d \(after \d+ (seconds|minutes)\)", told.stdout)
    assert "operator_notes.md: " in told.stdout
    story = json.loads(site.run("why", "20", "--json").stdout)
    assert [line["event"] for line in story["story"]] == [
        "ended",
        "import_begins",
        "import_done",
        "upload_begins",
        "upload_proven",
    ]
    record = {path.name for path in (site.records / "20").iterdir()}
    assert {fate["name"] for fate in story["files"]} == record
    assert site.run("why", "99").returncode == 1


def test_artdaqdb_can_be_checked_and_its_index_made_anew(site: Site) -> None:
    """A damaged index stops an import in the library's words; making it anew from the documents mends it."""
    site.make("--runs", "3", "--profile", "demo", "--fcl", "dumped", "--crash", "0", "--first", "20", "--no-chmod")
    assert site.run("once").returncode == 0
    sound = site.run("artdaqdb", "check")
    assert (sound.returncode, sound.stdout) == (0, "")
    index = site.root / "artdaqdb" / "RunHistory" / "index.json"
    index.write_text(index.read_text()[:1000])
    assert site.run("artdaqdb", "check").returncode == 1
    refused = site.run("once")
    assert (refused.returncode, "SearchIndex is corrupt and needs to be rebuilt" in refused.stderr) == (1, True)
    assert "then `archiverd artdaqdb rebuild-index RunHistory`: it is made anew" in refused.stderr
    index.unlink()  # as who thinks that this mends it
    refused = site.run("once")
    assert (refused.returncode, "index.json is not there, though documents are" in refused.stderr) == (1, True)
    lock = take_lock(site.root / "artdaqdb")
    refused = site.run("artdaqdb", "rebuild-index", "RunHistory")
    os.close(lock)
    assert (refused.returncode, "one writer at a time" in refused.stderr) == (1, True)
    made = site.run("artdaqdb", "rebuild-index", "RunHistory")
    documents = len(list(index.parent.glob("*.json"))) - 1
    assert (made.returncode, made.stdout, made.stderr) == (0, "", f"{documents} documents indexed\n")
    assert site.run("artdaqdb", "check").returncode == 0
    assert site.run("once").returncode == 0
