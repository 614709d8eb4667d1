"""Recorded data of the real library, and databases to work on."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.port import Entity

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.disk import Disk

DATA = Path(__file__).parents[1] / "data" / "artdaqdb"
WHEN = datetime(2026, 11, 23, 16, 40, 16, 255_000, tzinfo=timezone(timedelta(hours=-6)))


def recorded(name: str) -> dict[str, str]:
    """Return a recorded file's content."""
    return json.loads((DATA / name).read_text())


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., FileSystemDB]:
    """Make a database in an empty directory, its clock and ids fixed; each call is a new process's view."""
    numbers = itertools.count(1)

    def making(disk: Disk | None = None) -> FileSystemDB:
        return FileSystemDB(
            f"filesystemdb://{tmp_path}/db",
            disk=disk,
            clock=lambda: WHEN,
            new_oid=lambda: f"{next(numbers):012x}4abc8def{0:04x}",
        )

    return making


def entities(*texts: str, schema: bool = True) -> list[Entity]:
    """Return entities e0, e1, … with these texts, and a schema."""
    made = [Entity("RunHistory", f"e{number}", text.encode()) for number, text in enumerate(texts)]
    return [*made, Entity("SystemLayout", "schema", b"run_history: []\n")] if schema else made
