"""Commands while a daemon holds the lock: they go through its socket, and it goes on."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from tests.e2e.conftest import PASSWORD
from tests.e2e.test_operations import DEMO, ONE_RUN, THREE_RUNS, broken, mend, numbers, stop, unstop
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from archiverd.journal.rows import RunRow
    from tests.e2e.conftest import Site

__all__ = ["broken"]


def verified(*runs: int) -> object:
    """Return what tells whether these runs are verified."""

    def done(rows: dict[int, RunRow]) -> bool:
        return all(run in rows and rows[run].state is State.VERIFIED for run in runs)

    return done


def test_drain_finishes_and_leaves_with_0(site: Site) -> None:
    """What is in hand is finished, the socket and the lock file are gone, the exit code is 0."""
    site.make(*THREE_RUNS)
    daemon = site.start("run")
    site.wait(verified(7, 8, 9))  # type: ignore[arg-type]
    socket = site.work / "archiverd.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o660
    asked = site.run("drain")
    assert (asked.returncode, "draining" in asked.stderr) == (0, True)
    assert daemon.wait(DEADLINE_SECONDS) == 0
    assert not socket.exists()
    assert not (site.work / ".archiver.lock").exists()
    refused = site.run("drain")
    assert (refused.returncode, "No daemon listens" in refused.stderr) == (1, True)


def test_a_paused_daemon_sees_runs_and_takes_up_none(site: Site) -> None:
    """`status` says so and makes no estimate, however fast it was before; `resume` lets it go on."""
    site.make(*DEMO, "--runs", "2", "--crash", "0", "--first", "1")
    daemon = site.start("run")
    site.wait(lambda rows: len(rows) == 2 and all(row.state is State.VERIFIED for row in rows.values()))
    assert site.run("pause").returncode == 0
    site.make(*THREE_RUNS)
    site.wait(lambda rows: len(rows) == 5 and all(rows[run].state is State.QUEUED for run in (7, 8, 9)))
    told = json.loads(site.run("status", "--json").stdout)
    assert told["daemon"]["paused"]
    assert told["daemon"]["pid"] == daemon.pid
    screen = site.run("status").stdout
    assert f"daemon {daemon.pid} paused, up for" in screen
    assert ("on their way          3   3 queued\n" in screen, "done in about" in screen) == (True, False)
    assert site.run("resume").returncode == 0
    site.wait(verified(7, 8, 9))  # type: ignore[arg-type]
    assert site.stop(daemon) == 130


def test_retry_release_and_waive_go_through_the_daemon(broken: Site) -> None:
    """It takes the runs up itself, and the command tells how they ended."""
    daemon = broken.start("run")
    broken.wait(lambda _: (broken.work / "archiverd.sock").exists())
    failed = broken.run("retry", "import")
    assert (failed.returncode, "run 8: quarantined" in failed.stderr) == (1, True)
    assert broken.run("waive", "8", "--reason", "test").returncode == 0
    assert numbers(broken, "migrate_failures.log") == []
    mend(broken)
    released = broken.run("release", "8")
    assert (released.returncode, "run 8 is queued" in released.stderr) == (0, True)
    broken.wait(verified(8))  # type: ignore[arg-type]
    refused = broken.run("release", "8")
    assert (refused.returncode, "Run 8 is verified and cannot be released" in refused.stderr) == (1, True)
    assert broken.stop(daemon) == 130


def test_once_recover_and_reconcile_go_through_the_daemon(site: Site) -> None:
    """A cron job beside a daemon does no harm: it waits for what the daemon does, with the same exit codes."""
    site.make(*THREE_RUNS)
    daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    assert site.run("once").returncode == 0
    assert {run: row.state for run, row in site.rows().items()} == dict.fromkeys((7, 8, 9), State.VERIFIED)
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    done = json.loads(site.run("once", "--json").stdout)
    assert (done["exit_code"], site.rows()[20].state) == (0, State.VERIFIED)
    assert site.run("recover", "import").returncode == 0
    assert site.run("recover", "migrate").returncode == 0
    found = site.run("reconcile", "--deep")
    assert (found.returncode, "4 blobs read back and compared" in found.stdout) == (0, True)
    second = site.run("run")
    assert second.returncode == 1
    assert f"LockExistsError: Another process may be running. Lock file '{site.work}/.archiver.lock' is held." in (
        second.stderr
    )
    assert site.stop(daemon) == 130
    assert site.versions() == {7: 1, 8: 1, 9: 1, 20: 1}


def test_once_beside_a_daemon_waits_for_the_retries_it_asks_for(site: Site) -> None:
    """A run that waits minutes for its next try is tried now, and how that ended is told."""
    config = site.root / "archiverd.toml"
    plain = config.read_text().replace(
        "retry_delay_seconds = 0.2", "retry_delay_seconds = 300\nrun_process_retries = 0"
    )
    config.write_text(plain + "[app_fuzz]\nrandom_error_percent = 100\n")
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 1
    assert site.rows()[7].state is State.RETRY_WAIT
    config.write_text(plain)
    daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    done = json.loads(site.run("once", "--json").stdout)
    assert (done["exit_code"], done["verified"], done["failed"]) == (0, 1, [])
    assert site.stop(daemon) == 130


def test_whoever_waits_for_a_daemon_that_stops_is_told_so(site: Site) -> None:
    """Nobody is told that all is well with a run that is left to the next start."""
    site.configure(drain_timeout_seconds=1)
    site.make(*ONE_RUN)
    daemon = site.start("-v", "run")
    site.wait(verified(7))  # type: ignore[arg-type]
    site.freeze()
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    site.wait(lambda rows: 20 in rows and rows[20].state is State.UPLOADING)
    asking = site.start("retry", "migrate", "20")
    site.wait_for_log("a client asks: retry")
    assert site.stop(daemon) == 130
    assert asking.wait(DEADLINE_SECONDS) == 1
    assert "The daemon stops: runs wait that it does not take up any more (1)" in site.log
    site.thaw()


def test_an_operator_needs_no_password_for_what_the_daemon_does(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon has it, e.g. as a systemd credential; without a daemon what is missing is named."""
    site.password = ""
    site.configure()
    site.make(*THREE_RUNS)
    with monkeypatch.context() as patched:
        patched.setenv("ARCHIVERD_UCON_DB__WRITER_PASSWORD", PASSWORD)
        daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    commands = (("once",), ("retry", "migrate"), ("recover", "migrate"), ("reconcile",))
    for command in commands:
        done = site.run(*command)
        assert done.returncode == 0, (command, done.stderr)
    assert site.stop(daemon) == 130
    for command in commands:
        refused = site.run(*command)
        assert (refused.returncode, "writer_password is required" in refused.stderr) == (1, True), command


