"""What UconDB holds changes behind its back after a run was verified: named, and mended at an operator's word."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from archiverd.core.proofs import BlobFault
from tests.e2e.test_operations import DEMO, change_ucondb, lose_versions, lose_what_ucondb_holds

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Site

FIVE_RUNS = (*DEMO, "--runs", "5", "--crash", "0", "--first", "7")
OF_RUN = "WHERE blob IN (SELECT b.id FROM blobs b JOIN versions v USING (folder, data_key) WHERE v.key = ?)"
DAMAGE = "UPDATE pieces SET bytes = CAST(replace(bytes, 'Packed on', 'Pbcked on') AS BLOB) " + OF_RUN  # noqa: S608 - ours
CUT = "DELETE FROM pieces " + OF_RUN  # noqa: S608 - ours


def damage(site: Site, run: int) -> None:
    """Flip a byte of what UconDB has stored of a run, as a disk may."""
    change_ucondb(site, DAMAGE, (str(run),))


def cut(site: Site, run: int) -> None:
    """Let UconDB lose the bytes of a run, and keep what it says of them."""
    change_ucondb(site, CUT, (str(run),))


def swap(site: Site, run: int, other: int) -> None:
    """Let two keys lead to each other's versions, as after two overrides by somebody else."""
    for before, after in ((str(run), "x"), (str(other), str(run)), ("x", str(other))):
        change_ucondb(site, "UPDATE versions SET key = ? WHERE key = ?", (after, before))


def archived(site: Site) -> None:
    """Archive five runs."""
    site.make(*FIVE_RUNS)
    assert site.run("once").returncode == 0


def states(site: Site, *options: str) -> dict[str, list[int]]:
    """Return the runs by state, as a comparison has them."""
    found: dict[str, list[int]] = json.loads(site.run("reconcile", "--json", *options).stdout)["states"]
    return found


@pytest.mark.parametrize("harm", [damage, cut])
def test_a_deep_comparison_names_every_run_and_goes_on(site: Site, harm: Callable[[Site, int], None]) -> None:
    """The first blob is damaged: the others are read all the same, and each is named with what is wrong with it."""
    archived(site)
    harm(site, 7)
    swap(site, 8, 9)
    lose_versions(site, 10)
    told = site.run("reconcile", "--deep")
    assert told.returncode == 1
    assert "damaged                 1   7" in told.stdout
    assert "differs                 2   8-9" in told.stdout
    assert "missing_ucondb          1   10" in told.stdout
    assert "verified                1   11" in told.stdout
    assert "`archiverd release 7 --override` replaces it by what artdaqDB has" in told.stdout
    assert "4 blobs read back and compared" in told.stdout
    # What was found is known from now on, also to commands that ask nobody.
    assert states(site) == {"damaged": [7], "differs": [8, 9], "missing_ucondb": [10], "verified": [11]}
    assert {run: row.blob_fault for run, row in site.rows().items()} == {
        7: BlobFault.DAMAGED,
        8: BlobFault.DIFFERS,
        9: BlobFault.DIFFERS,
        10: BlobFault.MISSING,
        11: None,
    }
    report = site.run("status").stdout
    assert "no action needed" not in report
    assert "run 7, damaged: what UconDB holds of it cannot be read any more" in report
    why = site.run("why", "7").stdout
    assert "damaged: " in why
    assert "`archiverd release 7 --override`" in why


@pytest.mark.parametrize("harm", [damage, cut])
def test_a_release_really_replaces_what_cannot_be_read(site: Site, harm: Callable[[Site, int], None]) -> None:
    """The run is verified, and what is to be replaced cannot be compared: it is replaced, and proven as ever."""
    archived(site)
    harm(site, 7)
    told = site.run("retry", "migrate", "7", "8")
    assert told.returncode == 1
    assert "damaged: 7" in told.stderr
    assert "run 8: not taken up: it is verified, and was proven again just now" in told.stderr
    refused = site.run("release", "7")
    assert (refused.returncode, "damaged in UconDB: releasing it replaces" in refused.stderr) == (1, True)
    refused = site.run("release", "8", "--override")
    assert (refused.returncode, "is verified and cannot be released" in refused.stderr) == (1, True)
    assert site.run("release", "7", "--override").returncode == 0
    assert site.run("once").returncode == 0
    row = site.rows()[7]
    assert (row.state, row.blob_fault, row.error, row.proofs) == (State.VERIFIED, None, "", 1)
    site.assert_proven(row)
    assert site.run("reconcile", "--deep").returncode == 0
    assert "no action needed" in site.run("status").stdout


