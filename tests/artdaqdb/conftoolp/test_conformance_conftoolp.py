"""artdaqDB through the library passes the conformance suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem.store import FileSystemDB
from tests.artdaqdb.conformance import *  # noqa: F403
from tests.artdaqdb.conformance import held, record

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.artdaqdb.conftoolp.store import ConftoolpDB


async def test_the_library_did_it(database: ConftoolpDB, tmp_path: Path) -> None:
    """One child stores, and archiverd's own engine reads the same from what it stored."""
    assert len(database.pids) == 1
    await database.insert(7, "demo", record(b"a: 1\n", b"b: {c: 2} # d\n"))
    through_library = await held(database, 7)
    await database.close()
    assert database.pids == []
    plain = FileSystemDB(f"filesystemdb://{tmp_path}/db")
    await plain.open()
    assert await held(plain, 7) == through_library
    await plain.close()
