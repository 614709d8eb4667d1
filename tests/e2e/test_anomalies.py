"""Verified runs that are not as they should be any more: told by name, with a way out that works."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from archiverd.core.machine import State
from tests.e2e.test_operations import DEMO, THREE_RUNS, lose_what_ucondb_holds, stop, unstop

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

TWO_RUNS = (*DEMO, "--runs", "2", "--crash", "0", "--first", "7")


def archived(site: Site, *runs: str) -> None:
    """Archive a few runs."""
    site.make(*(runs or TWO_RUNS))
    assert site.run("once").returncode == 0


def reuse(site: Site, run: int, record: int) -> None:
    """Put another run's record where a run's was."""
    shutil.rmtree(site.records / str(run))
    shutil.copytree(site.records / str(record), site.records / str(run))


def test_a_reused_run_number_is_told_by_name(site: Site) -> None:
    """Nothing is overwritten; under a free number the other run is archived too, and with it all is in order."""
    archived(site)
    before = site.blob(7)
    reuse(site, 7, 8)
    told = site.run("reconcile")
    assert told.returncode == 1
    assert "reused                  1   7" in told.stdout
    row = site.rows()[7]
    words = f"run 7: the directory holds another run: started {site.rows()[8].start_line}, archived is the one started "
    assert f"{words}{row.start_line}" in told.stdout
    found = json.loads(site.run("reconcile", "--json", "--deep").stdout)
    assert (found["states"], found["in_order"]) == ({"reused": [7], "verified": [8]}, False)
    assert [one["run"] for one in found["amiss"]] == [7]
    assert site.run("once", "--incremental").returncode == 0
    done = site.run("once")
    assert (done.returncode, words in done.stderr) == (1, True)
    assert (site.rows()[7].state, site.blob(7)) == (State.VERIFIED, before)
    (site.records / "7").rename(site.records / "70")
    assert site.run("once").returncode == 0
    assert site.run("reconcile", "--deep").returncode == 0
    site.assert_proven(site.rows()[70])


def test_once_tells_a_reused_run_number_beside_a_daemon_too(site: Site) -> None:
    """It is the same question, whoever asks the databases."""
    archived(site)
    reuse(site, 7, 8)
    daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    assert site.run("once", "--incremental").returncode == 0
    done = json.loads(site.run("once", "--json").stdout)
    assert (done["exit_code"], [(one["run"], one["state"]) for one in done["amiss"]]) == (1, [(7, "reused")])
    assert site.stop(daemon) == 130


def test_damage_in_artdaqdb_is_not_laid_at_ucondbs_door(site: Site) -> None:
    """A document that cannot be read, and one that says something else: UconDB has the proven bytes all the same."""
    archived(site, *THREE_RUNS)
    for document in site.root.glob("artdaqdb/RunHistory/[!i]*.json"):
        text = document.read_text()
        if '"7/' in text:
            document.write_text("garbage")
        elif '"8/' in text:
            document.write_text(text.replace("config_name", "konfig_name"))
    told = site.run("reconcile", "--deep")
    assert told.returncode == 1
    assert "differs_artdaqdb        2   7-8" in told.stdout
    assert "UconDB has the bytes that were proven" in told.stdout
    assert "is damaged" in told.stdout
    found = json.loads(site.run("reconcile", "--json", "--deep").stdout)
    assert (found["states"], found["differing"]) == ({"differs_artdaqdb": [7, 8], "verified": [9]}, [7, 8])
    assert [one["run"] for one in found["amiss"]] == [7, 8]


def lose_in_artdaqdb(site: Site) -> None:
    """Let artdaqDB come back empty."""
    shutil.rmtree(site.root / "artdaqdb")


def test_runs_that_artdaqdb_lost_are_told_and_can_be_put_back(site: Site) -> None:
    """From their directories, at an operator's word; UconDB's versions stay the ones that were proven."""
    archived(site, *THREE_RUNS)
    before = site.rows()
    lose_in_artdaqdb(site)
    shutil.rmtree(site.records / "9")
    told = site.run("once")
    assert told.returncode == 1
    assert "missing_artdaqdb: 7-9" in told.stderr
    assert "`archiverd retry import 7 8 9`" in told.stderr
    assert {row.state for row in site.rows().values()} == {State.VERIFIED}
    done = json.loads(site.run("retry", "import", "7", "8", "9", "--json").stdout)
    assert (done["imported"], done["verified"], done["exit_code"]) == (2, 2, 1)
    assert [one["run"] for one in done["skipped"]] == [9]
    assert "its directory is gone" in done["skipped"][0]["reason"]
    found = json.loads(site.run("reconcile", "--deep", "--json").stdout)
    assert found["states"] == {"missing_artdaqdb": [9], "verified": [7, 8]}
    assert site.versions() == {7: 1, 8: 1, 9: 1}
    assert site.rows()[7].blob_sha256 == before[7].blob_sha256


def test_what_artdaqdb_lost_is_not_taken_from_another_runs_directory(site: Site) -> None:
    """A reused number beside a loss: nothing is imported."""
    archived(site)
    lose_in_artdaqdb(site)
    reuse(site, 7, 8)
    refused = site.run("retry", "import", "7")
    assert (refused.returncode, "the directory holds another run" in refused.stderr) == (1, True)
    assert site.rows()[7].state is State.VERIFIED


def test_what_both_databases_lost_is_put_back_beside_a_daemon(site: Site) -> None:
    """The run fails, for artdaqDB has nothing to upload; retried it goes all the way once more."""
    archived(site)
    lose_in_artdaqdb(site)
    lose_what_ucondb_holds(site)
    assert site.run("once").returncode == 1
    assert {row.state for row in site.rows().values()} == {State.QUARANTINED}
    daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    done = site.run("retry", "import", "7", "8")
    assert (done.returncode, "2 runs imported, 2 verified" in done.stderr) == (0, True), done.stderr
    assert site.stop(daemon) == 130
    assert site.run("reconcile", "--deep").returncode == 0


def test_a_lost_run_whose_end_came_late_is_put_back_as_it_is(site: Site) -> None:
    """Superseded it stays: artdaqDB gets the run with its end, UconDB keeps its version."""
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "7")
    unstop(site, 7)
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text() + "[watch]\nabandon_after_seconds = 0\nsettle_seconds = 0.1\n")
    assert site.run("once").returncode == 0
    stop(site, 7)
    assert site.run("once").returncode == 0
    before = site.blob(7)
    lose_in_artdaqdb(site)
    assert site.run("retry", "import", "7").returncode == 0
    row = site.rows()[7]
    assert (row.state, row.superseded, site.blob(7) == before) == (State.VERIFIED, True, True)
    assert site.run("reconcile", "--deep").returncode == 0


def test_every_state_that_a_comparison_finds_says_what_to_do(site: Site) -> None:
    """Also of a run that is in UconDB only, which archiverd neither takes up nor takes away."""
    archived(site)
    site.lose_the_journal()
    shutil.rmtree(site.records / "7")
    shutil.rmtree(site.root / "artdaqdb")
    told = site.run("reconcile")
    assert "orphan_ucondb           1   7" in told.stdout
    assert "`archiverd export 7 DEST --from ucondb` reads it" in told.stdout
    done = site.run("export", "7", str(site.root / "out"), "--from", "ucondb")
    assert (done.returncode, (site.root / "out" / "boot.fcl").exists()) == (0, True)


def test_what_is_amiss_is_logged_once_however_many_passes_see_it(site: Site) -> None:
    """Each pass of cron is a process of its own: the journal remembers what was told; the summary counts it again."""
    archived(site, *DEMO, "--runs", "4", "--crash", "0", "--first", "7")
    reuse(site, 7, 10)
    (site.records / "8" / "late01.fcl").write_text("extra_parameter: 4711\n")
    lose_in_artdaqdb(site)
    words = ("the directory holds another run", "its directory is not what was archived", "imported before, not in")
    logged = ""
    for _ in range(3):
        done = json.loads((ended := site.run("-v", "once", "--json")).stdout)
        logged += ended.stderr
        states = {(one["run"], one["state"]) for one in done["amiss"]}
        assert {(7, "reused"), (8, "changed"), (9, "missing_artdaqdb")} <= states
        assert [logged.count(text) for text in words] == [1, 1, 1]
    shutil.rmtree(site.records / "7")
    shutil.rmtree(site.records / "8")
    assert "is reused" in site.run("status").stdout
    site.run("once")
    status = json.loads(site.run("status", "--json").stdout)["recommendations"]
    assert not [one for one in status if "reused" in one or "changed" in one]
