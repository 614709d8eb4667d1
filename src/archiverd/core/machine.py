"""The run state machine: a pure table `(state, event) → state`, and the effects of entering a state.

Every change of a run's state is an event in this module, which knows no clock, files, databases or asyncio. Code that
acts on the outside world records the event before the act (an intent) or after it (an outcome); the journal stores
the result of `step`.

The states of a run that is archived without trouble::

    open ──ENDED──▶ queued ──IMPORT_BEGINS──▶ importing ──IMPORT_DONE──▶ imported
         ──UPLOAD_BEGINS──▶ uploading ──UPLOAD_PROVEN──▶ verified
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class State(enum.StrEnum):
    """The state of a run (design.md, "A run's life")."""

    OPEN = "open"
    QUEUED = "queued"
    IMPORTING = "importing"
    IMPORTED = "imported"
    UPLOADING = "uploading"
    UPLOAD_UNKNOWN = "upload_unknown"
    VERIFIED = "verified"
    RETRY_WAIT = "retry_wait"
    QUARANTINED = "quarantined"
    CONFLICT = "conflict"
    IGNORED = "ignored"
    WAIVED = "waived"


class Stage(enum.StrEnum):
    """The stage that has a run in hand, and that takes it up again after a failure."""

    IMPORT = "import"
    MIGRATE = "migrate"


class Event(enum.StrEnum):
    """An event in the life of a run."""

    ENDED = "ended"
    """Its record is final: it has its stop line and changes no more."""
    DIED = "died"
    """It has no stop line and will get none."""
    PASSED_OVER = "passed_over"
    """The backfill rule leaves it out."""
    IMPORT_BEGINS = "import_begins"
    UNSETTLED = "unsettled"
    """The record is not the one that had ended, or not any more; nothing of it was stored."""
    IMPORT_DONE = "import_done"
    UPDATE_DONE = "update_done"
    """A late stop line is in artdaqDB; UconDB's version stays as it is."""
    IMPORT_CONFLICTS = "import_conflicts"
    """ArtdaqDB holds another run under this number."""
    UPLOAD_BEGINS = "upload_begins"
    UPLOAD_PROVEN = "upload_proven"
    UPLOAD_UNCLEAR = "upload_unclear"
    """A put was sent; its outcome is not known."""
    UPLOAD_CONFLICTS = "upload_conflicts"
    """UconDB holds other content under the run's key."""
    FAILED_FOR_NOW = "failed_for_now"
    """A transient failure: the run is tried again when due."""
    FAILED_FOR_GOOD = "failed_for_good"
    """A permanent failure: an operator must act."""
    PUT_BACK = "put_back"
    """The backend failed, not the run, which waits where it was; nothing is counted against it."""
    MISSING = "missing"
    """UconDB no longer has what was proven to be there."""
    LOST = "lost"
    """ArtdaqDB no longer has what was imported, and an operator wants it imported again."""
    REARCHIVED = "rearchived"
    """An operator wants what changed in its directory since archived as well."""
    LATE_STOP = "late_stop"
    """The stop line of a run archived as dead has come."""
    DUE = "due"
    """The wait of a retry is over."""
    RESTARTED = "restarted"
    """The journal has the run in the middle of an effect that nobody works on."""
    WAIVED = "waived"
    """An operator leaves the run out."""
    REOPENED = "reopened"
    """An operator puts a run back that was waived before it ended."""
    RELEASED = "released"
    """An operator puts back a run that was set aside; one in conflict or verified, to replace UconDB's version."""


class Effect(enum.StrEnum):
    """An effect of entering a state, carried out by the code that recorded the event."""

    WAKE_IMPORT = "wake_import"
    WAKE_MIGRATE = "wake_migrate"
    NOTE_FAILURE = "note_failure"
    CLEAR_FAILURE = "clear_failure"


UNDER_WAY: dict[Stage, tuple[State, ...]] = {
    Stage.IMPORT: (State.QUEUED, State.IMPORTING),
    Stage.MIGRATE: (State.IMPORTED, State.UPLOADING, State.UPLOAD_UNKNOWN),
}
"""By stage, the states of runs that it takes up or has in hand."""

ON_THEIR_WAY: dict[State, Stage] = {state: stage for stage, states in UNDER_WAY.items() for state in states}
"""The states of runs that a stage takes up or has in hand, and which stage that is."""

IN_HAND = (State.IMPORTING, State.UPLOADING)
"""The states in which a stage is in the middle of an effect; a restart moves them on."""

