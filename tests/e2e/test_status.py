"""`status`: what it says of a real site, asked and unasked, with and without a daemon."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from archiverd.audit.anomalies import Discrepancy
from archiverd.core.machine import TROUBLE, Event, State
from archiverd.core.priority import Lane
from archiverd.journal.journal import Journal
from archiverd.journal.rows import Hold
from archiverd.journal.transitions import Transition
from tests.e2e.conftest import PASSWORD
from tests.e2e.test_operations import DEMO, THREE_RUNS, broken
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.journal.rows import RunRow
    from tests.e2e.conftest import Site

__all__ = ["broken"]

SYNCHRONIZED = "  1. All systems are synchronized - no action needed\n"


WAYS = {
    State.OPEN: (),
    State.QUEUED: (Event.ENDED,),
    State.IMPORTING: (Event.ENDED, Event.IMPORT_BEGINS),
    State.IMPORTED: (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE),
    State.UPLOADING: (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS),
    State.IGNORED: (Event.PASSED_OVER,),
    State.WAIVED: (Event.WAIVED,),
}
"""How a run comes into a state."""
WAYS |= {
    State.VERIFIED: (*WAYS[State.UPLOADING], Event.UPLOAD_PROVEN),
    State.UPLOAD_UNKNOWN: (*WAYS[State.UPLOADING], Event.UPLOAD_UNCLEAR),
    State.CONFLICT: (*WAYS[State.UPLOADING], Event.UPLOAD_CONFLICTS),
    State.RETRY_WAIT: (*WAYS[State.IMPORTING], Event.FAILED_FOR_NOW),
    State.QUARANTINED: (*WAYS[State.IMPORTING], Event.FAILED_FOR_GOOD),
}


async def fill_with_everything(path: Path) -> None:
    """Make a journal with runs in every state, each of the troubled ones for a cause of its own, and an outage."""
    journal = Journal(path, clock=time.time)
    await journal.open()
    runs = {100 * number + copy: state for number, state in enumerate(State, 1) for copy in range(1, 40, 2)}
    await journal.see(runs, Lane.BACKLOG)
    for run, state in runs.items():
        for event in WAYS[state]:
            changes: dict[str, object] = {"imported_at": 1.0} if event is Event.IMPORT_DONE else {}
            if event is Event.UPLOAD_PROVEN:
                changes = {"verified_at": time.time()}
            if event is WAYS[state][-1] and state in TROUBLE:
                changes = {"error": f"UconDBError: cause {run % 7}: " + "x" * 300, "remedy": "y" * 300, "due": 4e9}
            await journal.record(Transition(run, event, "", changes))
    await journal.hold("UconDB", Hold("UconDB", "away", time.time(), "UconDBError: " + "z" * 50, "wait", 3, 4e9))
    await journal.close()


def test_it_is_one_screen_however_bad_things_are(bare_site: Site) -> None:
    """Runs in every state, many causes, an outage, a warning: 24 lines, with a daemon or without."""
    bare_site.settings = "verify_tls = false\n"
    bare_site.url = "https://127.0.0.1:9/inst/app"
    bare_site.configure()
    bare_site.work.mkdir()
    asyncio.run(fill_with_everything(bare_site.work / "journal.sqlite"))
    done = bare_site.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) <= 24, done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 180, done.stdout
    assert {word for word in map(str, State) if word in done.stdout} >= {"verified", "open", "queued", "quarantined"}
    assert "and " in done.stdout.splitlines()[-1]
    found = json.loads(bare_site.run("status", "--json").stdout)
    assert set(found["counts"].values()) == {20}
    assert sum(len(cause["runs"]) for cause in found["causes"]) == 80


def told(site: Site, *options: str) -> dict[str, Any]:
    """Return what `status --json` says."""
    found: dict[str, Any] = json.loads(site.run("status", "--json", *options).stdout)
    return found


def source(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what it says of one source."""
    (one,) = (one for one in found["sources"] if one["name"] == name)
    return dict(one)


