"""The run state machine, enumerated."""

from __future__ import annotations

import itertools

import pytest

from archiverd.core.machine import (
    IN_HAND,
    ON_THEIR_WAY,
    TABLE,
    WAITING,
    Effect,
    Event,
    ForbiddenTransitionError,
    Position,
    Stage,
    State,
    find_forbidden_step,
    step,
)

WAYS = """
open: ended=queued died=queued passed_over=ignored waived=waived
queued: import_begins=importing waived=waived
importing: unsettled=open import_done=imported update_done=verified import_conflicts=conflict put_back=queued
    failed_for_now=retry_wait failed_for_good=quarantined restarted=queued
imported: upload_begins=uploading failed_for_now=retry_wait failed_for_good=quarantined waived=waived
uploading: upload_proven=verified upload_unclear=upload_unknown upload_conflicts=conflict put_back=imported
    failed_for_now=retry_wait failed_for_good=quarantined restarted=upload_unknown
upload_unknown: upload_begins=uploading failed_for_now=retry_wait failed_for_good=quarantined waived=waived
    released=upload_unknown
verified: missing=imported late_stop=queued rearchived=queued lost=queued released=imported
retry_wait: due=queued|imported waived=waived released=queued|imported lost=queued
quarantined: waived=waived released=queued|imported lost=queued
conflict: waived=waived released=queued|imported
ignored: released=queued
waived: released=queued|imported reopened=open
"""
"""Every way there is, written down a second time: ``state: event=after``, or ``=after import failed|after migrate``."""

FORBIDDEN = "forbidden"

EFFECTS = {
    State.QUEUED: {Effect.WAKE_IMPORT},
    State.IMPORTED: {Effect.WAKE_MIGRATE},
    State.UPLOAD_UNKNOWN: {Effect.WAKE_MIGRATE},
    State.RETRY_WAIT: {Effect.NOTE_FAILURE},
    State.QUARANTINED: {Effect.NOTE_FAILURE},
    State.CONFLICT: {Effect.NOTE_FAILURE},
    State.VERIFIED: {Effect.CLEAR_FAILURE},
    State.WAIVED: {Effect.CLEAR_FAILURE},
}
"""What entering a state calls for; the other states call for nothing."""


