"""Ways to stop that cannot wait: three interrupts, a drain that takes too long, a service manager's SIGTERM."""

from __future__ import annotations

import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import IN_HAND, State
from tests.e2e.test_operations import DEMO, ONE_RUN

if TYPE_CHECKING:
    import subprocess

    from tests.e2e.conftest import Site


@pytest.fixture
def stuck(site: Site) -> tuple[Site, subprocess.Popen[str]]:
    """A daemon whose upload hangs: the server was stopped when it had the request."""
    site.settings = "timeout_seconds = 60\n"
    site.configure(drain_timeout_seconds=1)
    site.make(*ONE_RUN)
    daemon = site.start("run")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    site.children[0].send_signal(signal.SIGSTOP)
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    site.wait(lambda rows: 20 in rows and rows[20].state is State.UPLOADING)
    return site, daemon


def finish(site: Site) -> None:
    """Let the server go on; the next start needs no help."""
    site.children[0].send_signal(signal.SIGCONT)
    daemon = site.start("run")
    rows = site.wait(lambda rows: rows[20].state is State.VERIFIED)
    assert site.stop(daemon) == 130
    site.assert_proven(rows[20])
    assert site.versions() == {7: 1, 20: 1}


def test_three_interrupts_within_two_seconds_leave_at_once(stuck: tuple[Site, subprocess.Popen[str]]) -> None:
    """Exit code 130, nothing lost, nothing twice."""
    site, daemon = stuck
    for _ in range(3):
        daemon.send_signal(signal.SIGINT)
    assert daemon.wait(10) == 130
    finish(site)


def test_a_drain_that_takes_too_long_is_cut(stuck: tuple[Site, subprocess.Popen[str]]) -> None:
    """After drain_timeout_seconds the daemon leaves, and says which runs it left to the next start."""
    site, daemon = stuck
    assert site.stop(daemon) == 130
    assert "the drain took longer than drain_timeout_seconds (1 s); runs left to the next start: 20" in site.log
    finish(site)


def test_a_pass_whose_lock_file_is_removed_finishes_what_it_has_and_leaves_with_1(site: Site) -> None:
    """What cron started drains as the daemon does, with the runbook's banner; the next pass does the rest."""
    site.settings = "timeout_seconds = 60\n"
    site.configure()
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    site.make(*DEMO, "--runs", "30", "--crash", "0", "--first", "20")
    site.children[0].send_signal(signal.SIGSTOP)
    running = site.start("once")
    site.wait(lambda _: (site.work / ".archiver.lock").exists())
    (site.work / ".archiver.lock").unlink()
    site.wait(lambda _: "LOCK FILE REMOVED - INITIATING GRACEFUL SHUTDOWN" in site.log)
    site.children[0].send_signal(signal.SIGCONT)
    assert running.wait(60) == 1
    assert not [run for run, row in site.rows().items() if row.state in IN_HAND]
    assert site.run("once").returncode == 0
    assert site.versions() == dict.fromkeys((7, *range(20, 50)), 1)


@pytest.mark.parametrize(
    "how", [("once",), ("once", "--incremental"), ("retry", "import", "20"), ("recover", "migrate")]
)
def test_a_pass_that_waits_for_a_frozen_server_leaves_in_time(site: Site, how: tuple[str, ...]) -> None:
    """What cron started is stopped as the daemon is: 130 after drain_timeout_seconds, whatever it waits for."""
    site.settings = "timeout_seconds = 60\n"
    site.configure(drain_timeout_seconds=1)
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    assert site.run("once", "--import-only").returncode == 0
    site.children[0].send_signal(signal.SIGSTOP)
    assert site.stop(site.start(*how)) == 130
    assert "the drain took longer than drain_timeout_seconds (1 s); runs left to the next start: none" in site.log
    finish(site)


@pytest.mark.parametrize(("way", "code"), [("interrupt", 130), ("lock", 1)])
def test_a_comparison_is_broken_off_at_once(site: Site, way: str, code: int) -> None:
    """`reconcile` only looks: an interrupt does not wait for a server, and says what was not done."""
    site.settings = "timeout_seconds = 60\n"
    site.configure()
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    site.children[0].send_signal(signal.SIGSTOP)
    running = site.start("reconcile", "--deep")
    if way == "interrupt":
        assert site.stop(running) == code
    else:
        site.wait(lambda _: (site.work / ".archiver.lock").exists())
        (site.work / ".archiver.lock").unlink()
        assert running.wait(30) == code
    assert "stopped before " in site.log
    site.children[0].send_signal(signal.SIGCONT)
    assert site.run("reconcile", "--deep").returncode == 0


@pytest.mark.parametrize("how", [("run",), ("once",), ("reconcile",)])
def test_a_start_that_waits_for_a_frozen_database_is_given_up(site: Site, how: tuple[str, ...]) -> None:
    """MongoDB takes the connection and says nothing: an interrupt ends the start in time, in words, with 130."""
    site.settings = "[watch]\nsettle_seconds = 0.1\n"
    site.configure(drain_timeout_seconds=1)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        uri = f"mongodb://127.0.0.1:{frozen.getsockname()[1]}/runs_db"
        site.config.write_text(site.config.read_text().replace(f"filesystemdb://{site.root}/artdaqdb", uri))
        process = site.start(*how)
        connection, _ = frozen.accept()
        begun = time.monotonic()
        assert site.stop(process) == 130
        assert time.monotonic() - begun < 20, "the driver waits 30 s, and the interpreter for its threads"
        connection.close()
    assert "stopped before artdaqDB was open" in site.log
    assert "Traceback" not in site.log


def test_who_drains_without_a_lock_file_is_not_disturbed(site: Site) -> None:
    """The lock file is removed while an upload hangs: a second daemon is refused until the first has finished."""
    site.settings = "timeout_seconds = 60\n"
    site.configure()
    site.make(*ONE_RUN)
    daemon = site.start("run")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    site.children[0].send_signal(signal.SIGSTOP)
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    site.wait(lambda rows: 20 in rows and rows[20].state is State.UPLOADING)
    (site.work / ".archiver.lock").unlink()
    site.wait(lambda _: "LOCK FILE REMOVED - INITIATING GRACEFUL SHUTDOWN" in site.log)
    refused = site.run("run")
    assert refused.returncode == 1
    assert "LockExistsError: Another process may be running. Lock file " in refused.stderr
    assert f"process {daemon.pid} finishes what it has in hand: start again when it has ended" in refused.stderr
    assert site.run("status").returncode == 0
    assert site.rows()[20].state is State.UPLOADING
    site.children[0].send_signal(signal.SIGCONT)
    assert daemon.wait(60) == 1
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
