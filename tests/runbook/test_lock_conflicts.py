"""Lock file conflicts: one instance a work directory, and ways to stop it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from archiverd.core.machine import State
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    import subprocess

    from tests.runbook.conftest import Desk


def running(desk: Desk) -> subprocess.Popen[str]:
    """Start the daemon; return once it has archived run 7."""
    desk.one_run()
    daemon = desk.start("run")
    desk.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    return daemon


def test_a_lock_file_that_nobody_holds(desk: Desk) -> None:
    """What a crash leaves needs no `rm`: the next start takes the lock."""
    daemon = running(desk)
    assert desk.stop(daemon, signal.SIGKILL) == -signal.SIGKILL
    assert (desk.work / ".archiver.lock").read_text() == f"{daemon.pid}\n"
    desk.one_run(20)
    assert desk.archiver().returncode == 0
    desk.prove(7, 20)


def test_a_lock_file_that_another_process_holds(desk: Desk) -> None:
    """The guide's words, exit 1, and who holds it; the first is not disturbed, and leaves when told to."""
    daemon = running(desk)
    said = desk.run("run")
    assert said.returncode == 1
    words = f"LockExistsError: Another process may be running. Lock file '{desk.work}/.archiver.lock' is held."
    assert words in said.stderr
    assert f"process {daemon.pid} holds it" in said.stderr
    assert daemon.poll() is None
    assert desk.run("drain").returncode == 0
    assert daemon.wait(DEADLINE_SECONDS) == 0
    again = desk.start("run")
    desk.one_run(20)
    desk.wait(lambda rows: 20 in rows and rows[20].state is State.VERIFIED)
    assert desk.stop(again) == 130


def test_a_lock_file_that_is_removed(desk: Desk) -> None:
    """The guide's banner, whole; exit 1 after the runs in hand; the next start needs nothing."""
    daemon = running(desk)
    lock = desk.work / ".archiver.lock"
    lock.unlink()
    assert daemon.wait(DEADLINE_SECONDS) == 1
    messages = [line.split(None, 3)[3].strip() for line in desk.log.splitlines() if " WARNING " in line]
    start = messages.index("LOCK FILE REMOVED - INITIATING GRACEFUL SHUTDOWN") - 1
    assert messages[start : start + 5] == [
        "=" * 70,
        "LOCK FILE REMOVED - INITIATING GRACEFUL SHUTDOWN",
        f"Lock file: {lock}",
        "Process will finish current run and then exit",
        "=" * 70,
    ]
    desk.one_run(20)
    assert desk.archiver().returncode == 0
    desk.prove(7, 20)
