"""A directory that changes after its run was verified: noticed, told, and mended by an operator's word."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.port import Entity
from archiverd.artdaqdb.rules import SCHEMA_ENTITY, SYSTEM_LAYOUT
from archiverd.artdaqdb.schema import load_schema
from archiverd.core.machine import State
from archiverd.journal.queries import select_files
from archiverd.journal.reader import reading
from archiverd.runrecord.blob import unpack
from tests.artdaqdb.conftoolp.conftest import STANDIN
from tests.artdaqdb.tools import standin
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Site

DEMO = ("--profile", "demo", "--fcl", "dumped", "--crash", "0", "--gaps", "0", "--no-chmod")
ROUND = "archiverd.audit.directory_audit.ROUND_SECONDS"
AGAIN = "archiverd.audit.directory_audit.AGAIN_SECONDS"
FCL = "extra_parameter: 4711\n"


def add(directory: Path) -> None:
    """Add a process's file."""
    (directory / "late01.fcl").write_text(FCL)


def edit(directory: Path) -> None:
    """Edit a file, keeping its size and its modification time."""
    path = directory / "component01.fcl"
    status, text = path.stat(), path.read_text()
    path.write_text(text.replace("1", "2", 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def append(directory: Path) -> None:
    """Add what a DAQ may add after the end."""
    with (directory / "metadata.txt").open("a") as file:
        file.write("\nTotal events: 5118\n")


@pytest.mark.parametrize(
    ("change", "told"),
    [(add, "added late01.fcl"), (edit, "edited component01.fcl"), (append, "edited metadata.txt")],
    ids=["added", "edited", "appended"],
)
def test_a_change_is_noticed_told_and_mended(site: Site, change: Callable[[Path], None], told: str) -> None:
    """The daemon logs it once; `rearchive` brings it into artdaqDB, with `--override` into UconDB too."""
    site.constants = {ROUND: 0.1}
    site.make(*DEMO, "--runs", "2", "--first", "7")
    daemon = site.start("run")
    site.wait(lambda rows: len(rows) == 2 and all(row.state is State.VERIFIED for row in rows.values()))
    before, first = site.blob(7), site.blob(8)
    change(site.records / "7")
    site.wait(lambda rows: bool(rows[7].changed))
    site.wait_for_log(f"[Run 7] its directory is not what was archived: {told}")
    assert f"{told} since it was archived" in site.run("why", "7").stdout
    assert "run 7 is changed: its directory is not what was archived" in site.run("status").stdout
    assert json.loads(site.run("reconcile", "--json").stdout)["states"] == {"changed": [7], "verified": [8]}
    assert site.run("reconcile").returncode == 1

    assert site.run("rearchive", "7").returncode == 0
    row = site.rows()[7]
    assert (row.state, row.superseded, bool(row.changed)) == (State.VERIFIED, True, False)
    assert site.blob(7) == before
    refused = site.run("rearchive", "8")
    assert "there is nothing to archive again" in refused.stderr

    change(site.records / "8")
    site.wait(lambda rows: bool(rows[8].changed))
    assert site.run("rearchive", "8", "--override").returncode == 0
    row = site.rows()[8]
    assert (row.state, row.superseded, bool(row.changed)) == (State.VERIFIED, False, False)
    site.assert_proven(row)
    assert site.blob(8) != first
    if change is add:
        assert FCL.split()[1].encode() in dict(unpack(site.blob(8)).files)["late01.fcl"]
    assert site.log.count("its directory is not what was archived") == 2
    assert site.stop(daemon) == 130


def test_what_artdaqdb_has_already_goes_to_ucondb_at_a_word(site: Site) -> None:
    """A superseded run whose directory is unchanged: the remedy is named, and `--override` does what it says."""
    site.make(*DEMO, "--runs", "1", "--first", "7")
    assert site.run("once").returncode == 0
    before = site.blob(7)
    add(site.records / "7")
    assert site.run("rearchive", "7").returncode == 0
    assert (site.rows()[7].superseded, site.blob(7) == before) == (True, True)
    told = site.run("rearchive", "7").stderr
    assert "`archiverd release 7 --override` replaces that" in told
    assert "nothing to archive again" not in told
    assert site.run("rearchive", "7", "--override").returncode == 0
    assert not site.rows()[7].superseded
    assert FCL.split()[1].encode() in dict(unpack(site.blob(7)).files)["late01.fcl"]
    assert site.run("reconcile", "--deep").returncode == 0


def test_a_file_that_was_removed_stays_archived(site: Site) -> None:
    """It counts as removed once it is missing a day later too; the archive stays as it is, and that is accepted."""
    site.constants = {ROUND: 0.1, AGAIN: 0.0}
    site.make(*DEMO, "--runs", "1", "--first", "7")
    daemon = site.start("run")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    before = site.blob(7)
    (site.records / "7" / "component01.fcl").unlink()
    row = site.wait(lambda rows: bool(rows[7].changed))[7]
    assert row.changed.removed == ("component01.fcl",)
    refused = site.run("rearchive", "7")
    assert (refused.returncode, "archiverd rearchive 7 --accept" in refused.stderr) == (1, True)
    assert site.run("rearchive", "7", "--accept").returncode == 0
    assert site.run("reconcile", "--deep").returncode == 0
    assert site.blob(7) == before
    assert "an operator lets stand what was archived" in site.run("why", "7").stdout
    (site.records / "7" / "boot.txt").write_text("DAQ setup script: other\n")
    row = site.wait(lambda rows: bool(rows[7].changed))[7]
    assert row.changed.edited == ("boot.txt",)
    assert site.stop(daemon) == 130


def test_no_content_is_no_change(site: Site) -> None:
    """The runbook orders `chmod -R`; a copy back from a backup has other times and inodes."""
    site.constants = {ROUND: 0.1}
    site.make(*DEMO, "--runs", "2", "--first", "7")
    daemon = site.start("run")
    before = site.wait(lambda rows: len(rows) == 2 and all(row.state is State.VERIFIED for row in rows.values()))
    for path in (site.records / "7").iterdir():
        path.chmod(0o600)
    shutil.copytree(site.records / "8", site.root / "copy")
    shutil.rmtree(site.records / "8")
    (site.root / "copy").rename(site.records / "8")
    rows = site.wait(lambda rows: all(rows[run].listing != before[run].listing for run in (7, 8)))
    assert not any(row.changed or row.reused for row in rows.values())
    assert site.run("reconcile").returncode == 0
    assert site.stop(daemon) == 130


def test_another_run_under_the_number_is_reused_and_never_changed(site: Site) -> None:
    """The daemon tells it at once, with both start lines; `rearchive` and `--accept` refuse it and say what to do."""
    site.constants = {ROUND: 0.1}
    site.make(*DEMO, "--runs", "1", "--first", "7")
    daemon = site.start("run")
    first = site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)[7]
    (site.records / "7").rename(site.root / "moved")
    site.make(*DEMO, "--runs", "1", "--first", "7", "--start-time", "1800000000", "--seed", "5")
    row = site.wait(lambda rows: bool(rows[7].reused))[7]
    assert not row.changed
    wait_until(lambda: "the directory holds another run" in site.log)
    for option in ((), ("--accept",), ("--override",)):
        refused = site.run("rearchive", "7", *option)
        assert refused.returncode == 1
        assert row.reused in refused.stderr
        assert first.start_line in refused.stderr
        assert "rename the directory" in refused.stderr
    assert json.loads(site.run("reconcile", "--json").stdout)["states"] == {"reused": [7]}
    shutil.rmtree(site.records / "7")
    (site.root / "moved").rename(site.records / "7")
    site.wait(lambda rows: not rows[7].reused)
    assert site.stop(daemon) == 130


def test_after_the_loss_of_the_journal_no_fate_is_claimed_that_was_not_proven(site: Site) -> None:
    """A file that was added to a verified run is not listed as archived: it is nowhere."""
    site.make(*DEMO, "--runs", "1", "--first", "7")
    assert site.run("once").returncode == 0
    add(site.records / "7")
    site.lose_the_journal()
    assert site.run("once").returncode == 0
    with reading(site.work / "journal.sqlite") as db:
        fates = {fate.name: fate for fate in select_files(db, 7)}
    assert fates["late01.fcl"].entity == ""
    assert fates["component01.fcl"].sha256
    assert "late01.fcl: left out by the other program" in site.run("why", "7").stdout


def test_one_pass_from_cron_notices_too(site: Site) -> None:
    """Without a daemon `once` compares the runs of the last days, and names what has changed."""
    site.make(*DEMO, "--runs", "1", "--first", "7")
    assert site.run("once").returncode == 0
    add(site.records / "7")
    told = site.run("once")
    assert "added late01.fcl" in told.stderr
    assert site.run("rearchive", "7", "--override").returncode == 0
    assert site.run("reconcile", "--deep").returncode == 0


def last_update(site: Site, run: int, *, up_to: int = 0) -> int:
    """Return the number of a run's last update in artdaqDB, after updates ``up_to`` that number."""
    schema = Entity(SYSTEM_LAYOUT, SCHEMA_ENTITY, load_schema(None).text)

    async def update() -> int:
        db = FileSystemDB(f"filesystemdb://{site.root}/artdaqdb")
        await db.open()
        found = await db.find(run)
        assert found is not None
        for number in range(found.update + 1, up_to + 1):
            note = Entity("RunHistory", "note", f"n: {number}\n".encode())
            await db.update(run, found.configuration.partition("/")[2], [note, schema])
        found = await db.find(run)
        await db.close()
        return 0 if found is None else found.update

    return asyncio.run(update())


def refused(site: Site, words: str) -> None:
    """Check that `rearchive` refuses run 7, which has changed, in ``words``, and changes nothing; `--accept` works."""
    before, update, blob = site.rows()[7], last_update(site, 7), site.blob(7)
    for option in ((), ("--override",)):
        done = site.run("rearchive", "7", *option)
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr
        assert "`archiverd rearchive 7 --accept` lets what was archived stand" in done.stderr
        assert (last_update(site, 7), site.blob(7), site.versions()) == (update, blob, {7: 1})
        assert site.rows()[7].state is State.VERIFIED
        assert site.rows()[7].verified_at == before.verified_at
    assert site.run("rearchive", "7", "--accept").returncode == 0
    assert site.run("reconcile").returncode == 0


@pytest.mark.parametrize("change", [add, edit])
def test_beyond_the_ninth_update_nothing_is_archived_again(site: Site, change: Callable[[Path], None]) -> None:
    """The experiment's library takes v9 for the newest for good, and stores each later update as v10 once more."""
    text = site.config.read_text()
    site.config.write_text(text.replace("[artdaq_db]", f'[artdaq_db]\nconftoolp_dir = "{STANDIN}"'))
    site.make(*DEMO, "--runs", "1", "--first", "7")
    assert site.run("once").returncode == 0
    assert last_update(site, 7, up_to=9) == 9
    change(site.records / "7")
    refused(site, "artdaqDB has update 9 of it, and its library takes v9 for the newest whatever comes after")


@pytest.mark.parametrize("change", [add, edit])
def test_through_the_tools_nothing_is_archived_again(site: Site, change: Callable[[Path], None]) -> None:
    """They store no versions: that is said before anything is tried, and no run is set aside for it."""
    bundle = standin.install(site.root / "bundle")
    keys = f'use_tools = true\nconftoolp_dir = "{bundle}"'
    site.config.write_text(site.config.read_text().replace("[artdaq_db]", f"[artdaq_db]\n{keys}"))
    site.make(*DEMO, "--runs", "1", "--first", "7")
    assert site.run("once").returncode == 0
    change(site.records / "7")
    refused(site, "artdaqDB's tools store no next version of what they have: set artdaq_db.use_tools to false, or")
