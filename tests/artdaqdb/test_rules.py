"""What an insert or update has to do, by what is archived: decided once for all backends."""

from __future__ import annotations

import pytest

from archiverd import fhicl
from archiverd.artdaqdb.port import ArchivedRun, Entity
from archiverd.artdaqdb.rules import (
    RUN_HISTORY,
    SCHEMA_ENTITY,
    SYSTEM_LAYOUT,
    InsertState,
    Key,
    decide_insert,
    decide_update,
    has_other_name,
    not_as_stored,
)
from archiverd.core.errors import ArtdaqDBError, Retry

A, SCHEMA = Entity(RUN_HISTORY, "a", b"a: 1\n"), Entity(SYSTEM_LAYOUT, SCHEMA_ENTITY, b"s: []\n")
BOTH = (A, SCHEMA)
OURS, OTHER = ArchivedRun(7, "7/demo", 0), ArchivedRun(7, "7/else", 0)


def held(*entities: Entity) -> dict[Key, bytes]:
    """Return what a database would export of ``entities``."""
    return {
        (one.collection, one.name): fhicl.from_json(fhicl.to_json(one.fcl, one.name, ""), one.name) for one in entities
    }


@pytest.mark.parametrize(
    ("found", "there", "state", "missing", "conflict"),
    [
        (None, {}, InsertState.NEW, BOTH, ""),
        (None, held(A), InsertState.HALF_STORED, (SCHEMA,), ""),
        (None, held(*BOTH), InsertState.HALF_STORED, (), ""),
        (OURS, held(*BOTH), InsertState.ARCHIVED, (), ""),
        (OURS, held(SCHEMA), InsertState.INCOMPLETE, (), "it lacks what this record holds: a"),
        (OTHER, {}, InsertState.OTHER_NAME, (), "this record's configuration is demo"),
        (None, held(Entity(RUN_HISTORY, "a", b"a: 2\n")), InsertState.OTHER_CONTENT, (), "its entity a is another"),
        (
            OURS,
            held(*BOTH, Entity(RUN_HISTORY, "b", b"b: 1\n")),
            InsertState.OTHER_CONTENT,
            (),
            "it holds what this record does not: b",
        ),
    ],
)
def test_an_insert_stores_what_is_missing_or_is_refused(
    found: ArchivedRun | None, there: dict[Key, bytes], state: InsertState, missing: tuple[Entity, ...], conflict: str
) -> None:
    """Only a run that does not count as archived is completed; whatever else is there stays as it is."""
    decision = decide_insert(found, "7/demo", there, BOTH)
    assert (decision.state, decision.missing, decision.conflict) == (state, missing, conflict)
    if not conflict:
        assert decision.to_store(7) == missing
        return
    with pytest.raises(ArtdaqDBError, match=r"is already archived\.$") as raised:
        decision.to_store(7)
    assert (raised.value.retry, raised.value.context["difference"]) == (Retry.CONFLICT, conflict)


def test_a_backend_that_cannot_tell_versions_apart_takes_what_is_beyond_for_an_update() -> None:
    """Bulkdownloader gives a run's updates with it; while it does not count as archived there can be none."""
    there = held(*BOTH, Entity(RUN_HISTORY, "b", b"b: 1\n"))
    assert decide_insert(OURS, "7/demo", there, BOTH, updates=True).state is InsertState.ARCHIVED
    assert decide_insert(None, "7/demo", there, BOTH, updates=True).state is InsertState.OTHER_CONTENT


def test_the_content_of_another_configuration_is_not_asked_for() -> None:
    """What ``7/demo`` holds matters only if the run is archived so, or not at all."""
    assert [has_other_name(found, "7/demo") for found in (None, OURS, OTHER)] == [False, False, True]


@pytest.mark.parametrize(
    ("number", "there", "whole", "version", "missing"),
    [
        (0, {}, True, "7/demov1", BOTH),
        (2, held(*BOTH), True, "7/demov2", ()),
        (2, held(A), False, "7/demov2", (SCHEMA,)),
        (2, held(A), True, "7/demov3", BOTH),
        (9, held(Entity(RUN_HISTORY, "a", b"a: 2\n")), False, "7/demov10", BOTH),
    ],
)
def test_an_update_repeats_completes_or_follows_the_newest(
    number: int, there: dict[Key, bytes], whole: bool, version: str, missing: tuple[Entity, ...]
) -> None:
    """The same update again stores nothing, one that was interrupted is completed, any other is the next."""
    decision = decide_update("7/demo", number, f"7/demov{number}", there, BOTH, whole=whole)
    assert (decision.version, decision.missing) == (version, missing)


def test_what_is_read_back_must_be_what_was_stored() -> None:
    """An entity that is lacking is named before one that differs; what else is there does not count."""
    assert not not_as_stored(held(*BOTH, Entity(RUN_HISTORY, "b", b"b: 1\n")), BOTH)
    assert not_as_stored(held(Entity(SYSTEM_LAYOUT, SCHEMA_ENTITY, b"s: [1]\n")), BOTH) == "it lacks a"
    assert not_as_stored(held(A, Entity(SYSTEM_LAYOUT, SCHEMA_ENTITY, b"s: [1]\n")), BOTH) == (
        "its entity schema is another"
    )
