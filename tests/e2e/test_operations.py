"""What operators do: retry, recover, release, edit the failure logs, compare; and truths that come in two phases."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from archiverd.runrecord.blob import unpack
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

DEMO = ("--profile", "demo", "--fcl", "dumped", "--gaps", "0", "--no-chmod")
ONE_RUN = (*DEMO, "--runs", "1", "--crash", "0", "--first", "7")
THREE_RUNS = (*DEMO, "--runs", "3", "--crash", "0", "--first", "7")
STOP_LINE = "\nDAQInterface stop time: Tue Nov 14 23:59:59 UTC 2023\n"


FAILED = State.QUARANTINED


def unstop(site: Site, run: int) -> None:
    """Take a run's stop line out of its record, as if its DAQ had crashed."""
    metadata = site.records / str(run) / "metadata.txt"
    metadata.write_text(re.sub(r"(?m)^DAQInterface stop time:.*\n", "", metadata.read_text()))


def stop(site: Site, run: int) -> None:
    """Let a run's stop line come after all."""
    with (site.records / str(run) / "metadata.txt").open("a") as file:
        file.write(STOP_LINE)


def numbers(site: Site, name: str) -> list[int]:
    """Return what a failure log says."""
    return [int(line) for line in (site.work / name).read_text().split()]


@pytest.fixture
def broken(site: Site) -> Site:
    """A site whose run 8 cannot be imported: a file that must be FHiCL is not."""
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text().replace("[artdaq_db]", '[artdaq_db]\nunmatched = "fail"'))
    site.make(*THREE_RUNS)
    (site.records / "8" / "broken01.fcl").write_text("a: 1\nb: { c: 2\n")
    assert site.run("once").returncode == 1
    return site


def mend(site: Site) -> None:
    """Mend run 8."""
    (site.records / "8" / "broken01.fcl").write_text("a: 1\nb: { c: 2 }\n")


def test_the_files_operators_read_say_how_far_each_stage_is(broken: Site) -> None:
    """State files count over the runs there are; the failure log names the run that failed."""
    assert numbers(broken, "import_failures.log") == [8]
    assert numbers(broken, "migrate_failures.log") == []
    state = json.loads((broken.work / "importer_state.json").read_text())
    assert state == {"last_contiguous_run": 7, "last_attempted_run": 9}
    state = json.loads((broken.work / "migrator_state.json").read_text())
    assert state == {"last_contiguous_run": 7, "last_attempted_run": 9}


def test_retry_takes_the_failed_runs_up_again(broken: Site) -> None:
    """Quarantined ones too: mended, run 8 goes all the way and leaves the failure log."""
    failed = broken.run("retry", "import")
    assert (failed.returncode, "run 8: quarantined: FhiclError" in failed.stderr) == (1, True)
    assert failed.stderr.endswith("`archiverd why 8` tells the cause and what to do; then `archiverd retry import`\n")
    mend(broken)
    retried = broken.run("retry", "import")
    assert (retried.returncode, "1 run imported, 1 verified" in retried.stderr) == (0, True)
    assert broken.rows()[8].state is State.VERIFIED
    assert numbers(broken, "import_failures.log") == []
    state = json.loads((broken.work / "migrator_state.json").read_text())
    assert state == {"last_contiguous_run": 9, "last_attempted_run": 9}


def test_a_number_added_to_a_failure_log_is_retried(broken: Site) -> None:
    """By the daemon, while it runs, without a command."""
    (broken.work / "import_failures.log").write_text("")
    assert broken.run("once").returncode == 1
    assert numbers(broken, "import_failures.log") == []  # emptied: listed again only after a new failure
    mend(broken)
    daemon = broken.start("run")
    broken.wait(lambda rows: rows[8].state is State.QUARANTINED)
    (broken.work / "import_failures.log").write_text("8\n")
    broken.wait(lambda rows: rows[8].state is State.VERIFIED)
    assert broken.stop(daemon) == 130
    assert numbers(broken, "import_failures.log") == []