WAITING: dict[Stage, tuple[State, ...]] = {
    stage: tuple(state for state in states if state not in IN_HAND) for stage, states in UNDER_WAY.items()
}
"""By stage, the states in which it may pick a run up."""

MAY_BE_DUE = (State.RETRY_WAIT, State.UPLOAD_UNKNOWN)
"""The states in which a run may wait until it is due."""

RETRIABLE = (*MAY_BE_DUE, State.QUARANTINED)
"""The states that a retry takes a run out of; one in conflict it only compares again."""

TROUBLE = (*RETRIABLE, State.CONFLICT)
"""The states of runs that could not be archived so far."""

SET_ASIDE = (State.QUARANTINED, State.CONFLICT)
"""The states out of which no run comes by itself."""

LEFT_OUT = (State.WAIVED, State.IGNORED)
"""The states of runs that are not to be archived."""

FINISHED = (State.VERIFIED, *LEFT_OUT)
"""The states of runs that no stage has anything left to do for."""

TABLE: dict[tuple[State, Event], State | dict[Stage, State]] = {
    (State.OPEN, Event.ENDED): State.QUEUED,
    (State.OPEN, Event.DIED): State.QUEUED,
    (State.OPEN, Event.PASSED_OVER): State.IGNORED,
    (State.QUEUED, Event.IMPORT_BEGINS): State.IMPORTING,
    (State.IMPORTING, Event.UNSETTLED): State.OPEN,
    (State.IMPORTING, Event.IMPORT_DONE): State.IMPORTED,
    (State.IMPORTING, Event.UPDATE_DONE): State.VERIFIED,
    (State.IMPORTING, Event.IMPORT_CONFLICTS): State.CONFLICT,
    (State.IMPORTING, Event.PUT_BACK): State.QUEUED,
    (State.IMPORTING, Event.FAILED_FOR_NOW): State.RETRY_WAIT,
    (State.IMPORTING, Event.FAILED_FOR_GOOD): State.QUARANTINED,
    (State.IMPORTING, Event.RESTARTED): State.QUEUED,
    (State.IMPORTED, Event.UPLOAD_BEGINS): State.UPLOADING,
    (State.IMPORTED, Event.FAILED_FOR_NOW): State.RETRY_WAIT,
    (State.IMPORTED, Event.FAILED_FOR_GOOD): State.QUARANTINED,
    (State.UPLOAD_UNKNOWN, Event.UPLOAD_BEGINS): State.UPLOADING,
    (State.UPLOAD_UNKNOWN, Event.FAILED_FOR_NOW): State.RETRY_WAIT,
    (State.UPLOAD_UNKNOWN, Event.FAILED_FOR_GOOD): State.QUARANTINED,
    (State.UPLOADING, Event.UPLOAD_PROVEN): State.VERIFIED,
    (State.UPLOADING, Event.UPLOAD_UNCLEAR): State.UPLOAD_UNKNOWN,
    (State.UPLOADING, Event.UPLOAD_CONFLICTS): State.CONFLICT,
    (State.UPLOADING, Event.PUT_BACK): State.IMPORTED,
    (State.UPLOADING, Event.FAILED_FOR_NOW): State.RETRY_WAIT,
    (State.UPLOADING, Event.FAILED_FOR_GOOD): State.QUARANTINED,
    (State.UPLOADING, Event.RESTARTED): State.UPLOAD_UNKNOWN,
    (State.VERIFIED, Event.MISSING): State.IMPORTED,
    (State.VERIFIED, Event.LATE_STOP): State.QUEUED,
    (State.VERIFIED, Event.REARCHIVED): State.QUEUED,
    (State.VERIFIED, Event.LOST): State.QUEUED,
    (State.RETRY_WAIT, Event.LOST): State.QUEUED,
    (State.QUARANTINED, Event.LOST): State.QUEUED,
    (State.RETRY_WAIT, Event.DUE): {Stage.IMPORT: State.QUEUED, Stage.MIGRATE: State.IMPORTED},
    (State.OPEN, Event.WAIVED): State.WAIVED,
    (State.QUEUED, Event.WAIVED): State.WAIVED,
    (State.IMPORTED, Event.WAIVED): State.WAIVED,
    (State.UPLOAD_UNKNOWN, Event.WAIVED): State.WAIVED,
    (State.RETRY_WAIT, Event.WAIVED): State.WAIVED,
    (State.QUARANTINED, Event.WAIVED): State.WAIVED,
    (State.CONFLICT, Event.WAIVED): State.WAIVED,
    (State.RETRY_WAIT, Event.RELEASED): {Stage.IMPORT: State.QUEUED, Stage.MIGRATE: State.IMPORTED},
    (State.QUARANTINED, Event.RELEASED): {Stage.IMPORT: State.QUEUED, Stage.MIGRATE: State.IMPORTED},
    (State.WAIVED, Event.RELEASED): {Stage.IMPORT: State.QUEUED, Stage.MIGRATE: State.IMPORTED},
    (State.CONFLICT, Event.RELEASED): {Stage.IMPORT: State.QUEUED, Stage.MIGRATE: State.IMPORTED},
    (State.UPLOAD_UNKNOWN, Event.RELEASED): State.UPLOAD_UNKNOWN,
    (State.WAIVED, Event.REOPENED): State.OPEN,
    (State.IGNORED, Event.RELEASED): State.QUEUED,
    (State.VERIFIED, Event.RELEASED): State.IMPORTED,
}
"""Every allowed change of state (I3); by stage where the next state depends on the stage the run was in."""


