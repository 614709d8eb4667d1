"""What runs or ran: lock, daemon, journal, failure logs, the last exit, each met in its bad states for real."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archiverd.doctor.finding import Status
from archiverd.process import last_exit, lock
from archiverd.process.lock import LockFile
from archiverd.status import report
from tests.waiting import DEADLINE_SECONDS

from .conftest import unprivileged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archiverd.doctor.finding import Finding

    from .conftest import House


@pytest.fixture
def daemon(full_house: House) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon until the test's end, and wait for its control socket."""
    argv = [sys.executable, "-m", "archiverd", "--config", str(full_house.path), "run"]
    with (full_house.root / "daemon.log").open("wb") as log:
        process = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL)
    try:
        asyncio.run(until_up(full_house, process))
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


async def until_up(house: House, process: subprocess.Popen[bytes]) -> None:
    """Wait until the daemon answers."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (house.work / "archiverd.sock").exists():
            assert process.poll() is None, (house.root / "daemon.log").read_text()
            await asyncio.sleep(0.05)


async def line(house: House, name: str) -> Finding:
    """Return one line of a look without UconDB."""
    return (await house.look())[name]


async def test_nobody_works_here(house: House) -> None:
    """Before the first start all is free, and nothing is made by looking."""
    found = await house.look()
    assert found["lock"].message == f"free: there is no {house.work / '.archiver.lock'}"
    assert found["daemon"].status is found["journal"].status is found["last exit"].status is Status.OK
    assert list(house.work.iterdir()) == []


async def test_a_running_daemon(full_house: House, daemon: subprocess.Popen[bytes]) -> None:
    """The holder is named, alive and what it is; paused is a warning that resume mends."""
    found = await full_house.look()
    assert f"held by process {daemon.pid}, alive: " in found["lock"].message
    assert found["lock"].message.split("; ")[0].endswith("run")
    assert found["daemon"].message == f"process {daemon.pid} answers, running"
    assert f"process {daemon.pid} uses" in found["memory"].message
    assert full_house.run("pause").returncode == 0
    paused = await line(full_house, "daemon")
    assert (paused.status, paused.remedy) == (Status.WARNING, "archiverd resume")
    assert full_house.run("resume").returncode == 0
    assert (await line(full_house, "daemon")).status is Status.OK


async def test_a_daemon_that_does_not_answer(full_house: House, daemon: subprocess.Popen[bytes]) -> None:
    """A frozen daemon fails its own line only; once it goes on, so does the line."""
    daemon.send_signal(signal.SIGSTOP)
    found = await full_house.look()
    assert found["daemon"].status is Status.FAILED
    assert "did not answer" in found["daemon"].message
    assert found["lock"].status is Status.OK
    daemon.send_signal(signal.SIGCONT)
    assert (await line(full_house, "daemon")).status is Status.OK


async def test_a_daemon_whose_socket_is_gone(full_house: House, daemon: subprocess.Popen[bytes]) -> None:
    """It runs and cannot be asked: the line says how it is stopped, which works."""
    (full_house.work / "archiverd.sock").unlink()
    told = await line(full_house, "daemon")
    assert told.status is Status.FAILED
    assert f"`kill -INT {daemon.pid}`" in told.remedy
    daemon.send_signal(signal.SIGINT)
    assert daemon.wait(DEADLINE_SECONDS) == 130
    assert (await line(full_house, "daemon")).status is Status.OK
    last = await line(full_house, "last exit")
    assert last.message.startswith("archiverd run ended with 130 at ")
    assert last.message.endswith("it was interrupted")


async def test_a_daemon_that_was_killed(full_house: House, daemon: subprocess.Popen[bytes]) -> None:
    """Its lock file is harmless, which is said with the reason; nothing needs to be removed for the next start."""
    daemon.kill()
    daemon.wait()
    found = await full_house.look()
    assert found["lock"].status is Status.OK
    assert f"was left by process {daemon.pid}, which was killed; it is harmless" in found["lock"].message
    assert (found["last exit"].status, found["daemon"].status) == (Status.WARNING, Status.OK)
    assert "nothing is lost" in found["last exit"].remedy
    assert full_house.run("once", "--import-only").returncode == 0
    last = await line(full_house, "last exit")
    assert (last.status, last.message.split(" at ")[0]) == (Status.OK, "archiverd once ended with 0")


def test_who_holds_the_lock_where_the_kernel_does_not_list_it(tmp_path: Path) -> None:
    """Without a line in /proc/locks the lock is tried, let go, and not disturbed."""
    path, nothing = tmp_path / "lock", tmp_path / "locks"
    assert lock.find_holder(path, nothing) is None
    held = LockFile(path)
    held.acquire()
    assert lock.find_holder(path, nothing) == lock.find_holder(path) == lock.LockHolder(held=True, pid=os.getpid())
    held.release()
    path.write_text("99999\n")
    assert lock.find_holder(path, nothing) == lock.LockHolder(held=False, pid=99999)
    held.acquire()
    held.release()


@pytest.mark.parametrize("content", ["{", "[1]", '{"at": "x"}', ""])
def test_a_record_of_the_last_exit_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    """Nonsense tells nothing and harms nobody."""
    (tmp_path / "last_exit.json").write_text(content)
    assert last_exit.read(tmp_path / "last_exit.json") is None


async def test_an_unexpected_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2 is a warning that leads to the traceback and the bundle; being refused the lock records nothing."""
    (house.work / "last_exit.json").write_text(
        '{"version": 1, "at": 1700000000.5, "command": "run", "pid": 9, "exit_code": 2, "reason": "KeyError: 1"}'
    )
    last = await line(house, "last exit")
    assert last.status is Status.WARNING
    assert "KeyError: 1" in last.message
    assert "UNEXPECTED ERROR SUMMARY" in last.remedy
    held = LockFile(house.work / ".archiver.lock")
    held.acquire()
    refused = house.run("once", "--import-only")
    held.release()
    assert (refused.returncode, "LockExistsError" in refused.stderr) == (1, True)
    assert (await line(house, "last exit")).message == last.message