def all_verified(rows: dict[int, RunRow]) -> bool:
    """Tell whether the three runs are verified."""
    return len(rows) == 3 and all(row.state is State.VERIFIED for row in rows.values())


def test_a_running_daemon_tells_what_only_it_knows(site: Site) -> None:
    """Its last scan, its last calls and their age, its memory; the screen is short, and nothing is to be done."""
    site.make(*THREE_RUNS)
    daemon = site.start("run")
    site.wait(all_verified)
    shutil.rmtree(site.records / "8")
    site.wait(lambda _: source(told(site), "filesystem")["ranges"] == [[7, 7], [9, 9]])
    found = told(site)
    assert source(found, "filesystem") | {"at": 0} == {
        "name": "filesystem",
        "location": str(site.records),
        "told_by": "daemon",
        "at": 0,
        "ranges": [[7, 7], [9, 9]],
        "contact": None,
        "facts": [],
        "problems": [],
        "runs": 2,
        "first": 7,
        "last": 9,
        "gaps": [[8, 8]],
    }
    for name in ("artdaqDB", "UconDB"):
        one = source(found, name)
        assert (one["told_by"], one["ranges"], one["contact"]["ok"]) == ("journal", [[7, 9]], True)
        assert found["at"] - 60 < one["contact"]["at"] <= found["at"]
    assert found["daemon"]["rss_bytes"] < found["daemon"]["rss_limit_bytes"]
    assert [(one["stage"], one["runs_lately"], one["waiting"]) for one in found["stages"]] == [
        ("import", 3, 0),
        ("migrate", 3, 0),
    ]
    screen = site.run("status").stdout
    assert f"daemon {daemon.pid} running" in screen
    assert "filesystem            2   7, 9; 1 gap: 8\n" in screen
    assert "UconDB                3   7-9; answered" in screen
    assert SYNCHRONIZED in screen
    assert len(screen.splitlines()) <= 24
    site.children[0].kill()
    site.children[0].wait()
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    site.wait(lambda _: source(told(site), "UconDB")["contact"]["ok"] is False)
    screen = site.run("status").stdout
    assert "; FAILED" in screen
    assert "Connection refused" in screen
    assert site.stop(daemon) == 130


@pytest.mark.parametrize("running", [True, False], ids=["daemon", "alone"])
def test_probe_asks_everything_now(site: Site, running: bool) -> None:
    """Each database tells its runs, ranges and gaps, and that we may write; by the daemon, or without one."""
    site.make(*THREE_RUNS)
    assert site.run("once").returncode == 0
    shutil.rmtree(site.records / "8")
    if running:
        daemon = site.start("run")
        site.wait(lambda _: (site.work / "archiverd.sock").exists())
    found = site.run("status", "--probe")
    assert (found.returncode, "[Report]" in found.stderr) == (0, False)
    for text in (
        f"filesystem: {site.records}\n  can be read\n  runs: 2, 7 to 9\n  ranges: 7, 9\n  gaps: 8\n",
        f"artdaqDB: filesystemdb://{site.root}/artdaqdb\n  schema.fcl is sound; answers",
        f"UconDB: {site.url} folder test01 object configuration\n  answers; folder test01 can be read; writer may",
        SYNCHRONIZED,
    ):
        assert text in found.stdout
    assert found.stdout.count("  runs: 3, 7 to 9\n  ranges: 7-9\n  gaps: none\n") == 2
    if running:
        assert site.stop(daemon) == 130


def test_probe_without_the_password_asks_the_daemon_which_has_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's shell need not know it; without a daemon it is said that the login was not tried."""
    site.password = ""
    site.configure()
    with monkeypatch.context() as patched:
        patched.setenv("ARCHIVERD_UCON_DB__WRITER_PASSWORD", PASSWORD)
        daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    assert "writer may write" in site.run("status", "--probe").stdout
    assert site.stop(daemon) == 130
    alone = site.run("status", "--probe")
    assert (alone.returncode, "login not tried: ucon_db.writer_password is not set here" in alone.stdout) == (0, True)