def states_before(*events: Event) -> tuple[State, ...]:
    """Return the states in which one of ``events`` can happen to a run."""
    return tuple(state for state in State if any((state, event) in TABLE for event in events))


WAIVABLE = states_before(Event.WAIVED)
"""The states of runs that an operator can waive."""

RELEASABLE = states_before(Event.RELEASED, Event.REOPENED)
"""The states of runs that an operator can release; a verified one only if it is superseded."""

NEEDS_OVERRIDE = (State.VERIFIED, State.CONFLICT)
"""The states in which a release replaces UconDB's version, and so needs ``--override``."""

RETRIED = tuple(state for state in RELEASABLE if state is not State.VERIFIED)
"""The states out of which a retry that an operator asks for takes a run; in the others it is on its way already."""

LOSABLE = states_before(Event.LOST)
"""The states in which a run that was imported may turn out to be lost."""

_EFFECTS: dict[State, tuple[Effect, ...]] = {
    State.QUEUED: (Effect.WAKE_IMPORT,),
    State.IMPORTED: (Effect.WAKE_MIGRATE,),
    State.UPLOAD_UNKNOWN: (Effect.WAKE_MIGRATE,),
    State.RETRY_WAIT: (Effect.NOTE_FAILURE,),
    State.QUARANTINED: (Effect.NOTE_FAILURE,),
    State.CONFLICT: (Effect.NOTE_FAILURE,),
    State.VERIFIED: (Effect.CLEAR_FAILURE,),
    State.WAIVED: (Effect.CLEAR_FAILURE,),
}


class ForbiddenTransitionError(Exception):
    """An event is not allowed in the run's state; either a mistake of ours, or somebody else moved the run on first."""


@dataclass(frozen=True, slots=True)
class Position:
    """A run's state and the stage that has it."""

    state: State
    stage: Stage


def step(position: Position, event: Event) -> tuple[Position, tuple[Effect, ...]]:
    """Return the position after ``event``, and the effects of entering it.

    Raise ForbiddenTransitionError if the table does not allow the event there.
    """
    answer = TABLE.get((position.state, event))
    if answer is None:
        raise ForbiddenTransitionError(f"{event} cannot happen to a run that is {position.state}")
    state = answer[position.stage] if isinstance(answer, dict) else answer
    return Position(state, _stage_of(state, position.stage)), _EFFECTS.get(state, ())


def find_forbidden_step(story: Iterable[tuple[str, str]]) -> str:
    """Return the first step of a story, given as (event, state after it), that the table does not allow.

    Empty if there is none. An event that is not the machine's (of a first phase) must leave the state as it is.
    """
    before = ""
    for event, after in story:
        if event not in list(Event):
            if before not in ("", after):
                return f"{before} → {event} → {after}"
        elif not any(after in _after(key) for key in TABLE if key[1] == event and before in ("", key[0])):
            return f"{before or '?'} → {event} → {after}"
        before = after
    return ""


def _after(key: tuple[State, Event]) -> tuple[State, ...]:
    """Return the states that an entry of the table may lead to."""
    answer = TABLE[key]
    return tuple(answer.values()) if isinstance(answer, dict) else (answer,)


def _stage_of(state: State, before: Stage) -> Stage:
    """Return the stage that has a run once it is in ``state``."""
    if state in (State.OPEN, State.QUEUED, State.IMPORTING):
        return Stage.IMPORT
    if state in (State.IMPORTED, State.UPLOADING, State.UPLOAD_UNKNOWN, State.VERIFIED):
        return Stage.MIGRATE
    return before