@pytest.mark.parametrize("by", ["command", "failure log"])
def test_a_run_that_is_open_again_is_watched_at_once(site: Site, by: str) -> None:
    """A run waived while it was running and retried beside a daemon: its end is seen without a new start."""
    site.make(*ONE_RUN)
    unstop(site, 7)
    assert site.run("once").returncode == 0
    assert site.run("waive", "7", "--reason", "test").returncode == 0
    daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    if by == "command":
        site.run("retry", "import", "7")
    else:
        (site.work / "import_failures.log").write_text("7\n")
    site.wait(lambda rows: rows[7].state is State.OPEN)
    stop(site, 7)
    site.wait(verified(7))  # type: ignore[arg-type]
    assert site.stop(daemon) == 130


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "beside a daemon"])
def test_a_run_that_a_retry_does_not_take_up_is_told_with_the_reason(site: Site, daemon: bool) -> None:
    """One that is not known is a mistake (exit 1); where nothing is to be done it is not."""
    site.make(*THREE_RUNS)
    unstop(site, 9)
    assert site.run("once").returncode == 0
    running = site.start("run") if daemon else None
    site.wait(lambda _: not daemon or (site.work / "archiverd.sock").exists())
    told = site.run("retry", "import", "12345678", "7")
    assert told.returncode == 1
    assert "run 12345678: not taken up: not known: no directory of that number was seen" in told.stderr
    assert "run 7: not taken up: already verified" in told.stderr
    assert "still open" not in told.stderr
    done = site.run("retry", "import", "7", "9", "--json")
    assert (done.returncode, [one["run"] for one in json.loads(done.stdout)["skipped"]]) == (0, [7, 9])
    assert "has not ended" in json.loads(done.stdout)["skipped"][1]["reason"]
    if running is not None:
        assert site.stop(running) == 130


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "beside a daemon"])
@pytest.mark.parametrize("stage", ["import", "migrate"])
def test_recover_says_what_is_held_and_what_of_it_needed_no_proof(site: Site, stage: str, daemon: bool) -> None:
    """Runs that are verified are left as they are, and nobody is told otherwise."""
    site.make(*THREE_RUNS)
    unstop(site, 9)
    assert site.run("once").returncode == 0
    running = site.start("run") if daemon else None
    site.wait(lambda _: not daemon or (site.work / "archiverd.sock").exists())
    told = site.run("recover", stage)
    assert (told.returncode, "2 held, 2 already verified; 0 runs imported" in told.stderr) == (0, True), told.stderr
    assert "still open" not in told.stderr
    assert json.loads(site.run("recover", stage, "--json").stdout)["held"] == {"runs": 2, "verified": 2}
    if running is not None:
        assert site.stop(running) == 130