@pytest.mark.parametrize("running", [True, False], ids=["daemon", "alone"])
def test_a_source_that_cannot_be_reached_hides_no_other(site: Site, running: bool) -> None:
    """UconDB is down: exit 1, its error in the log as [Report] and on the screen; the others are told all the same."""
    site.make(*THREE_RUNS)
    assert site.run("once").returncode == 0
    if running:
        daemon = site.start("run")
        site.wait(lambda _: (site.work / "archiverd.sock").exists())
    site.children[0].kill()
    site.children[0].wait()
    found = site.run("status", "--probe")
    assert found.returncode == 1
    words = "UconDBError: Failed to initialize UConDB client: Connection refused"
    assert f"[Report] {words}" in found.stderr
    assert f"  FAILED: {words}\n  runs: not known\n" in found.stdout
    assert found.stdout.count("  runs: 3, 7 to 9\n") == 2
    assert "  1. Make UconDB reachable: " in found.stdout
    assert site.run("status").returncode == 0
    if running:
        assert site.stop(daemon) == 130


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("UCON_DB__WRITER_PASSWORD", "wrong", "UconDBError: Failed to initialize UConDB client: 401"),
        ("UCON_DB__FOLDER_NAME", "nowhere", "UconDBError: Failed to list the runs in UconDB: 404"),
        (
            "SOURCE_FILES__RUN_RECORDS_DIR",
            "{root}/gone",
            "ArchiverError: Cannot read run records directory: [Errno 2] No such file or directory",
        ),
        (
            "ARTDAQ_DB__FCL_CONF_DIR",
            "{root}/gone",
            "FclPreperationError: FCL confdir '{root}/gone' is not a directory",
        ),
        (
            "ARTDAQ_DB__FCL_CONF_DIR",
            "{root}/run_records",
            "FclPreperationError: Schema not found at {root}/run_records/schema.fcl",
        ),
        (
            "ARTDAQ_DB__DATABASE_URI",
            "filesystemdb://{root}/pw",
            "ArtdaqDBError: Failed to get configurations: [Errno 20] Not a directory",
        ),
    ],
)
def test_probe_finds_what_is_wrong_before_a_run_is_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    """Password, folder, directory, schema, database: each in the words of the runbook, exit 1, before any run."""
    monkeypatch.setenv(f"ARCHIVERD_{variable}", value.format(root=site.root))
    found = site.run("status", "--probe")
    assert found.returncode == 1
    assert "[Report] " + words.format(root=site.root) in found.stderr
    assert "  FAILED: " + words.format(root=site.root) in found.stdout


def test_a_new_installation_can_be_probed(site: Site) -> None:
    """Before the first run there is no journal and no database: nothing is made, nothing is wrong."""
    site.make(*THREE_RUNS)
    before = sorted(os.listdir(site.root))
    found = site.run("status", "--probe", "--compare-state")
    assert found.returncode == 0
    assert "WARNING: there is no journal yet" in found.stdout
    assert "is not there yet: the first import makes it" in found.stdout
    assert "1. Run IMPORTER: 3 runs (7-9) are not in artdaqDB yet: `archiverd run`, or" in found.stdout
    assert site.run("status").returncode == 0
    assert sorted(os.listdir(site.root)) == before


@pytest.mark.parametrize("command", ["status", "status --json", "status --probe", "once --import-only --dry-run"])
def test_a_damaged_journal_is_told_in_words(bare_site: Site, command: str) -> None:
    """Whoever asks the journal is told that it is damaged and what to do: no banner, no traceback, exit 1."""
    bare_site.work.mkdir()
    (bare_site.work / "journal.sqlite").write_bytes(b"garbage " * 1000)
    told = bare_site.run(*command.split())
    assert (told.returncode, told.stdout) == (1, "")
    assert "The journal is damaged: file is not a database\nRemedy: start archiverd again" in told.stderr
    assert "UNEXPECTED" not in told.stderr