def test_a_corrupt_failure_log_is_set_aside_and_loses_nothing(broken: Site) -> None:
    """The runbook's message, the file kept beside, the log written anew from the journal."""
    (broken.work / "import_failures.log").write_text("8\nrun nine\n")
    said = broken.run("once")
    assert f"Failed to parse run records file {broken.work}/import_failures.log: invalid literal" in said.stderr
    assert (broken.work / "import_failures.log.corrupted").read_text() == "8\nrun nine\n"
    assert numbers(broken, "import_failures.log") == [8]


def test_edited_state_files_change_nothing_and_are_written_anew(broken: Site) -> None:
    """They are output only: neither junk nor a missing file resets progress."""
    (broken.work / "importer_state.json").write_text('{"last_contiguous_run": 0}')
    (broken.work / "migrator_state.json").unlink()
    broken.run("once", "--incremental")
    state = {"last_contiguous_run": 7, "last_attempted_run": 9}
    assert json.loads((broken.work / "importer_state.json").read_text()) == state
    assert json.loads((broken.work / "migrator_state.json").read_text()) == state
    assert broken.versions() == {7: 1, 9: 1}


def test_a_dry_run_tells_and_touches_nothing(site: Site) -> None:
    """Before the first start and after, the work directory and the databases stay as they are."""
    site.make(*THREE_RUNS)
    unstop(site, 9)
    told = site.run("once", "--dry-run")
    assert told.stdout == "would import (2): 7-8\nwould upload (2): 7-8\nstill open (1): 9\n"
    assert not site.work.exists()
    assert site.run("once", "--import-only").returncode == 0
    told = site.run("once", "--dry-run", "--json")
    assert json.loads(told.stdout) == {
        "version": 1,
        "to_import": [],
        "to_upload": [7, 8],
        "still_open": [9],
        "set_aside": [],
    }


def test_import_only_and_migrate_only_are_halves(bare_site: Site) -> None:
    """The first needs no UconDB and no settings for it, the second takes up what the first left."""
    bare_site.make(*THREE_RUNS)
    config = bare_site.root / "archiverd.toml"
    config.write_text(config.read_text().split("[ucon_db]")[0])
    assert bare_site.run("once", "--import-only").returncode == 0
    assert {row.state for row in bare_site.rows().values()} == {State.IMPORTED}
    bare_site.serve()
    bare_site.configure()
    bare_site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    done = bare_site.run("once", "--migrate-only", "--json")
    assert json.loads(done.stdout)["verified"] == 3
    assert bare_site.rows()[20].state is State.QUEUED


def test_a_lost_journal_is_rebuilt_without_a_single_upload(site: Site) -> None:
    """From directories, artdaqDB and UconDB: also for a run whose directory is gone; who may not write can do it."""
    site.make(*THREE_RUNS)
    assert site.run("once").returncode == 0
    before = site.rows()
    site.lose_the_journal()
    shutil.rmtree(site.records / "8")
    site.password = "not-the-password"  # an upload tried would be refused, and its run fail
    site.configure()
    done = site.run("once", "--json")
    assert (done.returncode, json.loads(done.stdout)["verified"]) == (0, 3)
    after = site.rows()
    assert site.versions() == {7: 1, 8: 1, 9: 1}
    assert after[8].source_gone
    assert {run: row.blob_sha256 for run, row in after.items()} == {run: row.blob_sha256 for run, row in before.items()}
    assert {row.packed_on for row in after.values()} == {row.packed_on for row in before.values()}
    assert site.run("reconcile", "--deep").returncode == 0


def test_a_first_start_that_fails_leaves_the_rebuilding_to_the_next(site: Site) -> None:
    """A run that only artdaqDB knows is found though the first start with a new journal came to nothing."""
    site.make(*THREE_RUNS)
    assert site.run("once", "--import-only").returncode == 0
    site.lose_the_journal()
    shutil.rmtree(site.records / "8")
    away = site.records.rename(site.root / "away")
    assert "Cannot read run records directory" in site.run("once").stderr
    away.rename(site.records)
    assert site.run("once", "--incremental").returncode == 0
    assert site.versions() == {7: 1, 8: 1, 9: 1}


