"""The same operation beside a daemon and without one: what is asked for is done, or it is said what is not."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import TYPE_CHECKING

import pytest

from archiverd.control.server import Progress, serving
from archiverd.core.machine import State
from tests.e2e.test_operations import DEMO, ONE_RUN, THREE_RUNS, broken, mend, numbers, stop, unstop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.conftest import Site

__all__ = ["broken"]


def start_daemon(site: Site) -> None:
    """Start a daemon that takes commands."""
    site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())


def test_import_only_does_not_wait_for_ucondb(site: Site) -> None:
    """The run is in artdaqDB when the command returns; the command says that the daemon takes it on by itself."""
    start_daemon(site)
    site.freeze()
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    done = site.run("once", "--import-only")
    assert done.returncode == 0, done.stderr
    assert "the daemon takes the runs on to UconDB by itself" in done.stderr
    assert site.rows()[20].state in (State.IMPORTED, State.UPLOADING)
    assert json.loads(site.run("once", "--import-only", "--json").stdout)["verified"] == 0
    site.thaw()
    site.wait(lambda rows: rows[20].state is State.VERIFIED)


def test_migrate_only_says_that_the_daemon_imports_too(site: Site) -> None:
    """What is in artdaqDB is verified when it returns."""
    site.make(*ONE_RUN)
    assert site.run("once", "--import-only").returncode == 0
    start_daemon(site)
    done = site.run("once", "--migrate-only")
    assert (done.returncode, site.rows()[7].state) == (0, State.VERIFIED)
    assert "the daemon imports by itself" in done.stderr


def test_validate_is_what_a_daemon_does_anyway(site: Site) -> None:
    """Nothing needs to be said."""
    start_daemon(site)
    done = site.run("once", "--validate")
    assert (done.returncode, "by itself" in done.stderr) == (0, False)


def test_once_looks_for_late_stop_lines(site: Site) -> None:
    """Beside a daemon that would look for them in an hour."""
    site.make(*ONE_RUN)
    unstop(site, 7)
    config = site.config.read_text()
    site.config.write_text(f"{config}[watch]\nabandon_after_seconds = 0\nsettle_seconds = 0.1\nrescan_seconds = 3600\n")
    start_daemon(site)
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    stop(site, 7)
    assert site.run("once", "--incremental").returncode == 0
    assert site.rows()[7].superseded


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "beside a daemon"])
def test_a_run_named_is_retried_whatever_stage_it_failed_in(broken: Site, daemon: bool) -> None:
    """`retry migrate RUN` of a run that failed in the import is no success that did nothing."""
    mend(broken)
    if daemon:
        start_daemon(broken)
    done = broken.run("retry", "migrate", "8")
    assert (done.returncode, broken.rows()[8].state) == (0, State.VERIFIED), done.stderr


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "beside a daemon"])
def test_a_decision_is_in_the_failure_log_at_once(broken: Site, daemon: bool) -> None:
    """A run that was waived is gone from it when the command returns."""
    if daemon:
        start_daemon(broken)
    assert numbers(broken, "import_failures.log") == [8]
    assert broken.run("waive", "8", "--reason", "test").returncode == 0
    assert numbers(broken, "import_failures.log") == []


def test_a_run_that_a_killed_process_had_in_hand_can_be_waived(site: Site) -> None:
    """Nobody works on it any more, though the journal has it in the middle of an import."""
    site.make(*ONE_RUN)
    assert site.run("once", "--import-only").returncode == 0
    with sqlite3.connect(site.work / "journal.sqlite") as db:
        db.execute("UPDATE runs SET state = 'importing', stage = 'import' WHERE run = 7")
    db.close()
    waived = site.run("waive", "7", "--reason", "test")
    assert (waived.returncode, site.rows()[7].state) == (0, State.WAIVED), waived.stderr


def test_an_error_says_in_which_stage_it_happened(site: Site) -> None:
    """As without a daemon: people search the log for it."""
    site.make(*THREE_RUNS)
    start_daemon(site)
    site.records.rename(site.root / "away")
    failed = site.run("once")
    assert failed.returncode == 1
    assert "[Import] ArchiverError: Cannot read run records directory" in failed.stderr


async def test_a_newer_command_beside_an_older_daemon_is_understandable(site: Site) -> None:
    """The older daemon knows neither the command for a pass nor the one for the report; nothing is dropped."""

    async def answer(arguments: Mapping[str, object], _: Progress) -> object:
        raise AssertionError(arguments)

    site.work.mkdir()
    async with serving(site.work, {"once": answer, "standing": answer}):
        once = await asyncio.to_thread(site.run, "once", "--import-only")
        status = await asyncio.to_thread(site.run, "status")
    assert once.returncode == 1
    assert "The daemon does not understand the request: there is no command 'pass'; there are once" in once.stderr
    assert "Remedy: are daemon and command of the same version?" in once.stderr
    assert "the daemon cannot tell: The daemon does not understand the request: there is no command" in status.stdout
    assert status.returncode == 0
