"""The lock files: complete, hashed, and silent about where packages were fetched."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("runtime", "dev")
REQUIREMENT = re.compile(r"([a-z0-9-]+)==([0-9][\w.+!-]*)(?: ; [\w .'<>=!()]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def lines(lock: str) -> list[str]:
    """Return the lines of a lock file that are no comment."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


def pinned(lock: str) -> dict[str, str]:
    """Return name and version of every package of a lock file."""
    found = [match for line in lines(lock) if (match := REQUIREMENT.fullmatch(line))]
    return {match[1]: match[2] for match in found}


def declared(*groups: str) -> set[str]:
    """Return the names pyproject.toml asks for: the dependencies, and those of groups."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for group in groups:
        wanted += project["dependency-groups"][group]
    return {re.match(r"[\w-]+", text)[0].lower() for text in wanted}  # type: ignore[index]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pins_and_hashes_and_nothing_else(lock: str) -> None:
    """Each line is a pinned package or a hash of it: no index, no link, no option."""
    for line in lines(lock):
        assert REQUIREMENT.fullmatch(line) or HASH.fullmatch(line), line


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_a_hash(lock: str) -> None:
    """A pinned package is followed by at least one hash."""
    all_lines = lines(lock)
    for line, following in zip(all_lines, [*all_lines[1:], ""], strict=True):
        if REQUIREMENT.fullmatch(line):
            assert HASH.fullmatch(following), line


def test_the_locks_hold_what_the_project_asks_for() -> None:
    """Whatever pyproject.toml names is locked; a forgotten `make lock` shows here."""
    assert declared() <= set(pinned("runtime"))
    assert declared("dev", "build") <= set(pinned("dev"))


def test_developers_run_the_versions_that_are_deployed() -> None:
    """dev.lock pins every package of runtime.lock at the same version."""
    assert pinned("runtime").items() <= pinned("dev").items()
