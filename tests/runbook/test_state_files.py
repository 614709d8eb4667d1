"""State files: they are written for people to read; nothing depends on them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runbook.conftest import Desk

DONE = {"last_contiguous_run": 9, "last_attempted_run": 9}


@pytest.fixture
def archived(desk: Desk) -> Desk:
    """A site that has archived runs 7 to 9."""
    desk.three_runs()
    assert desk.archiver().returncode == 0
    return desk


def states(desk: Desk) -> list[dict[str, int]]:
    """Return what both state files say."""
    return [json.loads(desk.shell(f"cat {name}_state.json")) for name in ("importer", "migrator")]


def test_whatever_becomes_of_them_they_are_written_anew(archived: Desk) -> None:
    """One cut short, the other gone, no journal either: the next pass knows what is archived."""
    (archived.work / "importer_state.json").write_text('{"last_contig')
    (archived.work / "migrator_state.json").unlink()
    archived.lose_the_journal()
    assert archived.archiver("--incremental").returncode == 0
    assert states(archived) == [DONE, DONE]
    assert archived.versions() == {7: 1, 8: 1, 9: 1}


def test_runs_are_not_processed_repeatedly(archived: Desk) -> None:
    """A corrupt state file makes nothing be done again; the recoveries of the guide work, and prove every run."""
    (archived.work / "importer_state.json").write_text('{"last_contiguous_run": 0, "last_attempted_run": 0}')
    (archived.work / "migrator_state.json").write_bytes(b"\0" * 40)
    said = archived.archiver("--incremental")
    assert (said.returncode, "imported as" in said.stderr, "verified in" in said.stderr) == (0, False, False)
    assert archived.archiver("--recover-import-state").returncode == 0
    assert archived.archiver("--recover-migrate-state").returncode == 0
    assert states(archived) == [DONE, DONE]
    archived.prove(7, 8, 9)
    assert archived.versions() == {7: 1, 8: 1, 9: 1}


def test_a_gap_is_a_failed_run(desk: Desk) -> None:
    """The failure log names it and the state file stops before it; retried, the comparison finds none."""
    desk.three_runs()
    desk.break_run(8)
    assert desk.archiver().returncode == 1
    assert (desk.failed("import_failures.log"), states(desk)[0]["last_contiguous_run"]) == ([8], 7)
    desk.mend_run(8)
    assert desk.archiver("--retry-failed-import").returncode == 0
    assert desk.archiver("--retry-failed-migrate").returncode == 0
    told = desk.archiver("--report-status", "--compare-state")
    assert told.returncode == 0
    assert re.search(r"\b7-9\b", told.stdout)
    assert states(desk) == [DONE, DONE]
    desk.prove(7, 8, 9)


def test_a_missing_state_file_is_no_trouble(archived: Desk) -> None:
    """It is there again after the next pass; nothing is recovered by hand."""
    for name in ("importer", "migrator"):
        (archived.work / f"{name}_state.json").unlink()
    assert archived.archiver().returncode == 0
    assert states(archived) == [DONE, DONE]
    assert archived.versions() == {7: 1, 8: 1, 9: 1}
