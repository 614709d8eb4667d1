"""Common error messages: two that need no hands any more, one that cannot come about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.port import Entity
from archiverd.core.errors import ArtdaqDBError
from archiverd.core.machine import State

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runbook.conftest import Desk


def test_each_message_says_what_to_do(desk: Desk) -> None:
    """Both that a site can meet come as one line with their remedy, and stop nothing."""
    desk.one_run()
    desk.edit("fhiclize_generate", fhiclize_generate=["boot", "metadata", "custom_config.txt"])
    desk.work.mkdir()
    (desk.work / "import_failures.log").write_text("run seven\n")
    said = desk.archiver()
    assert said.returncode == 0
    assert re.search(r"Failed to parse run records file .*\(kept as import_failures\.log\.corrupted", said.stderr)
    assert re.search(r"No converter found for configured file: custom_config\.txt.*\(.*fhiclize_generate", said.stderr)
    desk.prove(7)


def test_a_corrupt_failure_log(desk: Desk) -> None:
    """The guide's words; the file is set aside and written anew by itself, and no failed run is forgotten."""
    desk.three_runs()
    desk.break_run(8)
    assert desk.archiver().returncode == 1
    log = desk.work / "import_failures.log"
    log.write_text("8\n12e45\n")
    said = desk.archiver("--incremental")
    assert f"Failed to parse run records file {log}: invalid literal" in said.stderr
    assert (desk.work / "import_failures.log.corrupted").read_text() == "8\n12e45\n"
    assert desk.failed("import_failures.log") == [8]
    desk.mend_run(8)
    assert desk.archiver("--retry-failed-import").returncode == 0
    desk.prove(7, 8, 9)


def test_a_listed_file_without_converter(desk: Desk) -> None:
    """The guide's words, the name as it is written; the run is archived all the same, and unlisted nothing is said."""
    desk.one_run()
    (desk.records / "7" / "custom_config.txt").write_text("key: value\n")
    names = ["boot", "metadata", "settings", "environment", "custom_config.txt"]
    desk.edit("fhiclize_generate", fhiclize_generate=names)
    said = desk.archiver()
    assert said.returncode == 0
    assert "No converter found for configured file: custom_config.txt" in said.stderr
    assert "custom_config.txt" in desk.run("why", "7").stdout
    desk.edit("fhiclize_generate", fhiclize_generate=names[:-1])
    assert "No converter found" not in desk.archiver().stderr
    desk.prove(7)


async def test_an_update_of_what_is_not_there(desk: Desk, tmp_path: Path) -> None:
    """The database says the guide's words; no site meets them, for what artdaqDB has lost is stored anew first."""
    db = FileSystemDB(f"filesystemdb://{tmp_path}/other")
    await db.open()
    with pytest.raises(ArtdaqDBError, match=r"^Configuration 12345/BootDAQ not found for update$"):
        await db.update(12345, "BootDAQ", [Entity("RunHistory", "RunHistory2", b"a: 1\n")])
    await db.close()
    desk.edit("watch", abandon_after_seconds=0)
    desk.one_run()
    metadata = desk.records / "7" / "metadata.txt"
    whole = metadata.read_text()
    metadata.write_text(re.sub(r"(?m)^DAQInterface stop time:.*\n", "", whole))
    assert desk.archiver().returncode == 0
    assert desk.rows()[7].dead
    for left in (desk.root / "artdaqdb").glob("*/*"):
        left.unlink()
    metadata.write_text(whole)
    assert desk.archiver().returncode == 0
    assert "not found for update" not in desk.archiver_log.read_text()
    row = desk.rows()[7]
    assert (row.state, row.superseded) == (State.VERIFIED, 1)
    assert desk.run("export", "7", str(desk.root / "out"), "--from", "artdaqdb").returncode == 0
    assert any((desk.root / "out").rglob("RunHistory2*"))
