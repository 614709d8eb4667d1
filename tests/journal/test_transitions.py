"""Transitions: what each event may change in a run's row is the type checker's business."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from archiverd.core.machine import TABLE
from archiverd.journal import first_phase, transitions
from archiverd.journal.rows import FirstPhaseRow, RunRow

ROOT = Path(__file__).parents[2]

HEAD = "from archiverd.journal import first_phase, transitions\nfrom archiverd.journal.transitions import Transition\n"

RIGHT = """
transitions.failed_for_now(7, error="E: no", remedy="wait", attempts=1, due=3.0)
transitions.released(7)
first_phase.postponed(7, due=3.0)
"""

WRONG = {
    "a mistyped column": (
        'transitions.failed_for_now(7, error="E: no", remedy="wait", attemps=1, due=3.0)',
        'Unexpected keyword argument "attemps"',
    ),
    "a wrong type": (
        'transitions.failed_for_now(7, error="E: no", remedy="wait", attempts="1", due=3.0)',
        'has incompatible type "str"; expected "int"',
    ),
    "another event's column": ('transitions.put_back(7, error="E", remedy="r", verified_at=1.0)', "verified_at"),
    "a column left out": ('transitions.late_stop(7, stop_line="now")', 'Missing named argument "stopped_at"'),
    "a mistyped column in the first phase": ("first_phase.postponed(7, dew=3.0)", 'keyword argument "dew"'),
}


def types_of(snippet: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run mypy as the project does on a file with ``snippet`` in it."""
    file = directory / "snippet.py"
    file.write_text(HEAD + snippet, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache"), str(file)]
    environment = {**os.environ, "MYPYPATH": "src"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_what_is_right_passes_the_type_checker(tmp_path: Path) -> None:
    """Constructors called with their columns are no error, else the next test would prove nothing."""
    done = types_of(RIGHT, tmp_path)
    assert done.returncode == 0, done.stdout


def test_a_mistyped_column_is_the_type_checkers_error(tmp_path: Path) -> None:
    """A wrong name, a wrong type, a column of another event and one left out are found without running anything."""
    done = types_of("\n".join(line for line, _ in WRONG.values()), tmp_path)
    assert done.returncode == 1, done.stderr
    first = HEAD.count("\n") + 1
    for number, (what, (_, words)) in enumerate(WRONG.items(), first):
        assert any(f"snippet.py:{number}:" in line and words in line for line in done.stdout.splitlines()), what


@pytest.mark.parametrize(
    ("changes", "row"), [(transitions.RunChanges, RunRow), (first_phase.FirstPhaseChanges, FirstPhaseRow)]
)
def test_a_column_has_the_type_it_is_read_with(changes: type, row: type) -> None:
    """What a transition sets is what the row gives back: one name, one type."""
    read, written = get_type_hints(row), get_type_hints(changes)
    assert {name: read.get(name) for name in written} == written


def test_every_event_of_the_machine_can_be_recorded() -> None:
    """Each event has its constructor, named after it: none has to be put together elsewhere."""
    made = {name for name, _ in inspect.getmembers(transitions, inspect.isfunction)}
    assert {str(event) for _, event in TABLE} <= made
