"""What of a run record goes where, and the proof that it is there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from archiverd import fhicl
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.port import Entity, ExportedEntity
from archiverd.artdaqdb.schema import load_schema, parse_schema
from archiverd.core.errors import ArtdaqDBError, FclPreperationError, FhiclError, Retry
from archiverd.journal.rows import FileFate
from archiverd.pipeline.import_plan import (
    LEFT_OUT_BY_ANOTHER,
    Plan,
    ends_in,
    fates_of_found,
    lacks_its_end,
    plan_import,
    prove,
    with_standing,
)
from archiverd.pipeline.importer import Importer
from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.preparation import prepare
from archiverd.runrecord.record import RecordFile, RunRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

METADATA = b"Config name: demo\nDAQInterface start time: x\n"
STOPPED = METADATA + b"\nDAQInterface stop time: y\n"


def record(**files: bytes) -> RunRecord:
    """Return a run record with metadata.txt and these files; ``__`` stands for a dot."""
    named = {name.replace("__", "."): data for name, data in files.items()}
    return RunRecord(7, tuple(RecordFile(name, data) for name, data in sorted(named.items())))


def test_a_stopped_run_has_an_update_and_a_running_one_has_not() -> None:
    """RunHistory2 is stored as an update once there is a stop line, with the schema beside it."""
    schema = load_schema(None)
    for data, names in ((METADATA, []), (STOPPED, ["RunHistory2", "schema"])):
        plan = plan_import(prepare(record(metadata__txt=data), BY_DEFAULT), schema, "archive")
        assert [one.name for one in plan.update] == names
        assert {one.name for one in plan.entities} == {"RunHistory", "metadata", "hashes", "schema"}
        assert plan.configuration == "demo"


@pytest.mark.parametrize("policy", ["archive", "report"])
def test_a_file_without_a_rule_is_treated_as_asked(policy: str) -> None:
    """`archive` stores it under its stem, `report` leaves it out; both name it."""
    plan = plan_import(prepare(record(**{"my reader__fcl": b"a: 1\n"}), BY_DEFAULT), load_schema(None), policy)  # type: ignore[arg-type]
    archived = {one.name for one in plan.entities}
    assert ("my reader" in archived) == (policy == "archive")
    (fate,) = [fate for fate in plan.fates if fate.name == "my reader.fcl"]
    assert "no rule of schema.fcl takes it" in fate.reason


def test_with_fail_a_file_without_a_rule_or_not_fhicl_fails_the_run() -> None:
    """Who wants all or nothing gets an error that names the file."""
    with pytest.raises(FclPreperationError, match=r"my reader\.fcl: no rule"):
        plan_import(prepare(record(**{"my reader__fcl": b"a: 1\n"}), BY_DEFAULT), load_schema(None), "fail")
    with pytest.raises(FhiclError, match=r"tpc\.fcl:1:4"):
        plan_import(prepare(record(tpc__fcl=b"a: ]\n"), BY_DEFAULT), load_schema(None), "fail")


def test_every_file_has_a_fate() -> None:
    """Archived, archived with a remark, left out as junk, left out as no FHiCL: each file is named (I7)."""
    files = {"metadata__txt": METADATA, "tpc__fcl": b"a: 1\n", "e__fcl": b"", "bad__fcl": b"{", "x__md": b"y"}
    plan = plan_import(prepare(record(**files), BY_DEFAULT), load_schema(None), "archive")
    fates = {fate.name: fate for fate in plan.fates if fate.entity != "RunHistory"}
    assert set(fates) == {name.replace("__", ".") for name in files}
    assert fates["tpc.fcl"] == FileFate("tpc.fcl", "tpc", "", 5, hashlib.sha256(b"a: 1\n").hexdigest())
    assert fates["e.fcl"].reason.startswith("is empty")
    assert fates["bad.fcl"].reason.startswith("not FHiCL: bad.fcl:1:1: ")
    assert fates["x.md"].entity == ""


def plan_of(*entities: Entity, update: tuple[Entity, ...] = ()) -> Plan:
    """Return a plan of these entities."""
    return Plan("demo", entities, update, None, None, ())


def test_the_proof_holds_for_what_artdaqdb_makes_of_it() -> None:
    """Regenerated text is what is expected; an update's entity takes the place of the first one's."""
    meant = plan_of(Entity("C", "a", b"x:   1"), Entity("C", "s", b"y: 1"), update=(Entity("C", "s", b"y: 2"),))
    held = [ExportedEntity("C", "a", "7/demo", b"\nx: 1 \n"), ExportedEntity("C", "s", "7/demov1", b"\ny: 2 \n")]
    prove(7, meant, held)


@pytest.mark.parametrize(
    "held",
    [
        [],
        [ExportedEntity("C", "a", "v", b"\nx: 2 \n")],
        [ExportedEntity("D", "a", "v", b"\nx: 1 \n")],
        [ExportedEntity("C", "a", "v", b"\nx: 1 \n"), ExportedEntity("C", "b", "v", b"\n")],
    ],
)
def test_the_proof_names_what_is_missing_changed_or_too_much(held: list[ExportedEntity]) -> None:
    """Anything but exactly what was meant is an error that names the entity."""
    with pytest.raises(ArtdaqDBError, match=r"What artdaqDB gives back of run 7 is not what was stored: .*[CD]/[ab]"):
        prove(7, plan_of(Entity("C", "a", b"x: 1")), held)


ENDED = record(metadata__txt=STOPPED, rc_info_stop__txt=b"comment: z\n", a__fcl=b"a: 1\n")


def archived(run_record: RunRecord, *, update: bool = False) -> dict[str, ExportedEntity]:
    """Return what artdaqDB would give back of a run record, by entity."""
    plan = plan_import(prepare(run_record, BY_DEFAULT), load_schema(None), "archive")
    entities = (*plan.entities, *(plan.update if update else ()))
    found = (
        ExportedEntity(one.collection, one.name, "7/demo", fhicl.as_exported(one.fcl, one.name)) for one in entities
    )
    return {one.name: one for one in found}


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({}, True),
        ({"RunHistory2": b'\nDAQInterface_start_time: "x" \n'}, False),  # the older tool's, of a run that was running
        ({"metadata": b'\nDAQInterface_start_time: "x"\nDAQInterface_stop_time: "y" \n'}, False),
        ({"metadata": b'\nDAQInterface_start_time: "x" \n'}, True),
        ({"a": b"\na: 2 \n"}, False),
        ({"a": None}, False),
        ({"b": b"\nb: 1 \n"}, False),
        ({"schema": b"\nrun_history: [] \n"}, True),
    ],
)
def test_only_an_archive_that_merely_lacks_the_runs_end_is_taken_for_ours(
    changes: dict[str, bytes | None], lacks: bool
) -> None:
    """What tells of an end, or differs in anything an end does not bring, is another program's and left alone."""
    held = archived(record(metadata__txt=METADATA, a__fcl=b"a: 1\n"))
    for name, fcl in changes.items():
        one = held.pop(name, ExportedEntity("RunHistory", name, "7/demo", b""))
        if fcl is not None:
            held[name] = replace(one, fcl=fcl)
    plan = plan_import(prepare(ENDED, BY_DEFAULT), load_schema(None), "archive")
    assert lacks_its_end(plan, list(held.values())) is lacks