@pytest.mark.parametrize("stage", ["import", "migrate"])
def test_recover_proves_again_what_a_database_holds(site: Site, stage: str) -> None:
    """With the journal lost: state file and journal say again what they said, and nothing was stored twice."""
    site.make(*THREE_RUNS)
    assert site.run("once").returncode == 0
    for left in (*site.work.glob("journal.sqlite*"), *site.work.glob("*.json")):
        left.unlink()
    assert site.run("recover", "import").returncode == 0
    state = json.loads((site.work / "importer_state.json").read_text())
    assert state == {"last_contiguous_run": 9, "last_attempted_run": 9}
    if stage == "migrate":
        assert site.run("recover", "migrate").returncode == 0
        assert {row.state for row in site.rows().values()} == {State.VERIFIED}
    assert site.versions() == {7: 1, 8: 1, 9: 1}


def test_what_vanished_from_ucondb_is_noticed_and_uploaded_again(site: Site) -> None:
    """A verified run is held to its word: `reconcile` tells, a pass mends."""
    site.make(*THREE_RUNS)
    assert site.run("once").returncode == 0
    lose_versions(site, 7, 8)
    told = site.run("reconcile")
    assert (told.returncode, "missing_ucondb          2   7-8" in told.stdout) == (1, True)
    assert site.run("once", "--incremental").returncode == 0
    assert site.versions() == {9: 1}
    assert site.run("once").returncode == 0
    assert site.versions() == {7: 1, 8: 1, 9: 1}
    for row in site.rows().values():
        site.assert_proven(row)


def test_reconcile_names_every_run_once(broken: Site) -> None:
    """Known, unseen, in one database only: a partition, with what to do about each part."""
    broken.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "30")
    found = json.loads(broken.run("reconcile", "--json").stdout)
    assert found["states"] == {"quarantined": [8], "unseen": [30], "verified": [7, 9]}
    assert not found["in_order"]
    mend(broken)
    broken.run("retry", "import", "8")
    broken.run("once")
    found = json.loads(broken.run("reconcile", "--json", "--deep").stdout)
    assert (found["states"], found["compared"], found["in_order"]) == ({"verified": [7, 8, 9, 30]}, 4, True)
    broken.lose_the_journal()
    shutil.rmtree(broken.records / "9")
    shutil.rmtree(broken.root / "artdaqdb")
    found = json.loads(broken.run("reconcile", "--json").stdout)
    assert found["states"] == {"orphan_ucondb": [9], "unseen": [7, 8, 30]}
    assert found["only_ucondb"] == [7, 8, 9, 30]


def test_a_deep_comparison_holds_verified_runs_to_every_promise(site: Site) -> None:
    """Other bytes, a proof without an intent, a step the table does not know, a file nobody accounts for: all told."""
    site.make(*DEMO, "--runs", "6", "--crash", "0", "--first", "7")
    assert site.run("once").returncode == 0
    clean = json.loads(site.run("reconcile", "--json", "--deep").stdout)
    assert (clean["states"], clean["differing"], clean["compared"]) == ({"verified": [*range(7, 13)]}, [], 6)
    with sqlite3.connect(site.work / "journal.sqlite") as db:
        db.execute("UPDATE runs SET blob_sha256 = 'x' WHERE run = 7")  # I1
        db.execute("DELETE FROM events WHERE run = 8 AND event = 'upload_begins'")  # I4
        db.execute("UPDATE events SET state = 'open' WHERE run = 9 AND event = 'import_done'")  # I3
        db.execute("UPDATE runs SET verified_at = NULL WHERE run = 10")  # I8
        db.execute("DELETE FROM manifests WHERE run = 11")  # I7
        db.execute("UPDATE runs SET imported_at = imported_at + 60 WHERE run = 11")
    db.close()
    found = json.loads(site.run("reconcile", "--json", "--deep").stdout)
    assert found["states"] == {"differs": [7], "unaccounted": [11], "unproven": [8, 9, 10], "verified": [12]}
    told = site.run("reconcile", "--deep")
    assert (told.returncode, "the journal does not tell how it was verified" in told.stdout) == (1, True)


