"""What the journal's sums mean, told once more in Python."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from archiverd.core.machine import ON_THEIR_WAY, TROUBLE, Stage, State
from archiverd.journal.queries import select_outcome, select_states
from archiverd.journal.rows import PassTotals, RunRow, StageProgress, StuckRun
from archiverd.journal.scheduling import select_on_their_way, select_progress
from archiverd.journal.schema import connect, upgrade

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

FACTS = st.fixed_dictionaries(
    {
        "run": st.integers(1, 30),
        "state": st.sampled_from(State),
        "stage": st.sampled_from(Stage),
        "attempts": st.integers(0, 1),
        "error": st.sampled_from(["", "UconDBError: away"]),
        "puts": st.integers(0, 1),
        "imported_at": st.sampled_from([None, 10.0, 20.0]),
        "verified_at": st.sampled_from([None, 10.0, 20.0]),
        "due": st.sampled_from([None, 10.0, 20.0]),
    }
)
JOURNALS = st.lists(FACTS, max_size=12, unique_by=lambda facts: str(facts["run"]))

SOME = st.none() | st.sets(st.integers(1, 30))
"""Runs that somebody asks about; None for all."""

RETRIED = (State.RETRY_WAIT, State.UPLOAD_UNKNOWN)
ENDED = (State.VERIFIED, State.WAIVED, State.IGNORED)


def fill(facts: Sequence[dict[str, object]]) -> sqlite3.Connection:
    """Make a journal in memory that holds runs of which ``facts`` are so."""
    db = connect(":memory:")
    upgrade(db)
    sql = (
        "INSERT INTO runs (run, state, stage, attempts, error, puts, imported_at, verified_at, due, lane, seen_at, "
        "changed_at) VALUES (:run, :state, :stage, :attempts, :error, :puts, :imported_at, :verified_at, :due, 0, 1, 1)"
    )
    db.executemany(sql, facts)
    return db


def through(row: RunRow, stage: Stage) -> bool:
    """Tell whether a run is through ``stage``."""
    return row.state in ENDED or (stage is Stage.IMPORT and row.imported_at is not None)


def begun(row: RunRow, stage: Stage) -> bool:
    """Tell whether ``stage`` has taken a run up."""
    if row.state is State.OPEN:
        return False
    if stage is Stage.MIGRATE:
        return row.puts > 0 or row.verified_at is not None
    tried = row.stage is Stage.IMPORT and (row.attempts > 0 or row.error != "")
    return row.imported_at is not None or row.state is State.IMPORTING or tried


@given(JOURNALS, st.sampled_from(Stage))
def test_how_far_a_stage_has_come(facts: list[dict[str, object]], stage: Stage) -> None:
    """The last run up to which all are through, and the greatest one taken up, whatever the journal holds."""
    db = fill(facts)
    rows = select_states(db, list(State))
    done = list(takewhile(lambda row: through(row, stage), rows))
    contiguous = done[-1].run if done else 0
    attempted = max((row.run for row in rows if begun(row, stage)), default=0)
    assert select_progress(db, stage) == StageProgress(contiguous, attempted)
    db.close()


@given(JOURNALS, SOME, st.integers(0, 30))
def test_how_many_runs_are_on_their_way(facts: list[dict[str, object]], only: set[int] | None, last: int) -> None:
    """Runs that a stage takes up or has in hand, by state, and those that are to be retried soon."""
    db = fill([facts | {"due": facts["due"] if facts["state"] in RETRIED else None} for facts in facts])
    rows = [row for row in select_states(db, list(State)) if row.run <= last and (only is None or row.run in only)]
    states = [row.state for row in rows if row.state in ON_THEIR_WAY and (row.due is None or row.due <= 15.0)]
    soon = [row.stage for row in rows if row.state is State.RETRY_WAIT and row.due == 10.0]
    states += [State.QUEUED if stage is Stage.IMPORT else State.IMPORTED for stage in soon]
    assert select_on_their_way(db, 15.0, only, last) == Counter(states)
    db.close()


@given(JOURNALS, SOME, st.sampled_from([TROUBLE, (*TROUBLE, State.IMPORTED)]))
def test_what_became_of_runs(facts: list[dict[str, object]], only: set[int] | None, trouble: tuple[State, ...]) -> None:
    """Who was imported and verified since then, who is still open, and the runs in trouble, ascending."""
    db = fill(facts)
    rows = [row for row in select_states(db, list(State)) if only is None or row.run in only]
    assert select_outcome(db, 15.0, trouble, only) == PassTotals(
        imported=sum(row.imported_at == 20.0 for row in rows),
        verified=sum(row.verified_at == 20.0 for row in rows),
        open=sum(row.state is State.OPEN for row in rows),
        stuck=tuple(StuckRun(row.run, row.state, row.error) for row in rows if row.state in trouble),
    )
    db.close()