def test_other_bytes_under_a_key_are_named_and_overwritten_at_a_word_only(site: Site) -> None:
    """They can be read, so somebody may want them: nothing happens by itself."""
    archived(site)
    swap(site, 7, 8)
    before = site.blob(7)
    assert site.run("retry", "migrate", "7", "8").returncode == 1
    assert site.run("once").returncode == 0
    assert (site.rows()[7].blob_fault, site.blob(7)) == (BlobFault.DIFFERS, before)
    for run in ("7", "8"):
        assert site.run("release", run, "--override").returncode == 0
    assert site.run("once").returncode == 0
    for run in (7, 8):
        site.assert_proven(site.rows()[run])
    assert site.run("reconcile", "--deep").returncode == 0


def test_a_retry_uploads_what_is_missing_alone(site: Site) -> None:
    """Its neighbours are there, so this run's version was lost: it is uploaded again and proven."""
    archived(site)
    lose_versions(site, 8)
    assert site.run("retry", "migrate", "8").returncode == 0
    site.assert_proven(site.rows()[8])
    assert site.run("reconcile", "--deep").returncode == 0


def test_three_missing_in_a_row_are_not_uploaded(site: Site) -> None:
    """It may be a restored database, or another one: an operator decides, run by run; those found again are right."""
    archived(site)
    lose_versions(site, 7, 8, 9)
    for command in (("once",), ("recover", "migrate"), ("retry", "migrate", "8")):
        told = site.run(*command)
        assert (told.returncode, "missing_ucondb: " in told.stderr) == (1, True), told.stderr
        assert "UconDB may be a restored or a wrong one" in told.stderr
        assert site.versions() == {10: 1, 11: 1}
    assert {row.state for row in site.rows().values()} == {State.VERIFIED}
    report = json.loads(site.run("status", "--json").stdout)
    assert "3 verified runs in a row (7-9) are not in UconDB any more" in report["scrub"]["standstill"]["why"]
    assert "no action needed" not in site.run("status").stdout
    assert site.run("release", "8").returncode == 0
    assert site.run("once").returncode == 1
    assert site.versions() == {8: 1, 10: 1, 11: 1}
    for run in ("7", "9"):
        assert site.run("release", run).returncode == 0
    assert site.run("once").returncode == 0
    assert site.versions() == {7: 1, 8: 1, 9: 1, 10: 1, 11: 1}
    assert json.loads(site.run("status", "--json").stdout)["scrub"]["standstill"] is None
    assert site.run("reconcile", "--deep").returncode == 0


DAY = "archiverd.core.proofs.DAY_SECONDS"