def test_artdaqdb_and_ucondb_are_compared_run_by_run_whatever_the_journal_says(site: Site) -> None:
    """With the journal lost too it is told which run's contents differ between the two."""
    site.make(*THREE_RUNS)
    assert site.run("once").returncode == 0
    site.lose_the_journal()
    for document in site.root.glob("artdaqdb/RunHistory/*.json"):
        text = document.read_text()
        if '"8/' in text:
            document.write_text(text.replace("config_name", "konfig_name"))
    found = json.loads(site.run("reconcile", "--json", "--deep").stdout)
    assert (found["states"], found["differing"], found["compared"]) == ({"unseen": [7, 8, 9]}, [8], 3)


def test_a_stop_line_that_comes_after_all_updates_artdaqdb_only(site: Site) -> None:
    """The dead run is flagged superseded; UconDB's version is replaced by `release --override` and by nothing else."""
    site.make(*THREE_RUNS)
    unstop(site, 7)
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text() + "[watch]\nrescan_seconds = 1\nabandon_after_seconds = 0\n")
    daemon = site.start("run")
    rows = site.wait(lambda rows: all(rows.get(run) and rows[run].state is State.VERIFIED for run in (7, 8, 9)))
    assert rows[7].dead
    archived = site.blob(7)
    stop(site, 7)
    site.wait(lambda rows: rows[7].superseded and rows[7].state is State.VERIFIED)
    assert site.stop(daemon) == 130
    assert site.blob(7) == archived
    assert "superseded: artdaqDB has a newer version of it than UconDB" in site.run("why", "7").stdout
    assert "  1. Decide: run 7 is superseded: artdaqDB has a newer version" in site.run("status").stdout
    refused = site.run("release", "7")
    assert (refused.returncode, "releasing it replaces UconDB's version" in refused.stderr) == (1, True)
    assert site.run("reconcile", "--deep").returncode == 0
    assert site.run("release", "7", "--override").returncode == 0
    assert site.run("once").returncode == 0
    row = site.rows()[7]
    assert (row.state, row.superseded, row.dead) == (State.VERIFIED, False, False)
    site.assert_proven(row)
    replaced = dict(unpack(site.blob(7)).files)
    assert b"23:59:59" in replaced["RunHistory2.fcl"]
    assert b"23:59:59" in replaced["metadata.fcl"]
    assert site.run("reconcile", "--deep").returncode == 0


def lose_versions(site: Site, *runs: int) -> None:
    """Let UconDB lose the versions of runs, behind its back."""
    keys = [(str(run),) for run in runs]
    change_ucondb(site, "DELETE FROM tags WHERE version IN (SELECT id FROM versions WHERE key = ?)", *keys)
    change_ucondb(site, "DELETE FROM versions WHERE key = ?", *keys)


def change_ucondb(site: Site, sql: str, *values: tuple[object, ...]) -> None:
    """Change what UconDB has stored, behind its back."""
    with (
        contextlib.closing(sqlite3.connect(site.root / "ucondb" / "ucondb.sqlite", timeout=DEADLINE_SECONDS)) as db,
        db,
    ):
        db.executemany(sql, values)


def lose_what_ucondb_holds(site: Site) -> None:
    """Let UconDB come back empty."""
    site.children[0].terminate()
    site.children[0].wait()
    shutil.rmtree(site.root / "ucondb")
    site.serve()


