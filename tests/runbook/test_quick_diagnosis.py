"""Quick diagnosis: the four steps, typed as the guide has them, and the one command that takes them all."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runbook.conftest import Desk

TAGS = ("Import", "Migration", "Recovery-Import", "Recovery-Migration", "Report", "Validation")


@pytest.fixture
def failing(desk: Desk) -> Desk:
    """A site whose run 8 cannot be imported, after a pass."""
    desk.three_runs()
    desk.break_run(8)
    assert desk.archiver().returncode == 1
    return desk


def test_status_and_why_take_the_four_steps_at_once(failing: Desk) -> None:
    """Which run, in which stage, why, and what to do: nothing else need be read."""
    told = failing.run("status").stdout
    assert re.search(r"8\b.*quarantined", told)
    assert "FhiclError: broken01.fcl:" in told
    assert "archiverd release" in failing.run("why", "8").stdout
    failing.mend_run(8)
    assert failing.run("release", "8").returncode == 0
    assert failing.archiver().returncode == 0
    failing.prove(7, 8, 9)


def test_step_1_the_exit_code(failing: Desk) -> None:
    """`echo $?` after the launcher tells whether there is something to do."""
    typed = f'./run_archiver.sh {failing.config}; echo "Exit code: $?"'
    assert "Exit code: 1\n" in failing.shell(f"cd {failing.launcher_directory}; {typed}")
    failing.mend_run(8)
    assert failing.archiver("--retry-failed-import").returncode == 0
    assert "Exit code: 0\n" in failing.shell(f"cd {failing.launcher_directory}; {typed}")


def test_step_2_the_log(failing: Desk) -> None:
    """The end of archiver.log, and the guide's grep on it, show the failure of the last pass."""
    assert "[Run 8] FhiclError: " in failing.shell("tail -50 archiver.log")
    found = failing.shell('grep -i "error\\|critical\\|exception" archiver.log | tail -20')
    assert "[Import] [Run 8] FhiclError: broken01.fcl:" in found
    assert "[Run 7]" not in found


def test_step_3_the_stage(desk: Desk) -> None:
    """Each of the guide's six tags is at the beginning of the lines of its stage."""
    desk.three_runs()
    metadata = desk.records / "8" / "metadata.txt"
    metadata.write_text(metadata.read_text().replace("Components:", "Component:"))
    assert desk.archiver("--validate").returncode == 0
    assert desk.archiver("--recover-import-state").returncode == 0
    assert desk.archiver("--recover-migrate-state").returncode == 0
    desk.children[0].kill()
    desk.children[0].wait()
    reported = desk.archiver("--report-status")
    assert reported.returncode == 1
    log = desk.archiver_log.read_text() + reported.stderr
    found = set(re.findall(r"(?m)^\S+ \S+ +[A-Z]+ +\[([A-Za-z-]+)\] ", log))
    assert set(TAGS) <= found


def test_step_4_the_failure_logs(failing: Desk) -> None:
    """One run number a line for what failed in each stage; mended runs leave it."""
    assert failing.shell("cat import_failures.log") == "8\n"
    assert failing.shell("cat migrate_failures.log") == ""
    failing.mend_run(8)
    told = json.loads(failing.run("retry", "import", "--json").stdout)
    assert (told["imported"], told["verified"], told["exit_code"]) == (1, 1, 0)
    assert failing.shell("cat import_failures.log") == ""