async def test_a_known_error_is_recorded(house: House) -> None:
    """What ended a pass stands in the record, by name; the next good pass replaces it."""
    house.change("artdaq_db", fcl_conf_dir=str(house.root / "nowhere"))
    assert house.run("once", "--import-only").returncode == 1
    assert "ended with 1" in (await line(house, "last exit")).message
    assert "FclPreperationError: FCL confdir" in (await line(house, "last exit")).message
    house.change("artdaq_db", fcl_conf_dir=None)
    assert house.run("once", "--import-only").returncode == 0
    assert "ended with 0" in (await line(house, "last exit")).message


async def test_a_damaged_journal(house: House) -> None:
    """Damage fails; the next start sets it aside and makes a new one, as the remedy says."""
    assert house.run("once", "--import-only").returncode == 0
    found = await house.look()
    assert found["journal"].message.startswith("sound, schema version ")
    journal = house.work / "journal.sqlite"
    journal.write_bytes(journal.read_bytes()[:4096] + b"\x5a" * 30_000)
    found = await house.look()
    assert found["journal"].status is Status.FAILED
    assert "is damaged" in found["journal"].message
    assert found["backends left alone"].status is not Status.FAILED, "told once"
    assert house.run("once", "--import-only").returncode == 0
    assert (await line(house, "journal")).status is Status.OK


def test_a_journal_of_somebody_else(house: House) -> None:
    """One that may not be read is not called damaged: `check` says whose it is, and every command exits 1 in words."""
    assert house.run("once", "--import-only").returncode == 0
    journal = house.work / "journal.sqlite"
    journal.chmod(0o000)
    found = house.look_unprivileged()
    assert found["journal"].status is Status.FAILED
    assert found["journal"].message.startswith(f"{journal} may not be opened: unable to open database file (----------")
    assert found["journal"].remedy.startswith("chown -R ")
    for command in ("status", "runs"):
        told = house.run(command, wrapped=unprivileged())
        assert (told.returncode, told.stdout) == (1, "")
        assert "Cannot use the journal: unable to open database file" in told.stderr
        assert "`archiverd check` names the command" in told.stderr
    journal.chmod(0o600)
    assert house.look_unprivileged()["journal"].status is Status.OK


async def test_a_journal_of_a_newer_archiverd(house: House) -> None:
    """A schema version that we do not know is told before a start fails on it."""
    with sqlite3.connect(house.work / "journal.sqlite") as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    told = await line(house, "journal")
    assert told.status is Status.FAILED
    assert "schema version 999" in told.message
    assert "newer" in told.remedy


async def test_failure_logs(house: House) -> None:
    """Runs listed are a warning with the command that retries them; a corrupt log has the runbook's words."""
    log = house.work / "import_failures.log"
    log.write_text("7\n12\n")
    told = await line(house, "import failures")
    assert told.status is Status.WARNING
    assert "lists 2 runs: 7, 12" in told.message
    assert told.remedy.endswith("archiverd retry import")
    log.write_text("7\nseven\n")
    told = await line(house, "import failures")
    assert told.status is Status.FAILED
    assert told.message.startswith(f"Failed to parse run records file {log}: invalid literal")
    assert house.run("once", "--import-only").returncode == 0
    assert (await line(house, "import failures")).status is Status.OK
    assert (house.work / "import_failures.log.corrupted").exists()


async def test_state_files(house: House) -> None:
    """A state file that cannot be understood is a warning; recover, as it says, makes it anew."""
    state = house.work / "importer_state.json"
    assert "normal before the first start" in (await line(house, "state files")).message
    assert house.run("once", "--import-only").returncode == 0
    state.write_text("{")
    told = await line(house, "state files")
    assert told.status is Status.WARNING
    assert f"Failed to parse state file {state}" in told.message
    assert told.remedy.startswith("archiverd recover import")
    assert house.run("recover", "import").returncode == 0
    assert (await line(house, "state files")).status is Status.OK


async def test_a_backend_that_is_left_alone(full_house: House) -> None:
    """What the journal says of a backend's outage is a warning with its cause."""
    full_house.run("once", "--import-only")
    with sqlite3.connect(full_house.work / "journal.sqlite") as db:
        db.execute("INSERT INTO holds VALUES ('UconDB', 'away', 1.0, 'Connection refused', 'wait', 3, NULL)")
    db.close()
    told = await line(full_house, "backends left alone")
    assert (told.status, told.remedy) == (Status.WARNING, "wait")
    assert told.message.endswith("minutes: Connection refused")


async def test_pace(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `status` advises about speed and memory is a warning here, with the setting to change."""
    assert (await line(house, "pace and memory")).status is Status.OK
    slow = "Slow: 90 runs wait for import, 2.0 s a run: raise app.parallel_workers (2; this machine has 8 CPUs)"
    monkeypatch.setattr(report, "advise_on_tuning", lambda _: iter([slow]))
    told = await line(house, "pace and memory")
    assert (told.status, told.message) == (Status.WARNING, slow)
    assert "app.parallel_workers" in told.remedy