def test_a_superseded_run_that_ucondb_lost_is_stored_as_it_is_now(site: Site) -> None:
    """What was sent cannot be rebuilt; its key is free, so what artdaqDB has goes there and overwrites nothing."""
    site.make(*ONE_RUN)
    unstop(site, 7)
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text() + "[watch]\nabandon_after_seconds = 0\nsettle_seconds = 0.1\n")
    assert site.run("once").returncode == 0
    stop(site, 7)
    assert site.run("once").returncode == 0
    assert site.rows()[7].superseded
    lose_what_ucondb_holds(site)
    assert site.run("once").returncode == 0
    row = site.rows()[7]
    assert (row.state, row.superseded, row.override) == (State.VERIFIED, False, False)
    site.assert_proven(row)
    assert site.versions() == {7: 1}
    assert b"23:59:59" in dict(unpack(site.blob(7)).files)["RunHistory2.fcl"]


def test_a_journal_lost_in_a_first_phase_costs_no_end(site: Site) -> None:
    """Nobody knows any more that it was us who archived the running run: its end reaches both databases."""
    site.children[0].terminate()
    site.children[0].wait()
    site.serve("--folder", "pending01")
    site.settings = 'pending_folder_name = "pending01"\n'
    site.configure()
    site.make(*ONE_RUN)
    unstop(site, 7)
    assert site.run("once").returncode == 0
    assert (site.rows()[7].state, site.versions("pending01"), site.versions()) == (State.OPEN, {7: 1}, {})
    site.lose_the_journal()
    stop(site, 7)
    (site.records / "7" / "rc_info_stop.txt").write_text("comment: the end\n")
    assert site.run("once").returncode == 0
    row = site.rows()[7]
    assert row.state is State.VERIFIED
    site.assert_proven(row)
    files = dict(unpack(site.blob(7)).files)
    assert all(b"23:59:59" in files[name] for name in ("RunHistory2.fcl", "metadata.fcl"))
    assert "rc_info_stop.fcl" in files
    assert (site.versions("pending01"), site.versions()) == ({7: 1}, {7: 1})
    assert site.run("reconcile", "--deep").returncode == 0


def test_a_stop_line_that_comes_after_the_journal_was_lost_is_not_passed_over(site: Site) -> None:
    """A run archived as dead gets its end in artdaqDB; UconDB's version is not called verified, nor replaced."""
    site.make(*ONE_RUN)
    unstop(site, 7)
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text() + "[watch]\nabandon_after_seconds = 0\nsettle_seconds = 0.1\n")
    assert site.run("once").returncode == 0
    assert site.rows()[7].state is State.VERIFIED
    archived = site.blob(7)
    site.lose_the_journal()
    stop(site, 7)
    for _ in range(2):
        assert site.run("once").returncode == 1
        assert (site.rows()[7].state, site.blob(7) == archived) == (State.CONFLICT, True)
        assert site.run("retry", "migrate").returncode == 1
    assert "`archiverd release 7 --override`" in site.run("why", "7").stdout
    assert site.run("export", "7", str(site.root / "out"), "--from", "artdaqdb").returncode == 0
    assert b"23:59:59" in (site.root / "out" / "RunHistory2.fcl").read_bytes()
    assert site.run("release", "7", "--override").returncode == 0
    assert site.run("once").returncode == 0
    row = site.rows()[7]
    assert row.state is State.VERIFIED
    site.assert_proven(row)
    assert b"23:59:59" in dict(unpack(site.blob(7)).files)["RunHistory2.fcl"]
    assert site.run("reconcile", "--deep").returncode == 0


def test_a_conflict_is_resolved_by_an_operator(site: Site) -> None:
    """Other content under our key stays until `release --override`; then ours stands there, and it is proven."""
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    for left in (*site.work.glob("journal.sqlite*"), *(site.root / "artdaqdb").glob("*/*")):
        left.unlink()
    theirs = site.blob(7)
    metadata = site.records / "7" / "metadata.txt"
    metadata.write_text(metadata.read_text().replace("Config name: ", "Config name: other"))
    assert site.run("once").returncode == 1
    assert numbers(site, "migrate_failures.log") == [7]
    assert site.run("release", "7").returncode == 1
    compared = site.run("retry", "migrate")
    assert compared.returncode == 1
    assert compared.stderr.endswith("Remedy: `archiverd why 7` tells the cause and what to do\n"), "it only compares"
    assert site.blob(7) == theirs
    assert site.run("release", "7", "--override").returncode == 0
    assert site.run("once").returncode == 0
    site.assert_proven(site.rows()[7])
    assert site.blob(7) != theirs
    assert numbers(site, "migrate_failures.log") == []


