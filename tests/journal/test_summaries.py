"""What reports ask of the whole journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.core import runset
from archiverd.core.machine import Event, Stage, State
from archiverd.core.priority import Lane
from archiverd.journal import summaries
from archiverd.journal.journal import Journal
from archiverd.journal.reader import reading
from archiverd.journal.rows import ObservedRecord
from archiverd.journal.summaries import ARTDAQDB, FILESYSTEM, UCONDB, Durations, durations
from archiverd.journal.transitions import Transition

if TYPE_CHECKING:
    from pathlib import Path

IMPORTED = (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE)


async def fill(path: Path) -> None:
    """Make a journal: 1-3 verified, 5 imported, 6-7 failed alike, 8 set aside, 9 open without a directory."""
    times = iter(range(1, 1000))
    journal = Journal(path, clock=lambda: float(next(times)))
    await journal.open()
    await journal.see([1, 2, 3, 5, 6, 7, 8, 9], Lane.FRESH)
    for run in (1, 2, 3, 5):
        for event in IMPORTED:
            await journal.record(Transition(run, event, "", {"imported_at": 1.0} if event is Event.IMPORT_DONE else {}))
    for run in (1, 2, 3):
        await journal.record(Transition(run, Event.UPLOAD_BEGINS))
        await journal.record(Transition(run, Event.UPLOAD_PROVEN, "", {"verified_at": 2.0}))
    for run in (6, 7, 8):
        await journal.record(Transition(run, Event.ENDED), Transition(run, Event.IMPORT_BEGINS))
        event = Event.FAILED_FOR_GOOD if run == 8 else Event.FAILED_FOR_NOW
        facts = {"error": f"ArtdaqDBError: run {run} at port 667", "remedy": f"`archiverd retry import {run}`"}
        await journal.record(Transition(run, event, "", {**facts, "due": 7.0}))
    await journal.note_gone([9], gone=True)
    await journal.close()


async def test_open_runs_whose_records_cannot_be_looked_at_are_in_trouble(tmp_path: Path) -> None:
    """One cause for all, and none for a run that is merely open."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await journal.open()
    await journal.see([7, 8, 9], Lane.FRESH)
    await journal.note_observed(
        ObservedRecord(run, error="ArchiverError: no" if run < 9 else "", remedy=f"see /r/{run}") for run in (7, 8, 9)
    )
    await journal.close()
    with reading(tmp_path / "journal.sqlite") as db:
        assert summaries.select_causes(db) == [
            summaries.Cause(State.OPEN, Stage.IMPORT, "ArchiverError: no", "see /r/N", (7, 8))
        ]


async def test_the_whole_journal_in_a_few_sums(tmp_path: Path) -> None:
    """Ranges by state, what is believed to be where, causes that many runs share."""
    await fill(tmp_path / "journal.sqlite")
    with reading(tmp_path / "journal.sqlite") as db:
        assert summaries.select_ranges(db) == {
            State.OPEN: [(9, 9)],
            State.IMPORTED: [(5, 5)],
            State.VERIFIED: [(1, 3)],
            State.RETRY_WAIT: [(6, 7)],
            State.QUARANTINED: [(8, 8)],
        }
        places = {place: summaries.select_place(db, place) for place in (FILESYSTEM, ARTDAQDB, UCONDB)}
        assert places == {FILESYSTEM: [(1, 3), (5, 8)], ARTDAQDB: [(1, 3), (5, 5)], UCONDB: [(1, 3)]}
        eight, others = summaries.select_causes(db)
        assert (eight.state, eight.runs) == (State.QUARANTINED, (8,))
        assert (others.runs, others.stage) == ((6, 7), Stage.IMPORT)
        assert (others.error, others.remedy) == ("ArtdaqDBError: run N at port 667", "`archiverd retry import N`")
        newest = summaries.select_briefs(db, [State.RETRY_WAIT, State.QUARANTINED], most=2)
        assert [brief["run"] for brief in newest] == [7, 8]
        assert newest[0] == {
            "run": 7,
            "state": "retry_wait",
            "dead": False,
            "configuration": "",
            "error": "ArtdaqDBError: run 7 at port 667",
            "remedy": "`archiverd retry import 7`",
            "next_retry": 7.0,
            "verified_at": None,
        }
        lately = summaries.select_durations(db)
        assert (lately[Stage.IMPORT].runs, lately[Stage.MIGRATE].runs) == (4, 3)
        assert lately[Stage.IMPORT].median == 1.0


def test_how_long_a_stage_takes() -> None:
    """From the last beginning to the good end of a run; failures and other runs between them do not matter."""
    events = [
        (1, 0.0, Event.IMPORT_BEGINS),
        (2, 1.0, Event.IMPORT_BEGINS),
        (2, 2.0, Event.FAILED_FOR_NOW),
        (2, 3.0, "first_phase_done"),
        (1, 5.0, Event.IMPORT_DONE),
        (2, 10.0, Event.IMPORT_BEGINS),
        (2, 11.0, Event.IMPORT_DONE),
        (2, 12.0, Event.UPLOAD_BEGINS),
        (3, 12.0, Event.IMPORT_DONE),
        (2, 12.5, Event.UPLOAD_PROVEN),
        (2, 13.0, Event.UPLOAD_PROVEN),
    ]
    assert durations(events) == {
        Stage.IMPORT: Durations(2, 3.0, 5.0, 5.0),
        Stage.MIGRATE: Durations(1, 0.5, 0.5, 12.5),
    }
    assert durations([]) == {}
    many = [
        (run, at, event)
        for run in range(300)
        for at, event in ((run, Event.IMPORT_BEGINS), (2 * run, Event.IMPORT_DONE))
    ]
    assert durations(many)[Stage.IMPORT] == Durations(100, 249.5, 294.0, 400)


@given(st.sets(st.integers(1, 60)))
def test_ranges_gaps_and_numbers_agree(runs: set[int]) -> None:
    """Ranges hold the runs and gaps what lies between, nothing twice."""
    spans = runset.ranges(runs)
    assert runset.numbers(spans) == runs
    assert runset.count(spans) == len(runs)
    between = runset.numbers(runset.gaps(spans))
    assert not between & runs
    if runs:
        assert between | runs == set(range(min(runs), max(runs) + 1))


@pytest.mark.parametrize("place", [FILESYSTEM, ARTDAQDB, UCONDB])
async def test_an_empty_journal_has_nothing_anywhere(tmp_path: Path, place: str) -> None:
    """No run, no range, no cause."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 0.0)
    await journal.open()
    await journal.close()
    with reading(tmp_path / "journal.sqlite") as db:
        assert summaries.select_place(db, place) == []
        assert (summaries.select_ranges(db), summaries.select_causes(db), summaries.select_durations(db)) == (
            {},
            [],
            {},
        )
