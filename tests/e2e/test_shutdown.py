"""Ways to stop that cannot wait: three interrupts, a drain that takes too long, a service manager's SIGTERM."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import IN_HAND, State
from tests.e2e.test_operations import DEMO, ONE_RUN
from tests.waiting import DEADLINE_SECONDS, NEVER_SECONDS, wait_until

if TYPE_CHECKING:
    import subprocess

    from tests.e2e.conftest import Site


def hang_an_upload(site: Site) -> subprocess.Popen[str]:
    """Return a daemon that has uploaded run 7; its upload of run 20 hangs, for the server is frozen."""
    site.make(*ONE_RUN)
    daemon = site.start("run")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    site.freeze()
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    site.wait(lambda rows: 20 in rows and rows[20].state is State.UPLOADING)
    site.wait_for_unanswered_request()
    return daemon


def finish(site: Site) -> None:
    """Let the server go on; the next start needs no help."""
    site.thaw()
    daemon = site.start("run")
    rows = site.wait(lambda rows: rows[20].state is State.VERIFIED)
    assert site.stop(daemon) == 130
    site.assert_proven(rows[20])
    assert site.versions() == {7: 1, 20: 1}


def test_three_interrupts_within_two_seconds_leave_at_once(site: Site) -> None:
    """Exit code 130, nothing lost, nothing twice."""
    daemon = hang_an_upload(site)

    def has_left() -> bool:
        """Interrupt once more; on a slow machine three are within two seconds of the daemon's clock sooner or later."""
        daemon.send_signal(signal.SIGINT)
        return daemon.poll() is not None

    wait_until(has_left, pause=0.1)
    assert daemon.returncode == 130
    assert "third interrupt: leaving at once" in site.log
    finish(site)


def test_a_drain_that_takes_too_long_is_cut(site: Site) -> None:
    """After drain_timeout_seconds the daemon leaves, and says which runs it left to the next start."""
    site.configure(drain_timeout_seconds=1)
    daemon = hang_an_upload(site)
    assert site.stop(daemon) == 130
    assert "the drain took longer than drain_timeout_seconds (1 s); runs left to the next start: 20" in site.log
    finish(site)


def test_a_pass_whose_lock_file_is_removed_finishes_what_it_has_and_leaves_with_1(site: Site) -> None:
    """What cron started drains as the daemon does, with the runbook's banner; the next pass does the rest."""
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    site.make(*DEMO, "--runs", "30", "--crash", "0", "--first", "20")
    site.freeze()
    running = site.start("once")
    site.wait(lambda _: (site.work / ".archiver.lock").exists())
    (site.work / ".archiver.lock").unlink()
    site.wait_for_log("LOCK FILE REMOVED - INITIATING GRACEFUL SHUTDOWN")
    site.thaw()
    assert running.wait(DEADLINE_SECONDS) == 1
    assert not [run for run, row in site.rows().items() if row.state in IN_HAND]
    assert site.run("once").returncode == 0
    assert site.versions() == dict.fromkeys((7, *range(20, 50)), 1)


@pytest.mark.parametrize(
    "how", [("once",), ("once", "--incremental"), ("retry", "import", "20"), ("recover", "migrate")]
)
def test_a_pass_that_waits_for_a_frozen_server_leaves_in_time(site: Site, how: tuple[str, ...]) -> None:
    """What cron started is stopped as the daemon is: 130 after drain_timeout_seconds, whatever it waits for."""
    site.configure(drain_timeout_seconds=1)
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    assert site.run("once", "--import-only").returncode == 0
    site.freeze()
    waiting = site.start(*how)
    site.wait_for_unanswered_request()
    assert site.stop(waiting) == 130
    assert "the drain took longer than drain_timeout_seconds (1 s); runs left to the next start: none" in site.log
    finish(site)


@pytest.mark.parametrize(("way", "code"), [("interrupt", 130), ("lock", 1)])
def test_a_comparison_is_broken_off_at_once(site: Site, way: str, code: int) -> None:
    """`reconcile` only looks: an interrupt does not wait for a server, and says what was not done."""
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    site.freeze()
    running = site.start("reconcile", "--deep")
    site.wait_for_unanswered_request()
    if way == "interrupt":
        assert site.stop(running) == code
    else:
        (site.work / ".archiver.lock").unlink()
        assert running.wait(DEADLINE_SECONDS) == code
    assert "stopped before every run was compared" in site.log
    site.thaw()
    assert site.run("reconcile", "--deep").returncode == 0


@pytest.mark.parametrize("how", [("run",), ("once",), ("reconcile",)])
def test_a_start_that_waits_for_a_frozen_database_is_given_up(site: Site, how: tuple[str, ...]) -> None:
    """MongoDB takes the connection and says nothing: an interrupt ends the start in time, in words, with 130."""
    site.settings = "[watch]\nsettle_seconds = 0.1\n"
    site.configure(drain_timeout_seconds=1)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        uri = (
            f"mongodb://127.0.0.1:{frozen.getsockname()[1]}/runs_db?serverSelectionTimeoutMS={NEVER_SECONDS * 1000:.0f}"
        )
        text = site.config.read_text().replace(f"filesystemdb://{site.root}/artdaqdb", uri)
        text = text.replace("[artdaq_db]", f"[artdaq_db]\ncall_timeout_seconds = {NEVER_SECONDS}")
        site.config.write_text(text)
        process = site.start(*how)
        connection, _ = frozen.accept()
        assert site.stop(process) == 130, "the driver waits for ever, and the interpreter for its threads"
        connection.close()
    assert "stopped before artdaqDB was open" in site.log
    assert "Traceback" not in site.log


def test_who_drains_without_a_lock_file_is_not_disturbed(site: Site) -> None:
    """The lock file is removed while an upload hangs: a second daemon is refused until the first has finished."""
    daemon = hang_an_upload(site)
    (site.work / ".archiver.lock").unlink()
    site.wait_for_log("LOCK FILE REMOVED - INITIATING GRACEFUL SHUTDOWN")
    refused = site.run("run")
    assert refused.returncode == 1
    assert "LockExistsError: Another process may be running. Lock file " in refused.stderr
    assert f"process {daemon.pid} finishes what it has in hand: start again when it has ended" in refused.stderr
    assert site.run("status").returncode == 0
    assert site.rows()[20].state is State.UPLOADING
    site.thaw()
    assert daemon.wait(DEADLINE_SECONDS) == 1
    assert site.rows()[20].state is State.VERIFIED
    assert "UNEXPECTED ERROR SUMMARY" not in site.log
    finish(site)


def test_sigterm_is_an_interrupt(site: Site) -> None:
    """A service manager that stops the daemon gets a drain and 130."""
    site.make(*ONE_RUN)
    daemon = site.start("run")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    assert site.stop(daemon, signal.SIGTERM) == 130


def test_a_damaged_journal_needs_no_human(site: Site) -> None:
    """It is set aside, and everything is found and proven again without an upload."""
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    (site.work / "journal.sqlite").write_bytes(b"what a dying disk leaves")
    done = site.run("once")
    assert (done.returncode, "The journal is damaged" in done.stderr) == (0, True)
    assert site.rows()[7].state is State.VERIFIED
    assert site.versions() == {7: 1}
