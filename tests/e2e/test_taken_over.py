"""Runs that another program archived: what it holds is listed, what it left out is named, and a missing end is told."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.schema import load_schema, parse_schema
from archiverd.core.machine import State
from archiverd.pipeline.import_plan import HASHES, LEFT_OUT_BY_ANOTHER, plan_import
from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.preparation import prepare
from archiverd.runrecord.record import read_run_record
from tests.e2e.test_operations import stop, unstop

if TYPE_CHECKING:
    from archiverd.artdaqdb.port import ExportedEntity
    from archiverd.artdaqdb.schema import Schema

    from .conftest import Site

OF_SBND = ("--profile", "sbnd", "--fcl", "dumped", "--crash", "0", "--gaps", "0", "--no-chmod", "--first", "7")
OF_DEMO = ("--profile", "demo", *OF_SBND[2:])
PUBLISHED = parse_schema(
    rb"""run_history: [
      { collection: RunHistory  pattern: '(.*/)(metadata|boot|known_boardreaders_list|user_setings)(\.fcl$)' },
      { collection: RunHistory  pattern: '(.*/)(RunHistory2?)(\.fcl$)' },
      { collection: RunHistory  pattern: '(.*/)((?:component|pmt|tpc|wib|EventBuilder)[0-9]+)(\.fcl$)' }
    ]
    system_layout: [ { collection: SystemLayout  pattern: '(.*/)(schema)(\.fcl$)' } ]
    """,
    "published",
)
"""As published: no rule for setup, settings, environment and ranks, nor for the newer labels of processes."""


def import_as_another_program(site: Site, run: int, schema: Schema) -> None:
    """Put a run's record, as it is now, into artdaqDB as the older tool does: what no rule takes is dropped."""
    record = read_run_record(site.records / str(run), run)
    plan = plan_import(prepare(record, BY_DEFAULT), schema, "report")
    entities = [one for one in plan.entities if one.name != HASHES]

    async def store() -> None:
        db = FileSystemDB(f"filesystemdb://{site.root}/artdaqdb")
        await db.open()
        await db.insert(run, plan.configuration, entities)
        if plan.update:
            await db.update(run, plan.configuration, plan.update)
        await db.close()

    asyncio.run(store())


def exported(site: Site, run: int) -> list[ExportedEntity]:
    """Return what artdaqDB gives back of a run."""

    async def read() -> list[ExportedEntity]:
        db = FileSystemDB(f"filesystemdb://{site.root}/artdaqdb")
        await db.open()
        found = list(await db.export(run))
        await db.close()
        return found

    return asyncio.run(read())


def files_of(site: Site, run: int) -> list[dict[str, Any]]:
    """Return what `why` says of each file of a run."""
    files: list[dict[str, Any]] = json.loads(site.run("why", str(run), "--json").stdout)["files"]
    return files


def test_of_runs_taken_over_only_what_is_held_is_listed_as_archived(site: Site) -> None:
    """The rest of the record is named, each file as left out by the other program, and counted."""
    site.make(*OF_SBND, "--runs", "2")
    for run in (7, 8):
        import_as_another_program(site, run, PUBLISHED)
    assert site.run("once").returncode == 0
    for run in (7, 8):
        held = {one.name for one in exported(site, run)}
        there = {path.name for path in (site.records / str(run)).iterdir()}
        files = files_of(site, run)
        archived = {one["name"] for one in files if one["entity"]} - {"(generated)"}
        left_out = {one["name"]: one["reason"] for one in files if not one["entity"]}
        assert archived == {name for name in there if name.rpartition(".")[0] in held}
        assert left_out == dict.fromkeys(there - archived, LEFT_OUT_BY_ANOTHER)
        assert {"setup.txt", "settings.txt", "ranks.txt", "ntb01.fcl", "crtMINOSPULL.fcl"} <= left_out.keys()
        said = site.run("why", str(run)).stdout
        assert f"files left out: {len(left_out)}" in said
        assert f"archived by another program and left as it is; {len(left_out)} files of its record not in it" in said
        row = site.rows()[run]
        assert (row.state, row.no_end, row.incomplete) == (State.VERIFIED, False, False)
        site.assert_proven(row)
    assert site.run("reconcile", "--deep").returncode == 0


