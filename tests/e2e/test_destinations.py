"""A proof names its destination: another folder, another site's journal, an artdaqDB that was emptied."""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from tests.e2e.test_operations import DEMO, THREE_RUNS

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.e2e.conftest import Site

QUICK = {
    "archiverd.audit.elsewhere.PAUSE_SECONDS": 0.01,
    "archiverd.audit.elsewhere.AGAIN_SECONDS": 0.05,
    "archiverd.audit.elsewhere.ROUND_SECONDS": 0.2,
}
ONE_MORE = (*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
MANY = range(1_000, 2_000)


@pytest.fixture
def two_folders(bare_site: Site) -> Site:
    """A site with a server of two folders, and three runs verified in the first."""
    bare_site.serve("--folder", "test02")
    bare_site.configure()
    bare_site.make(*THREE_RUNS)
    assert bare_site.run("once").returncode == 0
    bare_site.constants = QUICK
    return bare_site


def change(site: Site, old: str, new: str) -> None:
    """Change a setting."""
    text = site.config.read_text()
    assert old in text
    site.config.write_text(text.replace(old, new))


def mistype(site: Site) -> None:
    """Name the other folder in the configuration."""
    change(site, 'folder_name = "test01"', 'folder_name = "test02"')


def reported(site: Site) -> dict[str, dict[str, int]]:
    """Return what `status` says of each database, by its name."""
    found = json.loads(site.run("status", "--json").stdout)
    return {one["name"]: one for one in found["destinations"]}


def started(site: Site) -> subprocess.Popen[str]:
    """Start the daemon, and wait until it answers."""
    daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    return daemon


def wait_for(site: Site, **counts: int) -> None:
    """Wait until `status` says so of UconDB."""
    site.wait(lambda _: counts.items() <= reported(site)["UconDB"].items())


def pretend(site: Site) -> None:
    """Let the journal have a thousand more runs that were verified, in the words of run 7."""
    with sqlite3.connect(site.work / "journal.sqlite") as db:
        columns = [name for (_, name, *_) in db.execute("PRAGMA table_info(runs)") if name != "run"]
        names = ", ".join(columns)
        for run in MANY:
            db.execute(f"INSERT INTO runs (run, {names}) SELECT ?, {names} FROM runs WHERE run = 7", (run,))  # noqa: S608


def test_a_mistyped_folder_sends_nothing_of_a_thousand_runs(two_folders: Site) -> None:
    """They are counted and named; only what ended since goes to the new place; put right, all is as before."""
    site = two_folders
    pretend(site)
    mistype(site)
    told = site.run("config", "check")
    assert "1003 verified runs http" in told.stderr
    assert "1003 verified runs proven in" in told.stderr
    daemon = started(site)
    site.wait_for_log("is http")
    assert "folder test02 object configuration now; 1003 verified runs proven in http" in site.log
    site.make(*ONE_MORE)
    site.wait(lambda rows: 20 in rows and rows[20].state is State.VERIFIED)
    wait_for(site, missing=1003, not_looked_up=0, here=1)
    status = site.run("status").stdout
    assert "1003 missing here" in status
    assert "archiverd release --destination" in status
    assert "no action needed" not in status
    probed = json.loads(site.run("status", "--compare-state", "--json").stdout)
    assert (probed["differences"]["lost_ucondb"], probed["state_files"][1]["in_step"]) == ([], True)
    assert site.stop(daemon) == 130
    once = site.run("once")
    assert (once.returncode, "1003 missing here" in once.stderr) == (1, True)
    assert json.loads(site.run("once", "--json").stdout)["elsewhere"][-1]["missing"] == 1003
    assert site.versions("test02") == {20: 1}
    assert site.run("recover", "migrate").returncode == 0
    assert site.versions("test02") == {20: 1}
    change(site, 'folder_name = "test02"', 'folder_name = "test01"')
    site.run("once")
    assert reported(site)["UconDB"]["missing"] == 1
    assert (site.versions(), site.versions("test02")) == ({7: 1, 8: 1, 9: 1}, {20: 1})


@pytest.mark.parametrize("beside", [True, False])
def test_runs_go_to_another_folder_at_an_operators_word(two_folders: Site, beside: bool) -> None:
    """They are named until then; afterwards everything is in order, and each run says where it was proven."""
    site = two_folders
    mistype(site)
    daemon = started(site) if beside else None
    if beside:
        wait_for(site, missing=3)
    found = json.loads(site.run("reconcile", "--json").stdout)
    assert (found["states"], found["in_order"]) == ({"elsewhere": [7, 8, 9]}, False)
    assert site.versions("test02") == {}
    done = json.loads(site.run("release", "--destination", "--json").stdout)
    assert (done["sent"], done["imported"], done["not_looked_up"]) == (3, 0, 0)
    if beside:
        wait_for(site, here=3)
    else:
        assert site.run("once").returncode == 0
    assert site.versions("test02") == {7: 1, 8: 1, 9: 1}
    assert site.run("reconcile", "--deep").returncode == 0
    assert json.loads(site.run("why", "7", "--json").stdout)["places"]["proven_in"].endswith(
        "folder test02 object configuration"
    )
    assert daemon is None or site.stop(daemon) == 130


def test_what_is_released_before_it_was_looked_up_goes_all_the_same(two_folders: Site) -> None:
    """One pass looks, finds it missing, and sends it."""
    mistype(two_folders)
    done = two_folders.run("release", "--destination")
    assert (done.returncode, "3 runs not looked up yet" in done.stderr) == (0, True)
    assert two_folders.run("once").returncode == 0
    assert two_folders.versions("test02") == {7: 1, 8: 1, 9: 1}


def test_what_the_new_place_has_is_compared_and_proven_there(two_folders: Site) -> None:
    """The same bytes, the same run packed at another time, and other content, which is named and left alone."""
    site = two_folders
    mistype(site)
    site.lose_the_journal()
    shutil.move(site.root / "artdaqdb", site.root / "aside")
    (site.records / "9" / "extra01.fcl").write_text("other: 1\n")
    assert site.run("once").returncode == 0
    assert site.versions("test02") == {7: 1, 8: 1, 9: 1}
    before = site.rows()
    change(site, 'folder_name = "test02"', 'folder_name = "test01"')
    once = site.run("once")
    assert (once.returncode, "1 with other content here" in once.stderr) == (1, True)
    found = json.loads(site.run("reconcile", "--json").stdout)
    assert found["states"] == {"differs": [9], "verified": [7, 8]}
    assert [(one["run"], "other content" in one["error"]) for one in found["amiss"]] == [(9, True)]
    for run in (7, 8):
        site.assert_proven(site.rows()[run])
    assert site.rows()[9].blob_sha256 == before[9].blob_sha256
    again = json.loads(site.run("retry", "migrate", "9", "--json").stdout)
    assert [(one["run"], one["state"]) for one in again["amiss"]] == [(9, "differs")]
    assert site.run("release", "9").returncode == 1
    assert (site.versions(), site.versions("test02")) == ({7: 1, 8: 1, 9: 1}, {7: 1, 8: 1, 9: 1})
    assert site.run("release", "9", "--override").returncode == 0
    assert site.run("once").returncode == 0
    assert site.run("reconcile", "--deep").returncode == 0


def test_proving_a_run_again_that_was_archived_elsewhere_sends_nothing(two_folders: Site) -> None:
    """It is looked up in the configured place, and the answer says that it is not there."""
    site = two_folders
    mistype(site)
    again = json.loads(site.run("retry", "migrate", "8", "--json").stdout)
    assert [(one["run"], one["state"]) for one in again["amiss"]] == [(8, "elsewhere")]
    assert site.run("once").returncode == 1
    assert site.versions("test02") == {}


def test_a_superseded_run_goes_to_another_folder_as_it_is_now(two_folders: Site) -> None:
    """Its older version cannot be made any more: what artdaqDB has now goes there, and nothing is superseded then."""
    site = two_folders
    (site.records / "8" / "extra01.fcl").write_text("more: 1\n")
    assert site.run("rearchive", "8").returncode == 0
    assert site.rows()[8].superseded
    mistype(site)
    assert site.run("release", "--destination").returncode == 0
    assert site.run("once").returncode == 0
    row = site.rows()[8]
    assert (row.state, row.superseded) == (State.VERIFIED, False)
    assert site.run("reconcile", "--deep").returncode == 0
    assert site.versions("test02") == {7: 1, 8: 1, 9: 1}


def test_another_sites_journal_is_told_and_believed_in_nothing(two_folders: Site, tmp_path: Path) -> None:
    """Its runs are not this site's: the daemon says so, looks them up, and takes none for archived."""
    site = two_folders
    other = type(site)(tmp_path / "other", url=site.url, served=True, constants=QUICK)
    other.root.mkdir()
    other.records.mkdir()
    other.work.mkdir()
    other.configure()
    mistype(other)
    shutil.copy(site.work / "journal.sqlite", other.work / "journal.sqlite")
    other.make(*ONE_MORE)
    daemon = started(other)
    try:
        other.wait_for_log("was it copied from another site?")
        other.wait(lambda rows: 20 in rows and rows[20].state is State.VERIFIED)
        wait_for(other, missing=3, here=1)
        assert reported(other)["artdaqDB"]["missing"] == 3
        assert f"this journal was made for the run records in {site.records}" in other.run("status").stdout
        assert other.versions("test02") == {20: 1}
        done = json.loads(other.run("release", "--destination", "--json").stdout)
        assert (done["sent"], done["imported"], done["skipped_count"]) == (0, 0, 3)
        assert "was it copied" not in other.run("status").stdout
        assert other.stop(daemon) == 130
    finally:
        other.close()


@pytest.mark.parametrize("how", ["emptied", "moved"])
def test_an_artdaqdb_without_the_runs_is_told_and_filled_at_an_operators_word(two_folders: Site, how: str) -> None:
    """Emptied, or another one: nothing is imported by itself; afterwards all is in order, UconDB's versions stay."""
    site = two_folders
    if how == "emptied":
        shutil.rmtree(site.root / "artdaqdb")
    else:
        change(site, f"{site.root}/artdaqdb", f"{site.root}/artdaqdb2")
    daemon = started(site)
    site.wait(lambda _: reported(site)["artdaqDB"]["missing"] == 3)
    assert "3 missing here" in site.run("status").stdout
    found = json.loads(site.run("reconcile", "--json").stdout)
    assert (found["states"], found["in_order"]) == ({"missing_artdaqdb": [7, 8, 9]}, False)
    assert site.stop(daemon) == 130
    once = site.run("once")
    assert (once.returncode, "3 missing here" in once.stderr, "0 runs imported" in once.stderr) == (1, True, True)
    daemon = started(site)
    done = json.loads(site.run("release", "--destination", "--json").stdout)
    assert (done["imported"], done["sent"]) == (3, 0)
    site.wait(lambda _: reported(site)["artdaqDB"]["here"] == 3)
    assert site.run("reconcile", "--deep").returncode == 0
    assert site.versions() == {7: 1, 8: 1, 9: 1}
    assert site.stop(daemon) == 130


def test_another_detectors_artdaqdb_is_not_taken_up(two_folders: Site, tmp_path: Path) -> None:
    """A mistyped URI that leads to a database full of others' runs uploads none of them."""
    site = two_folders
    change(site, f"{site.root}/artdaqdb", f"{site.root}/artdaqdb2")
    site.lose_the_journal()
    shutil.move(site.records, tmp_path / "aside")
    site.records.mkdir()
    site.make(*ONE_MORE)
    assert site.run("once").returncode == 0
    change(site, f"{site.root}/artdaqdb2", f"{site.root}/artdaqdb")
    told = site.run("once")
    assert (told.returncode, "left alone; `archiverd release --destination`" in told.stderr) == (1, True)
    assert set(site.rows()) == {20}


def test_runs_from_before_it_was_noted_where_are_looked_up(two_folders: Site) -> None:
    """An older version's journal names no destination: nothing is believed before it is compared."""
    site = two_folders
    with sqlite3.connect(site.work / "journal.sqlite") as db:
        db.execute("UPDATE runs SET imported_to = NULL, proven_to = NULL")
        db.execute("DELETE FROM site")
    assert reported(site)["UconDB"]["not_looked_up"] == 3
    assert site.run("once").returncode == 0
    assert {name: one["here"] for name, one in reported(site).items()} == {"artdaqDB": 3, "UconDB": 3}
    assert site.run("reconcile").returncode == 0


def test_a_run_may_stay_where_it_is(two_folders: Site) -> None:
    """A new folder for a new year: an operator accepts that older runs are in the old one."""
    site = two_folders
    mistype(site)
    assert site.run("once").returncode == 1
    assert site.run("rearchive", "7", "8", "9", "--accept").returncode == 0
    assert site.run("reconcile").returncode == 0
    assert site.run("once").returncode == 0
    assert site.versions("test02") == {}