def test_the_daemon_finds_by_itself_what_changed_in_ucondb(site: Site) -> None:
    """Bytes that were damaged, versions that were overridden or lost: each is told by name, or mended."""
    site.constants = {DAY: 1.0}
    site.make(*FIVE_RUNS)
    daemon = site.start("run")
    site.wait(lambda rows: len(rows) == 5 and all(row.proofs > 1 for row in rows.values()))
    damage(site, 7)
    swap(site, 8, 9)
    site.wait(lambda rows: rows[7].blob_fault is BlobFault.DAMAGED)
    site.wait(lambda rows: rows[8].blob_fault is rows[9].blob_fault is BlobFault.DIFFERS)
    before = site.rows()[10].verified_at
    lose_versions(site, 10)
    site.wait(lambda rows: rows[10].state is State.VERIFIED and rows[10].verified_at != before)
    site.assert_proven(site.rows()[10])
    assert site.log.count("[Run 7] VerificationError: Failed to read run 7 back from UconDB: the bytes do not fit") == 1
    assert site.log.count("[Run 8] VerificationError: UconDB has ") == 1
    assert site.log.count("[Run 10] verified before, not in UconDB any more; it is uploaded again") == 1
    report = site.run("status").stdout
    assert "1 damaged; 2 differs" in report
    assert "no action needed" not in report
    for run in ("7", "8", "9"):
        assert site.run("release", run, "--override").returncode == 0
    rows = site.wait(lambda rows: all(row.state is State.VERIFIED and row.blob_fault is None for row in rows.values()))
    for row in rows.values():
        site.assert_proven(row)
    assert site.run("reconcile", "--deep").returncode == 0
    assert "no action needed" in site.run("status").stdout
    assert site.stop(daemon) == 130


def test_the_daemon_uploads_nothing_to_a_database_that_was_restored(site: Site) -> None:
    """Many runs are missing: it stands still and says so; once they are there again it goes on by itself."""
    site.constants = {DAY: 1.0}
    site.make(*FIVE_RUNS)
    daemon = site.start("run")
    site.wait(lambda rows: len(rows) == 5 and all(row.proofs > 1 for row in rows.values()))
    change_ucondb(site, "UPDATE versions SET key = ? || key WHERE key IN ('8', '9', '10', '11')", ("gone",))
    site.wait_for_log("verified runs in a row")
    site.wait(lambda rows: any(row.blob_fault is BlobFault.MISSING for row in rows.values()))
    assert "are not in UconDB any more" in site.run("status").stdout
    assert "UconDB may be a restored or a wrong one" in site.log
    told = site.run("once")
    assert (told.returncode, "missing_ucondb: 8-11" in told.stderr) == (1, True)
    assert {row.state for row in site.rows().values()} == {State.VERIFIED}
    assert site.get("/data/test01/configuration?key=8")[0] == 404
    # A new run is archived all the same: the destination is the one that is configured.
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    site.wait(lambda rows: 20 in rows and rows[20].state is State.VERIFIED)
    change_ucondb(site, "UPDATE versions SET key = substr(key, 5) WHERE key LIKE ?", ("gone%",))
    site.wait_for_log("runs are proven again")
    site.wait(lambda rows: all(row.blob_fault is None for row in rows.values()))
    assert site.run("reconcile", "--deep").returncode == 0
    assert site.stop(daemon) == 130


def test_an_empty_ucondb_gets_nothing_by_itself(site: Site) -> None:
    """All are missing, as after a mistyped folder or a restored backup: each stays as it is, and is named."""
    archived(site)
    lose_what_ucondb_holds(site)
    told = site.run("once")
    assert (told.returncode, "missing_ucondb: 7-11" in told.stderr) == (1, True)
    assert site.versions() == {}
    assert states(site) == {"missing_ucondb": [7, 8, 9, 10, 11]}


def test_what_a_database_really_lost_goes_there_again_at_an_operators_word(site: Site) -> None:
    """All of it, once an operator says that the configured database is the right one."""
    archived(site)
    lose_versions(site, 7, 8, 9, 10)
    assert states(site) == {"missing_ucondb": [7, 8, 9, 10], "verified": [11]}
    done = json.loads(site.run("release", "--destination", "--json").stdout)
    assert (done["sent"], done["imported"]) == (4, 0)
    assert site.run("once").returncode == 0
    assert site.versions() == {7: 1, 8: 1, 9: 1, 10: 1, 11: 1}
    assert site.run("reconcile", "--deep").returncode == 0


def test_a_deep_comparison_ends_when_the_server_is_away(site: Site) -> None:
    """Then nothing is concluded of any run."""
    archived(site)
    site.children[0].terminate()
    site.children[0].wait()
    told = site.run("reconcile", "--deep")
    assert told.returncode == 1
    assert "Connection refused" in told.stderr
    assert {row.blob_fault for row in site.rows().values()} == {None}