def ways() -> dict[tuple[str, str], list[str]]:
    """Return where each pair leads: one state, or one by stage."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in WAYS.strip().replace("\n    ", " ").splitlines():
        state, _, pairs = line.partition(":")
        for event, _, after in (pair.partition("=") for pair in pairs.split()):
            found[state, event] = after.split("|")
    return found


@pytest.mark.parametrize("state", State)
def test_every_pair_leads_where_it_should_or_is_forbidden(state: State) -> None:
    """A state changes along the table and in no other way, and calls for what it should (I3)."""
    expected = ways()
    for stage, event in itertools.product(Stage, Event):
        after = expected.get((state, event), [FORBIDDEN])
        if after == [FORBIDDEN]:
            with pytest.raises(ForbiddenTransitionError, match=f"{event} cannot happen to a run that is {state}"):
                step(Position(state, stage), event)
            continue
        position, effects = step(Position(state, stage), event)
        assert position.state == after[list(Stage).index(stage) % len(after)], event
        assert set(effects) == EFFECTS.get(position.state, set()), event


def test_what_is_written_down_names_only_what_there_is() -> None:
    """No way of the second writing is left out by a slip of the pen."""
    assert {(State(state), Event(event)) for state, event in ways()} == TABLE.keys()


STORY = [("ended", "queued"), ("import_begins", "importing"), ("import_done", "imported")]


@pytest.mark.parametrize(
    ("told", "stray"),
    [
        (STORY, ""),
        (STORY[1:], ""),
        ([STORY[0], ("first_phase_done", "queued"), *STORY[1:]], ""),
        ([STORY[0], ("first_phase_done", "imported"), *STORY[1:]], "queued → first_phase_done → imported"),
        ([STORY[0], STORY[2]], "queued → import_done → imported"),
        ([*STORY, ("upload_begins", "verified")], "imported → upload_begins → verified"),
        ([("upload_proven", "open")], "? → upload_proven → open"),
    ],
)
def test_a_story_off_the_table_is_noticed(told: list[tuple[str, str]], stray: str) -> None:
    """What a journal tells of a run can be followed step by step, from wherever it begins (I3)."""
    assert find_forbidden_step(told) == stray


def walk(*events: Event) -> Position:
    """Follow ``events`` from a run that was just seen."""
    position = Position(State.OPEN, Stage.IMPORT)
    for event in events:
        position, _ = step(position, event)
    return position


def test_a_run_that_goes_well_ends_verified() -> None:
    """The straight line leads from open to verified."""
    straight = (
        Event.ENDED,
        Event.IMPORT_BEGINS,
        Event.IMPORT_DONE,
        Event.UPLOAD_BEGINS,
        Event.UPLOAD_PROVEN,
    )
    assert walk(*straight) == Position(State.VERIFIED, Stage.MIGRATE)


def test_only_a_proof_leads_to_verified() -> None:
    """A proof from uploading makes a run verified; the late update of a verified one leaves it so (I1, I8)."""
    ways = {key for key, answer in TABLE.items() if answer == State.VERIFIED}
    assert ways == {(State.UPLOADING, Event.UPLOAD_PROVEN), (State.IMPORTING, Event.UPDATE_DONE)}


def test_nothing_leaves_verified_by_itself() -> None:
    """Only a stop line that came after all, a loss in a database, and an operator take a verified run up again."""
    leaving = {event for state, event in TABLE if state is State.VERIFIED}
    assert leaving == {Event.LATE_STOP, Event.REARCHIVED, Event.MISSING, Event.LOST, Event.RELEASED}


@pytest.mark.parametrize("state", list(State))
def test_every_state_can_be_reached(state: State) -> None:
    """No state is dead code: an event leads to each but the one a run begins in."""
    if state is State.OPEN:
        return
    reached = set()
    for answer in TABLE.values():
        reached |= set(answer.values()) if isinstance(answer, dict) else {answer}
    assert state in reached


def test_a_restart_moves_every_run_in_hand_and_no_other() -> None:
    """After a crash no run is left in the middle of an effect (I6)."""
    assert {state for state, event in TABLE if event is Event.RESTARTED} == set(IN_HAND)


def test_an_upload_cut_by_a_restart_is_unknown_not_new() -> None:
    """A put that may have been sent is looked up before it is sent again (I5)."""
    assert walk(Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS, Event.RESTARTED) == Position(
        State.UPLOAD_UNKNOWN, Stage.MIGRATE
    )


def test_a_failed_upload_does_not_go_back_to_the_import() -> None:
    """A retry takes a run up in the stage where it failed."""
    failed = walk(Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS, Event.FAILED_FOR_NOW)
    assert failed == Position(State.RETRY_WAIT, Stage.MIGRATE)
    assert step(failed, Event.DUE)[0] == Position(State.IMPORTED, Stage.MIGRATE)


def test_a_waiting_state_wakes_its_stage() -> None:
    """Entering a state in which a stage may pick a run up wakes that stage."""
    wakes = {Stage.IMPORT: Effect.WAKE_IMPORT, Stage.MIGRATE: Effect.WAKE_MIGRATE}
    for (state, event), answer in TABLE.items():
        for stage in Stage:
            after, effects = step(Position(state, stage), event)
            for waiting_stage, states in WAITING.items():
                assert (wakes[waiting_stage] in effects) == (after.state in states), (state, event, answer)


def test_a_run_on_its_way_has_the_stage_that_its_state_tells() -> None:
    """Whoever counts runs by state knows how many stages are before them."""
    assert set(ON_THEIR_WAY) == {*WAITING[Stage.IMPORT], *WAITING[Stage.MIGRATE], *IN_HAND}
    for state, event in TABLE:
        for stage in Stage:
            after, _ = step(Position(state, stage), event)
            assert ON_THEIR_WAY.get(after.state, after.stage) is after.stage
