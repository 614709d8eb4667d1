"""The commands, links and paths in the documentation work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.config.models import Settings
from archiverd.config.section import Section
from archiverd.core.machine import State
from tests.e2e.conftest import Site, bare_site, site
from tests.e2e.test_older_tool import LAUNCHER, settle
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["bare_site", "site"]

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    """Every command of the tutorial, in order, in an empty directory, ends well."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), re.DOTALL)
    assert len(blocks) == 5
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in blocks:
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_the_how_to_works_as_written(site: Site) -> None:
    """Every command of the operations page, in order, beside a running daemon, ends well."""
    site.make("--profile", "demo", "--fcl", "dumped", "--gaps", "0", "--runs", "1", "--crash", "0", "--first", "7")
    site.make("--profile", "demo", "--fcl", "dumped", "--gaps", "0", "--runs", "1", "--crash", "1", "--first", "8")
    daemon = site.start("run")
    site.wait(lambda rows: 8 in rows and 7 in rows and rows[7].state is State.VERIFIED)
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)
    assert len(blocks) == 11
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "ARCHIVERD_CONFIG": str(site.root / "archiverd.toml")}
    for block in blocks:
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert daemon.wait(DEADLINE_SECONDS) == 0


def test_coming_from_the_older_tool_works_as_written(site: Site) -> None:
    """Every command of that part of the operations page ends well beside the older tool's files."""
    site.make("--profile", "demo", "--fcl", "dumped", "--gaps", "0", "--runs", "1", "--crash", "0", "--first", "7")
    settle(site)
    (site.root / "archiverd.toml").unlink()
    (site.root / LAUNCHER.name).symlink_to(LAUNCHER)
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in blocks:
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(
            command,
            cwd=site.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert site.rows()[7].state is State.VERIFIED


def test_every_command_is_in_the_reference() -> None:
    """docs/commands.md names each command there is."""
    from archiverd.cli import main

    text = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in main.COMMANDS if f"`{name}" not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    """A relative link in the documentation points to a file that exists, and to a heading of it if it names one."""
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", (ROOT / page).read_text()):
        if "://" not in target:
            there = (ROOT / page).parent / target if target else ROOT / page
            assert there.exists(), f"{page} links to {target}"
            assert not anchor or anchor in anchors(there), f"{page} links to {target}#{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/extending.md"])  # its files are to be made
def test_every_file_that_is_named_exists(page: str) -> None:
    """A path in the documentation, from the repository's top, the package or a room, is that of a file."""
    named = re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|cpp|hpp|toml|json|md|fcl))(?:::\w+)?`", (ROOT / page).read_text())
    places = (ROOT, ROOT / "src" / "archiverd", ROOT / "src" / "archiverd" / "artdaqdb")
    assert [path for path in named if not any((place / path).exists() for place in places)] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readmes_configuration_is_valid(tmp_path: Path) -> None:
    """The ten lines of the README are a configuration, once the password is given."""
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    tomllib.loads(block)
    assert sum(bool(line) and not line.startswith("[") for line in block.splitlines()) <= 10
    path = tmp_path / "archiverd.toml"
    path.write_text(block)
    command = [sys.executable, "-m", "archiverd", "--config", str(path), "config", "check"]
    environment = {**os.environ, "ARCHIVERD_UCON_DB__WRITER_PASSWORD": "x"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_example_configuration_names_every_setting() -> None:
    """archiverd.toml.example shows each key there is, and no other."""
    text = (ROOT / "archiverd.toml.example").read_text()
    uncommented = "\n".join(
        line.removeprefix("#") if re.match(r"#\w+ = ", line) else line for line in text.splitlines()
    )
    shown = tomllib.loads(uncommented)

    def compare(named: dict[str, object], kind: type[BaseModel], section: str) -> None:
        assert set(named) == set(kind.model_fields), section
        for name, field in kind.model_fields.items():
            inner, values = field.annotation, named[name]
            if isinstance(inner, type) and issubclass(inner, Section):
                assert isinstance(values, dict), name
                compare(values, inner, f"{section}.{name}")

    compare(shown, Settings, "")
