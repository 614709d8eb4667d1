"""One run, through every backend: what comes back is the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.backends import through_tools
from archiverd.artdaqdb.conftoolp.store import ConftoolpDB
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.mongo.store import MongoDB
from archiverd.artdaqdb.schema import load_schema
from archiverd.config.models import ArtdaqDb
from archiverd.pipeline.import_plan import plan_import, prove
from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.preparation import prepare
from archiverd.runrecord.record import read_run_record
from tests.artdaqdb.conftoolp.conftest import STANDIN, library_settings
from tests.artdaqdb.mongo.conftest import scripted
from tests.artdaqdb.tools import standin

if TYPE_CHECKING:
    from archiverd.artdaqdb.port import ArtdaqDB, ExportedEntity
    from archiverd.pipeline.import_plan import Plan
    from tests.artdaqdb.mongo.scripted import Scripted

__all__ = ["scripted"]

MAKER = Path(__file__).parents[1] / "tools" / "make_run_records.py"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Return what importing a run means whose files are as DAQInterface dumps them."""
    command = [sys.executable, str(MAKER), str(tmp_path / "records"), "--runs", "1", "--first", "7", "--gaps", "0"]
    command += ["--profile", "demo", "--fcl", "dumped", "--crash", "0", "--no-chmod"]
    subprocess.run(command, check=True)
    return plan_import(
        prepare(read_run_record(tmp_path / "records" / "7", 7), BY_DEFAULT), load_schema(None), "archive"
    )


async def through(database: ArtdaqDB, plan: Plan) -> list[ExportedEntity]:
    """Import the run, its update too, prove it, and return its export."""
    await database.open()
    try:
        assert await database.insert(7, plan.configuration, plan.entities)
        await database.update(7, plan.configuration, plan.update)
        held = await database.export(7)
        prove(7, plan, held)
        return list(held)
    finally:
        await database.close()


async def test_a_run_comes_back_the_same_from_every_backend(tmp_path: Path, plan: Plan, scripted: Scripted) -> None:
    """Built-in engine, MongoDB, command line tools and library export the same entities, byte for byte."""
    tools = through_tools(
        ArtdaqDb(
            database_uri=f"filesystemdb://{tmp_path}/tools",
            conftoolp_dir=standin.install(tmp_path / "bundle"),
            fcl_conf_dir=tmp_path,
            call_timeout_seconds=60,
        )
    )
    backends: list[ArtdaqDB] = [
        FileSystemDB(f"filesystemdb://{tmp_path}/files"),
        MongoDB(ArtdaqDb(database_uri=scripted.uri)),
        tools,
        ConftoolpDB(library_settings(f"filesystemdb://{tmp_path}/library", STANDIN, seconds=60), 1),
    ]
    exports = [{(one.collection, one.name): one.fcl for one in await through(db, plan)} for db in backends]
    assert len(exports[0]) > 10
    for other in exports[1:]:
        assert other == exports[0]
