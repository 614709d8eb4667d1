"""Commands while a package that archiverd needs cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_context import IMPORTING
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT_HTTPX = "import sys; sys.modules['httpx'] = None; from archiverd.cli.main import main; main()"


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process that cannot import httpx, with a configuration in ``directory``."""
    path = directory / "archiverd.toml"
    path.write_text(IMPORTING.format(work_dir=directory).replace("[app]", f'[app]\nlog_file = "{directory}/log"'))
    (directory / "records").mkdir()
    command = [sys.executable, "-c", WITHOUT_HTTPX, "-c", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)


def test_check_says_what_cannot_be_imported(tmp_path: Path) -> None:
    """A known error with its remedy, for `check` is what people turn to when nothing else works."""
    done = run(tmp_path, "check")
    assert (done.returncode, "archiverd's own parts cannot be imported: " in done.stderr) == (1, True), done.stderr
    assert "httpx" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Remedy: install archiverd again")


@pytest.mark.parametrize("arguments", [("once", "--import-only"), ("retry", "import"), ("recover", "import")])
def test_a_pass_logs_what_cannot_be_imported(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The log file is open, and the end is recorded, before anything heavy is imported."""
    done = run(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert "httpx" in (tmp_path / "log").read_text()
    ended = json.loads((tmp_path / "last_exit.json").read_text())
    assert (ended["command"], ended["exit_code"], "httpx" in ended["reason"]) == (arguments[0], 2, True)


def test_status_works_without_them(tmp_path: Path) -> None:
    """A quick `status` needs no package that only the work needs."""
    done = run(tmp_path, "status")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "no daemon runs"), done.stderr
