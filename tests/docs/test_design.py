"""docs/design.md shows the rooms and levels that tests/test_architecture.py enforces."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_architecture import APART, LEVELS

DESIGN = (Path(__file__).parents[2] / "docs" / "design.md").read_text(encoding="utf-8")


def test_the_levels_of_the_design_are_those_that_are_enforced() -> None:
    """The figure has one line a level, the highest first."""
    (block,) = re.findall(r"## Levels\n.*?```\n(.*?)```", DESIGN, re.DOTALL)
    shown = [set(re.sub(r"\(.*\)", "", line).split()) for line in block.splitlines()]
    assert shown == [rooms for rooms in reversed(LEVELS) if rooms != {"__main__"}]


def test_the_design_describes_every_room() -> None:
    """The table of rooms has each of them, and no other."""
    (table,) = re.findall(r"## Rooms\n(.*?)\n## ", DESIGN, re.DOTALL)
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {name.rstrip("/").removesuffix(".py") for cell in cells for name in re.findall(r"`(.*?)`", cell)}
    assert named - {"native"} == set().union(*LEVELS) - {"__main__"} | {APART}