def test_a_journal_removed_under_the_daemon_is_not_called_synchronized(bare_site: Site) -> None:
    """The daemon cannot tell, nor can the command: it says so, and what mends it; after that all is known again."""
    bare_site.url = "http://127.0.0.1:9/inst/app"
    bare_site.configure()
    bare_site.make(*THREE_RUNS)
    daemon = bare_site.start("run")
    bare_site.wait(lambda rows: {State.IMPORTED} == {row.state for row in rows.values()})
    (bare_site.work / "journal.sqlite").unlink()
    screen = bare_site.run("status").stdout
    assert "the daemon cannot tell: There is no journal at" in screen
    assert "1. Restart the daemon (`archiverd drain`, then start it): the journal is not at its place" in screen
    assert "synchronized" not in screen
    assert bare_site.run("drain").returncode == 0
    assert daemon.wait(DEADLINE_SECONDS) == 0
    assert "synchronized" not in bare_site.run("status").stdout
    daemon = bare_site.start("run")
    bare_site.wait(lambda rows: len(rows) == 3)
    assert bare_site.stop(daemon) == 130


def test_importing_only_is_no_fault(bare_site: Site) -> None:
    """Where no UconDB is configured it is said so, and the rest is told."""
    config = bare_site.root / "archiverd.toml"
    config.write_text(config.read_text().partition("[ucon_db]")[0])
    bare_site.make(*THREE_RUNS)
    assert bare_site.run("once", "--import-only").returncode == 0
    found = bare_site.run("status", "--probe")
    assert found.returncode == 0
    assert "UconDB: not configured\n  not configured (server_url, folder_name," in found.stdout
    assert "  runs: 3, 7 to 9" in found.stdout


def test_what_does_not_agree_is_compared_and_told(broken: Site) -> None:
    """A run set aside, one lost from UconDB, an orphan, a directory nobody saw, state files out of step."""
    site = broken
    clean = site.run("status", "--compare-state").stdout
    assert "importer_state.json: last_contiguous_run 7, last_attempted_run 9: as it is" in clean
    assert "migrator_state.json: last_contiguous_run 7, last_attempted_run 9: as it is" in clean
    assert "quarantined           1   8: FhiclError: broken01.fcl:" in clean
    assert "1. Mend: run 8 is quarantined: `archiverd why 8` tells the cause; then `archiverd retry import`" in clean
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "30")
    (site.work / "importer_state.json").write_text('{"last_contiguous_run": 3, "last_attempted_run": 4}\n')
    (site.work / "migrator_state.json").write_text("{")
    site.children[0].terminate()
    site.children[0].wait()
    shutil.rmtree(site.root / "ucondb")
    site.serve()
    found = site.run("status", "--compare-state")
    assert found.returncode == 0
    for text in (
        "importer_state.json: last_contiguous_run 3, last_attempted_run 4: but import is through up to run 7\n",
        "migrator_state.json: cannot be read: it is no state file; migrate is through up to run 0\n",
        "Run IMPORTER: run 30 is not in artdaqDB yet: `archiverd run`, or `archiverd once --import-only`\n",
        f"Upload again: 2 runs (7, 9): {Discrepancy.MISSING_UCONDB.remedy([7, 9])}\n",
        "Recover state: importer_state.json says 3 and should say 7: `archiverd recover import`\n",
        "Recover state: migrator_state.json cannot be read: it is no state file: `archiverd recover migrate`\n",
    ):
        assert text in found.stdout, text
    differences = told(site, "--compare-state")["differences"]
    assert (differences["not_imported"], differences["lost_ucondb"]) == ([8, 30], [7, 9])
    assert site.run("recover", "import").returncode == 0
    assert "importer_state.json: last_contiguous_run 7, last_attempted_run 9: as it is" in (
        site.run("status", "--compare-state").stdout
    )
    site.lose_the_journal()
    shutil.rmtree(site.records / "9")
    orphaned = "Orphaned runs: run 9: in artdaqDB, without a directory and not known: `archiverd recover import`"
    assert orphaned in site.run("status", "--probe").stdout
