"""Debug logging: how to get it, the guide's greps on it, and what stands in it."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runbook.conftest import Desk


@pytest.fixture(scope="module")
def debugged(kept_desk: Desk) -> Desk:
    """A site whose run 8 cannot be imported, after a pass that told everything."""
    desk = kept_desk
    desk.three_runs()
    desk.break_run(8)
    desk.edit("app", log_level="DEBUG")
    desk.edit("ucon_db", writer_password="${UCONDB_PASSWORD}")
    assert desk.archiver(UCONDB_PASSWORD=desk.password).returncode == 1
    return desk


def test_debug_lines_are_no_burden(debugged: Desk) -> None:
    """No secret stands in them, and a run's story is told without them too."""
    log = debugged.archiver_log.read_text()
    assert " DEBUG " in log
    assert debugged.password not in log
    assert "FhiclError: broken01.fcl:" in debugged.run("why", "8").stdout


def test_both_ways_to_get_it(desk: Desk) -> None:
    """`-v`, `--verbose` and `log_level: DEBUG` do the same; without them there are no such lines."""
    for flags, level, wanted in (((), "INFO", False), (("-v",), "INFO", True), (("--verbose",), "INFO", True)):
        desk.edit("app", log_level=level)
        assert (" DEBUG " in desk.archiver(*flags).stderr) is wanted
    desk.edit("app", log_level="DEBUG")
    assert " DEBUG " in desk.archiver().stderr


def test_the_guides_greps(debugged: Desk) -> None:
    """Each of the five finds what it is for, and the fifth follows the log as it grows."""
    errors = debugged.shell('grep -i "error\\|exception" archiver.log')
    assert "FhiclError" in errors
    of_run = debugged.shell('grep "Run 8" archiver.log').splitlines()
    assert of_run
    assert all("[Run 8]" in line for line in of_run)
    critical = debugged.shell('grep -E "CRITICAL|ERROR" archiver.log').splitlines()
    assert critical
    assert all(" ERROR " in line or " CRITICAL " in line for line in critical)
    details = debugged.shell('grep -A 20 "Exception raised" archiver.log')
    assert "Exception raised: FhiclError" in details
    command = ["timeout", "60", "tail", "-n", "0", "-f", str(debugged.archiver_log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        debugged.archiver(UCONDB_PASSWORD=debugged.password)
        assert following.stdout.readline()
        following.terminate()
        following.stdout.read()


def test_what_stands_in_it(debugged: Desk) -> None:
    """All six kinds of the guide: expansion, database, network, files, state transitions, exceptions."""
    log = debugged.archiver_log.read_text()
    for kind in (
        r"DEBUG .*writer_password",
        r"DEBUG .*FileSystemDB: insert\(7\) answered",
        r"DEBUG .*POST /inst/app/data/test01/configuration\?\S* → 200",
        rf"DEBUG .*read: {debugged.records}/7",
        rf"DEBUG .*written: {debugged.work}/importer_state\.json",
        r"DEBUG .*\[Run 7\] is now imported",
        r"DEBUG .*\[Run 8\] Exception raised: FhiclError",
    ):
        assert re.search(kind, log), kind
