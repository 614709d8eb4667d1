"""The four exit codes, each met for real."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from archiverd.core.machine import State

if TYPE_CHECKING:
    from tests.runbook.conftest import Desk

UNKNOWN = "--no-such-flag"


def test_the_codes_are_told_where_people_look(desk: Desk) -> None:
    """The launcher's help names all four, and what is no flag is a known error."""
    told = desk.archiver("--help")
    assert told.returncode == 0
    assert "0 success, 1 known error, 2 unexpected error, 130 interrupted" in " ".join(told.stdout.split())
    assert desk.archiver(UNKNOWN).returncode == 1


def test_code_0(desk: Desk) -> None:
    """Everything that has ended is verified, or there is nothing to do."""
    assert desk.archiver().returncode == 0
    desk.three_runs()
    assert desk.archiver().returncode == 0
    desk.prove(7, 8, 9)
    assert desk.archiver("--incremental").returncode == 0


def test_code_1(desk: Desk) -> None:
    """A run failed: the log and the failure log name it; mended and retried it goes through."""
    desk.three_runs()
    desk.break_run(8)
    assert desk.archiver().returncode == 1
    assert "[Run 8] FhiclError: broken01.fcl:" in desk.shell('tail -100 archiver.log | grep -i "error\\|critical"')
    assert desk.shell("cat import_failures.log migrate_failures.log") == "8\n"
    desk.mend_run(8)
    assert desk.archiver("--retry-failed-import").returncode == 0
    assert desk.archiver("--retry-failed-migrate").returncode == 0
    desk.prove(7, 8, 9)


def test_code_2(desk: Desk) -> None:
    """A broken installation: banner and traceback in the log; with the right library back all is well."""
    desk.one_run()
    other = desk.root / "other"
    other.mkdir()
    (other / "httpx.py").write_text("raise AttributeError('a version that nobody foresaw')\n")
    said = desk.archiver("-v", PYTHONPATH=str(other))
    assert said.returncode == 2
    found = desk.shell('grep -A 50 "UNEXPECTED ERROR SUMMARY" archiver.log')
    assert "AttributeError: a version that nobody foresaw" in found
    assert "Traceback (most recent call last)" in found
    assert f'{other}/httpx.py", line 1' in found
    assert desk.archiver().returncode == 0
    desk.prove(7)


def test_code_130(desk: Desk) -> None:
    """Interrupted, what was in hand is finished, and the next pass goes on where this one stopped."""
    desk.three_runs()
    desk.serve_slowly(0.3)
    going = desk.launch()
    desk.wait(lambda rows: any(row.state is State.UPLOADING for row in rows.values()))
    assert desk.stop(going, signal.SIGINT) == 130
    assert not any(row.state is State.UPLOADING for row in desk.rows().values())
    assert desk.archiver("--incremental").returncode == 0
    assert desk.archiver("--retry-failed-import").returncode == 0
    assert desk.archiver("--retry-failed-migrate").returncode == 0
    desk.prove(7, 8, 9)
    assert desk.versions() == {7: 1, 8: 1, 9: 1}
