"""The built-in engine passes the conformance suite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.filesystem.store import FileSystemDB
from tests.artdaqdb.conformance import *  # noqa: F403
from tests.artdaqdb.conformance import record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.artdaqdb.conformance import MakeDatabase, Reopen


@pytest.fixture
def make_database(tmp_path: Path) -> MakeDatabase:
    """Return what makes an engine on the test's directory."""
    return lambda: FileSystemDB(f"filesystemdb://{tmp_path}/db")


async def test_another_program_sees_what_was_stored(
    make_database: MakeDatabase, reopen: Reopen, tmp_path: Path
) -> None:
    """Once closed, the index that the library reads holds the run and its update."""
    database = await reopen()
    await database.insert(7, "demo", record(b"a: 1\n"))
    await database.update(7, "demo", record(b"a: 2\n"))
    await reopen()
    index = json.loads((tmp_path / "db" / "RunHistory" / "index.json").read_bytes())
    assert list(index["version"]) == ["7/demo", "7/demov1"]
