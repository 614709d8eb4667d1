"""What archiverd imports is what pyproject.toml declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS_OF = {"bson": "pymongo", "yaml": "pyyaml"}
"""Packages whose distribution has another name."""


def normal(name: str) -> str:
    """Return a package's name as an import spells it."""
    return name.lower().replace("-", "_")


def test_every_import_is_declared_and_every_declaration_imported() -> None:
    """A package that only comes along with another one may go away with it; one that nobody imports is a burden."""
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {normal(re.split(r"[<>=!~;\[ ]", text)[0]) for text in project["dependencies"]}
    imported = {PARTS_OF.get(name, name) for name in imported}
    foreign = imported - sys.stdlib_module_names - {"archiverd"}
    assert foreign - declared == set()
    assert declared - foreign == set()
