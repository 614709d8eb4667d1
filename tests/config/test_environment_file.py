"""archiver.env: read as a shell would read it, never executed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archiverd.config.environment_file import load_environment, read_environment
from archiverd.core.errors import ConfigurationError
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

LINES = [
    "A=1",
    "export A=1 B=2",
    "A='a b'\"c d\"e",
    'A="x \\" \\$H \\n \\\\"',
    "A=$B",
    "B=3\nA=${B}x$B-",
    "A=a#b # a comment",
    "  export  A=~/x",
    "A=~",
    "A='~/x'",
    "A=a\\ b",
    "A=",
    "A=\nB=${A:-d}",
    "B='' A=${B:-x y}",
    "export A",
    "# a comment\n\n",
    'A="\\$(id)"',
    "A='$(id) `id`'",
    "A=a'`'b",
    "A=a$",
    'A="a$"',
    "A=é",
    "A=p%a!s^s*?[x]{a,b}@",
    "A==b=c",
    "A=a~b",
    'A="a\\\\$B"',
    "A=1\nA=2\nB=$A",
    'A="$HOME/x" B=$HOME',
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash to compare with")
@pytest.mark.parametrize("text", LINES)
def test_assignments_mean_what_they_mean_to_a_shell(tmp_path: Path, text: str) -> None:
    """Whoever wrote the file for `source` finds the same values."""
    path = tmp_path / "archiver.env"
    path.write_text(text + "\n")
    given = {"HOME": "/home/daq", "PATH": os.environ["PATH"]}
    shown = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    command = ["bash", "-c", f'set -a; source "$0"; {shown}', str(path)]
    sourced = json.loads(
        subprocess.run(command, env=given, capture_output=True, check=True, timeout=DEADLINE_SECONDS).stdout
    )
    ours = {**given, **read_environment(path, given)}
    assert {name: ours.get(name) for name in "AB"} == {name: sourced.get(name) for name in "AB"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("A=`touch {}`", "executed"),
        ("A=$(touch {})", "executed"),
        ('A="$(touch {})"', "executed"),
        ("A=x; touch {}", "an unquoted ;"),
        ("A=x touch {}", "not of the form"),
        ("touch {}", "not of the form"),
        ("A=x > {}", "not of the form"),
        ("A=x>{}", "an unquoted >"),
        ("A=$((1+1))", "executed"),
        ("A=${{B%x}}", "executed"),
        ("A='x", "a ' that is not closed"),
        ('A="x', 'a " that is not closed'),
        ("source other.env", "not of the form"),
    ],
)
def test_what_needs_a_shell_is_refused_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    """Nothing in the file is executed; the error says where it stands and what is wrong."""
    path, made = tmp_path / "archiver.env", tmp_path / "made"
    path.write_text("# first\n" + line.format(made) + "\n")
    with pytest.raises(ConfigurationError, match=f"archiver.env:2: .*{told}"):
        read_environment(path, {})
    assert not made.exists()


def test_a_secret_in_a_refused_line_is_not_shown(tmp_path: Path) -> None:
    """The error about a password's line does not show the password."""
    path = tmp_path / "archiver.env"
    path.write_text("UCONDB_PASSWORD=hunter2;x\n")
    with pytest.raises(ConfigurationError) as caught:
        read_environment(path, {})
    assert "hunter2" not in str(caught.value)


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_a_value(tmp_path: Path) -> None:
    """A file that went through another system means the same."""
    path = tmp_path / "archiver.env"
    path.write_bytes(b"\xef\xbb\xbfA=1\r\nB='2'\r\n")
    assert read_environment(path, {}) == {"A": "1", "B": "2"}


@pytest.mark.parametrize("content", [b"A=\0", b"A=" + b"x" * (1 << 20)])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Neither a binary file nor one without end is taken in."""
    path = tmp_path / "archiver.env"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="environment file"):
        read_environment(path, {})


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A named environment file that is missing is an error that names it."""
    with pytest.raises(ConfigurationError, match=r"Cannot read the environment file .*: No such file"):
        read_environment(tmp_path / "archiver.env", {})


def test_the_file_wins_over_what_was_set_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it was sourced."""
    monkeypatch.setenv("EXPERIMENT_NAME", "old")
    path = tmp_path / "archiver.env"
    path.write_text("EXPERIMENT_NAME=new\n")
    assert load_environment(path).names == {"EXPERIMENT_NAME"}
    assert os.environ["EXPERIMENT_NAME"] == "new"