def test_an_archive_with_the_runs_end_lacks_none_and_a_running_run_has_none() -> None:
    """Both sides of the comparison must be there: the archive without, the record with an end."""
    running = record(metadata__txt=METADATA, a__fcl=b"a: 1\n")
    for run_record, held in ((ENDED, archived(ENDED, update=True)), (running, archived(running))):
        plan = plan_import(prepare(run_record, BY_DEFAULT), load_schema(None), "archive")
        assert not lacks_its_end(plan, list(held.values()))


def test_of_another_programs_archive_only_what_is_in_it_is_listed() -> None:
    """A file that it has as we would has its content, one in its own words has none, and the rest is left out."""
    held = archived(record(metadata__txt=METADATA, a__fcl=b"a: 1\n"))
    held["metadata"] = replace(held["metadata"], fcl=b'\nconfig: "in its own words" \n')
    whole = record(metadata__txt=STOPPED, a__fcl=b"a: 1\n", b__fcl=b"b: 1\n")
    plan = plan_import(prepare(whole, BY_DEFAULT), load_schema(None), "archive")
    fates = {(fate.name, fate.entity): fate for fate in fates_of_found(plan, list(held.values()))}
    assert fates["a.fcl", "a"].sha256 == hashlib.sha256(b"a: 1\n").hexdigest()
    assert fates["metadata.txt", "metadata"].sha256 == ""
    assert fates["b.fcl", ""].reason == LEFT_OUT_BY_ANOTHER