def test_a_run_that_another_program_imported_before_its_end_gets_it_as_the_next_version(site: Site) -> None:
    """Where nothing else is missing its end is added as it is to a run of ours."""
    site.make(*OF_DEMO, "--runs", "1")
    unstop(site, 7)
    import_as_another_program(site, 7, load_schema(None))
    stop(site, 7)
    assert site.run("once").returncode == 0
    row = site.rows()[7]
    assert (row.state, row.no_end) == (State.VERIFIED, False)
    assert {one.name: one.version.rpartition("v")[2] for one in exported(site, 7)}["RunHistory2"] == "1"
    assert b"23:59:59" in site.blob(7)
    assert site.run("reconcile", "--deep").returncode == 0


@pytest.mark.parametrize("moved", [False, True], ids=["there", "moved away"])
def test_an_end_that_cannot_be_added_is_a_flag_that_an_operator_acknowledges(site: Site, moved: bool) -> None:
    """`no_end`: told by `why`, listed by `reconcile`, which exits 0; acknowledged it is listed no more."""
    site.make(*OF_DEMO, "--runs", "2")
    unstop(site, 7)
    for run in (7, 8):
        import_as_another_program(site, run, PUBLISHED)
    stop(site, 7)
    assert site.run("once").returncode == 0
    rows = site.rows()
    assert {run: (row.state, row.no_end) for run, row in rows.items()} == {
        7: (State.VERIFIED, True),
        8: (State.VERIFIED, False),
    }
    before, fates = site.blob(7), files_of(site, 7)
    assert b"23:59:59" not in before
    assert "no end: another program archived it before its stop line" in site.run("why", "7").stdout
    if moved:
        (site.records / "7").rename(site.root / "moved")
    acknowledge(site, "no_end")
    assert site.blob(7) == before
    assert files_of(site, 7) == fates


def test_a_run_that_lacks_promised_files_is_acknowledged(site: Site) -> None:
    """`incomplete` likewise."""
    site.settings = "[watch]\nfinal_wait_seconds = 0.5\n"
    site.configure()
    site.make(*OF_DEMO, "--runs", "1")
    (site.records / "7" / "component01.fcl").unlink()
    assert site.run("once").returncode == 0
    fates = files_of(site, 7)
    acknowledge(site, "incomplete")
    assert files_of(site, 7) == fates


def acknowledge(site: Site, flag: str) -> None:
    """Check that `reconcile` lists run 7 under ``flag`` and exits 0, and no more once an operator has accepted it."""
    for accepted in (False, True):
        shown = site.run("reconcile")
        assert shown.returncode == 0, shown.stdout
        assert ("`archiverd rearchive 7 --accept` acknowledges it" in shown.stdout) is not accepted
        assert json.loads(site.run("reconcile", "--json").stdout)["flags"][flag] == ([] if accepted else [7])
        assert bool(getattr(site.rows()[7], flag)) is not accepted
        if not accepted:
            assert site.run("rearchive", "7", "--accept").returncode == 0
    assert "an operator lets stand what was archived" in site.run("why", "7").stdout


@pytest.mark.parametrize("profile", [OF_DEMO, OF_SBND], ids=["demo", "sbnd"])
@pytest.mark.parametrize("strange", [False, True], ids=["", "and more"])
def test_a_run_taken_over_is_archived_again_when_it_changes(
    site: Site, profile: tuple[str, ...], strange: bool
) -> None:
    """Added files go to artdaqDB as the next version, with `--override` to UconDB; what it held before stays there."""
    site.make(*profile, "--runs", "1")
    extra = site.records / "7" / "component77.fcl"
    if strange:  # the other program archived a file that is not in the record
        extra.write_text("a: 1\n")
    import_as_another_program(site, 7, PUBLISHED)
    extra.unlink(missing_ok=True)
    assert site.run("once").returncode == 0
    held, before = {one.name for one in exported(site, 7)}, site.blob(7)
    (site.records / "7" / "late01.fcl").write_text("extra_parameter: 4711\n")
    site.run("reconcile")
    assert site.rows()[7].changed.added == ("late01.fcl",)
    done = site.run("rearchive", "7")
    assert done.returncode == 0, done.stderr
    row = site.rows()[7]
    assert (row.state, row.superseded, bool(row.changed), site.blob(7) == before) == (State.VERIFIED, True, False, True)
    assert held | {"late01"} <= {one.name for one in exported(site, 7)}
    assert site.run("rearchive", "7", "--override").returncode == 0
    assert b"4711" in site.blob(7)
    assert {one["name"]: one["entity"] for one in files_of(site, 7)}["late01.fcl"] == "late01"
    assert site.run("reconcile", "--deep").returncode == 0