def test_drills_fail_runs_on_purpose_and_say_so(site: Site) -> None:
    """`[app_fuzz]` makes every run fail for good; without it, released, they go through."""
    site.make(*THREE_RUNS)
    config = site.root / "archiverd.toml"
    plain = config.read_text()
    config.write_text(plain + "[app_fuzz]\nrandom_error_percent = 100\nrandom_error_retry = true\n")
    metadata = site.records / "9" / "metadata.txt"
    unstop(site, 9)
    assert site.run("once").returncode == 1
    assert {run: row.state for run, row in site.rows().items()} == {7: FAILED, 8: FAILED, 9: State.OPEN}
    with metadata.open("a") as file:
        file.write(STOP_LINE)
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    site.run("once", "--incremental")  # no drill there
    assert {run: row.state for run, row in site.rows().items()} == {
        **dict.fromkeys((7, 8), FAILED),
        **dict.fromkeys((9, 20), State.VERIFIED),
    }
    assert "failed on purpose: a drill of [app_fuzz]" in site.run("why", "7").stdout
    assert numbers(site, "import_failures.log") == [7, 8]
    config.write_text(plain)
    assert site.run("retry", "import").returncode == 0


def test_drills_leave_updates_alone(site: Site) -> None:
    """A stop line that came later is stored though every import would fail on purpose, as in the older tool."""
    site.make(*THREE_RUNS)
    unstop(site, 7)
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text() + "[watch]\nabandon_after_seconds = 0\n")
    assert site.run("once").returncode == 0
    assert site.rows()[7].dead
    config.write_text(config.read_text() + "[app_fuzz]\nrandom_error_percent = 100\nrandom_error_retry = true\n")
    stop(site, 7)
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    assert site.run("once").returncode == 1
    rows = site.rows()
    assert (rows[7].state, rows[7].superseded, rows[20].state) == (State.VERIFIED, True, FAILED)
    assert "failed on purpose" not in site.run("why", "7").stdout


def test_a_started_run_goes_to_the_pending_folder_at_once(site: Site) -> None:
    """First phase at the start, second at the end, each exactly once, under the same key in two folders."""
    site.children[0].terminate()
    site.children[0].wait()
    site.serve("--folder", "pending01")
    site.settings = 'pending_folder_name = "pending01"\n'
    site.configure()
    site.make(*ONE_RUN)
    metadata = site.records / "7" / "metadata.txt"
    whole = metadata.read_text()
    unstop(site, 7)
    daemon = site.start("run")
    site.wait(lambda rows: 7 in rows and rows[7].started)
    pending = "/data/pending01/configuration?key=7"
    site.wait(lambda _: site.get(pending)[0] == 200)
    site.wait(lambda _: "proven in the pending folder" in site.run("why", "7").stdout)
    assert site.rows()[7].state is State.OPEN
    assert site.versions() == {}
    assert site.stop(daemon) == 130
    daemon = site.start("run")
    metadata.write_text(whole)
    rows = site.wait(lambda rows: rows[7].state is State.VERIFIED)
    assert site.stop(daemon) == 130
    site.assert_proven(rows[7])
    assert site.versions() == {7: 1}
    status, listed = site.get("/versions?folder=pending01&object=configuration&tv=1e12")
    assert (status, len(json.loads(listed))) == (200, 1)
    first, final = (unpack(body) for body in (site.get(pending)[1], site.blob(7)))
    assert set(dict(first.files)) < set(dict(final.files))