@pytest.mark.parametrize(("text", "ends"), [(b'\nt: "y" \n', True), (b'\nt: "x" \n', False)])
def test_an_archive_without_the_end_of_its_run_is_noticed(text: bytes, ends: bool) -> None:
    """By the stop time, wherever the other program has it; a run that has not stopped lacks nothing."""
    held = [ExportedEntity("RunHistory", "metadata", "7/demo", text)]
    for data, expected in ((STOPPED, ends), (METADATA, True)):
        plan = plan_import(prepare(record(metadata__txt=data), BY_DEFAULT), load_schema(None), "archive")
        assert ends_in(plan, held) is expected


@pytest.mark.parametrize("now", [{}, {"c1__fcl": b"a: {"}])
def test_what_was_archived_of_a_file_stands_when_nothing_of_it_can_be_archived_again(now: dict[str, bytes]) -> None:
    """Though its record promises the file, or what is there now is no FHiCL: nothing is wrong with the run."""
    promising = STOPPED + b"Component #0: c1\nComponent #1: c2\n"
    first = record(metadata__txt=promising, c1__fcl=b"a: 1\n", c2__fcl=b"b: 1\n")
    again = record(metadata__txt=promising, c2__fcl=b"b: 2\n", **now)
    earlier, later = (plan_import(prepare(one, BY_DEFAULT), load_schema(None), "archive") for one in (first, again))
    plan = with_standing(later, earlier.fates)
    prove(7, plan, list((archived(first, update=True) | archived(again, update=True)).values()))
    assert [(fate.name, fate.entity) for fate in plan.standing] == [("c1.fcl", "c1")]
    assert ("c1.fcl" in plan.missing, [fate.name for fate in plan.fates if fate.name == "c1.fcl"]) == (False, [])


def test_a_rule_may_take_a_file_twice() -> None:
    """A file that two rules take becomes two entities, and its fate names both."""
    rules = "{collection: A pattern: '(.*/)(x)(.*)'}, {collection: B pattern: '(.*/)(x)(.*)'}"
    schema = parse_schema(f"run_history: [{rules}]\nsystem_layout: []\n".encode(), "s")
    plan = plan_import(prepare(record(x__fcl=b"a: 1\n"), ()), schema, "archive")
    assert sorted((one.collection, one.name) for one in plan.entities if one.name == "x") == [("A", "x"), ("B", "x")]


class Doubtful(FileSystemDB):
    """Stores, and then says that it cannot be reached: the answer was lost."""

    async def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        """See ``ArtdaqDB.insert``."""
        await super().insert(run, configuration, entities)
        raise ArtdaqDBError("the answer was lost", retry=Retry.TRANSIENT)


async def test_a_failure_after_the_fact_is_no_other_programs_run(tmp_path: Path) -> None:
    """A run that was stored though it is said that it was not is tried again: it would miss its update for ever."""
    database = Doubtful(f"filesystemdb://{tmp_path}/db")
    await database.open()
    plan = plan_import(prepare(record(metadata__txt=STOPPED), BY_DEFAULT), load_schema(None), "archive")
    nothing = cast("Any", None)
    importer = Importer(nothing, database, nothing, nothing, tmp_path, BY_DEFAULT, "archive", nothing, nothing)
    with pytest.raises(ArtdaqDBError, match="the answer was lost"):
        await importer._store(7, plan, ours=False)
    assert await database.find(7) is not None
    await database.close()
