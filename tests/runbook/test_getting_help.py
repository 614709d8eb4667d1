"""Getting help: what a maintainer asks for, in one file."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runbook.conftest import Desk

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundled(kept_desk: Desk) -> dict[str, str]:
    """The content of the bundle of a site whose run 8 cannot be imported, by file name."""
    desk = kept_desk
    desk.three_runs()
    desk.break_run(8)
    assert desk.archiver("-v", LD_LIBRARY_PATH="/opt/daq/lib").returncode == 1
    bundle = desk.root / "bundle.tar.gz"
    made = desk.run("check", "--bundle", str(bundle), LD_LIBRARY_PATH="/opt/daq/lib")
    assert str(bundle) in made.stderr + made.stdout
    with tarfile.open(bundle) as archive:
        found = {
            Path(member.name).name: archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive
            if member.isfile()
        }
    assert all(desk.password not in text for text in found.values())
    return found


def test_one_command_gathers_everything(bundled: dict[str, str]) -> None:
    """The findings of `check` and what stands in the journal come along, each in a file that says what it is."""
    assert {"README.txt", "check.txt", "config.txt", "environment.txt", "log.txt", "last_exit.json"} <= set(bundled)
    assert "config values" in bundled["check.txt"]


def test_the_five_things_of_the_guide(bundled: dict[str, str]) -> None:
    """Message, exit code, configuration without passwords, environment, the last hundred lines of the log."""
    assert "[Run 8] FhiclError: broken01.fcl:" in bundled["log.txt"]
    assert re.search(r'"exit_code": 1\b', bundled["last_exit.json"])
    assert "writer_password" in bundled["config.txt"]
    assert re.search(r"LD_LIBRARY_PATH.*/opt/daq/lib", bundled["environment.txt"])
    versions = bundled["versions.txt"] + bundled["environment.txt"]
    assert "Linux" in versions
    assert re.search(r"[Pp]ython.* 3\.\d+", versions)
    assert len(bundled["log.txt"].splitlines()) <= 100 + 2


def test_where_to_turn_to() -> None:
    """Every page the guide's last section has in ours is there, and tells what it is called for."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    section = text.split("\n### Support Channels\n")[1]
    pages = re.findall(r"\]\((\w+\.md)\)", section)
    assert {"operations.md", "configuration.md", "commands.md", "design.md"} <= set(pages)
    assert all((ROOT / "docs" / page).is_file() for page in pages)
    assert "archiverd check --bundle" in section
