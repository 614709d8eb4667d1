"""What is asked again and again costs as little with 100 000 runs as with ten: SQLite answers it from an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from archiverd.core.machine import Event, Stage
from archiverd.core.priority import OLDEST_EVERY, Lane
from archiverd.core.proofs import BlobFault
from archiverd.journal.destinations import Configured, Destination, Side
from archiverd.journal.journal import Journal
from archiverd.journal.proofs import select_proof_summary
from archiverd.journal.rows import FileFate
from archiverd.journal.transitions import Transition

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path


class Explaining:
    """A connection that asks SQLite, before each query, how it is going to answer that very text."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.plans: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.connection, name)

    def execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        if sql.startswith("SELECT"):
            steps = self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)
            self.plans.append("; ".join(step["detail"] for step in steps))
        return self.connection.execute(sql, values)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """An open journal without runs: SQLite plans by what the tables look like, not by how full they are."""
    opened = Journal(tmp_path / "journal.sqlite", clock=lambda: 1_000.0)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def plans(journal: Journal) -> list[str]:
    """How SQLite answers each query of the journal, in order."""
    writer = journal._open_writer
    explaining = Explaining(writer._connection)
    writer._connection = cast("sqlite3.Connection", explaining)
    return explaining.plans


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("only", [None, [5]])
async def test_a_pick_sorts_nothing(journal: Journal, plans: list[str], stage: Stage, only: list[int] | None) -> None:
    """The run to take up stands first in an index, whichever stage asks and whoever's turn it is."""
    for picks in (0, OLDEST_EVERY - 1):
        journal._picks[stage] = picks
        await journal.pick(stage, (), only)
    newest, oldest = plans
    assert "INDEX runs_waiting (stage=?)" in newest
    assert "INDEX runs_oldest (stage=?)" in oldest
    assert "TEMP B-TREE" not in newest + oldest


@pytest.mark.parametrize("stage", Stage)
async def test_how_far_a_stage_has_come_is_read_from_the_ends_of_indexes(
    journal: Journal, plans: list[str], stage: Stage
) -> None:
    """The state files ask twice a second: neither the first run left nor the last one begun is looked for."""
    await journal.stage_file_memory(stage).progress()
    left, begun = {
        Stage.IMPORT: ("runs_not_imported", "runs_import_begun"),
        Stage.MIGRATE: ("runs_not_migrated", "runs_migration_begun"),
    }[stage]
    assert f"INDEX {left}" in plans[0]
    assert f"INDEX {begun}" in plans[1]
    assert "SCAN" not in plans[0] + plans[1]


async def test_dead_runs_are_not_looked_for_among_all_that_are_verified(journal: Journal, plans: list[str]) -> None:
    """Every minute it is asked whose stop line may still come: there are few such runs."""
    await journal.archived_as_dead()
    assert plans == ["SEARCH runs USING INDEX runs_dead (state=?)"]


@pytest.mark.parametrize("only", [None, [5]])
async def test_runs_on_their_way_are_counted_in_an_index(
    journal: Journal, plans: list[str], only: list[int] | None
) -> None:
    """While somebody waits for a pass it is asked three times a second how many there are: no run is loaded for it."""
    await journal.on_their_way(1_000.0, only)
    at_once, soon, undated = plans
    assert at_once.startswith("SEARCH runs USING COVERING INDEX runs_state (state=?")
    assert "TEMP B-TREE" not in at_once
    assert ("INDEX runs_due (due" if only is None else "PRIMARY KEY (rowid=?)") in soon
    assert "INDEX runs_state (state=?" in undated


async def test_retries_that_are_not_due_are_not_looked_through(journal: Journal, plans: list[str]) -> None:
    """A stage asks before each pick whether one is due, and when the next will be, however many wait."""
    await journal.wake_due()
    await journal.next_due(Stage.IMPORT)
    assert [plan for plan in plans if "runs_due (due" not in plan or "TEMP B-TREE" in plan] == []


async def test_what_the_audits_ask_is_read_from_indexes(journal: Journal, plans: list[str]) -> None:
    """Every few minutes: which runs were verified lately, come next, are flagged, or were not validated."""
    await journal.verified_since(1_000.0)
    await journal.verified_below(500, 20)
    await journal.flagged()
    await journal.next_unvalidated(500)
    since, below, flagged, unvalidated = plans
    assert "INDEX runs_verified (verified_at>?)" in since
    assert "PRIMARY KEY (rowid<?)" in below or "INDEX runs_state (state=? AND rowid<?)" in below
    assert "INDEX runs_changed" in flagged
    assert "INDEX runs_unvalidated (run<?)" in unvalidated
    assert "TEMP B-TREE" not in below + flagged + unvalidated


async def test_a_file_of_a_manifest_is_found_by_its_content(journal: Journal, plans: list[str]) -> None:
    """However many contents there are: an import looks up every file of its record."""
    await journal.see([1], Lane.FRESH)
    for event in (Event.ENDED, Event.IMPORT_BEGINS):
        await journal.record(Transition(1, event))
    files = (FileFate("a.fcl", "a", "", 5, "ab" * 32), FileFate("b.fcl", "", "left out"))
    plans.clear()
    await journal.record(Transition(1, Event.IMPORT_DONE, files=files))
    looked_up = [plan for plan in plans if "contents" in plan]
    assert len(looked_up) == 2
    assert all("INDEX contents_same (<expr>=? AND name=?" in plan for plan in looked_up)


async def test_the_missing_files_of_a_run_are_found_by_its_number(journal: Journal, plans: list[str]) -> None:
    """The audit asks for those of each directory that is not as it was; they need not be sorted."""
    await journal.lost_files(7)
    assert plans == ["SEARCH lost_files USING PRIMARY KEY (run=?)"]


async def test_what_is_to_be_proven_again_stands_first_in_an_index(journal: Journal, plans: list[str]) -> None:
    """The scrub asks every minute: nothing is sorted, and no table is read for it."""
    await journal.proofs.note_step("early")
    plans.clear()
    await journal.proofs.facts()
    asked = [plan for plan in plans if "scrub" not in plan]
    assert [plan for plan in asked if not plan.startswith("SEARCH runs USING COVERING INDEX runs_")] == []
    assert "TEMP B-TREE" not in "".join(asked)
    assert len(asked) == 5


async def test_keys_are_looked_up_along_the_runs(journal: Journal, plans: list[str]) -> None:
    """A part of them at a time, and the neighbours of one."""
    await journal.proofs.keys_below(1000, 200)
    await journal.proofs.neighbours(500, 2)
    assert all("TEMP B-TREE" not in plan and plan.startswith("SEARCH runs") for plan in plans)


async def test_faults_are_found_in_an_index(journal: Journal, plans: list[str]) -> None:
    """There are few of them among all that are verified; so is the oldest proof."""
    await journal.proofs.faulty(BlobFault.DAMAGED)
    await journal._read(lambda db: select_proof_summary(db, 1))
    await journal.notification_memory("email").news(2)
    faults = [plan for plan in plans if "runs_faulty" in plan]
    assert len(faults) == 2
    assert "SEARCH runs USING INDEX runs_proven (proven_to=?)" in plans


@pytest.mark.parametrize("side", Side)
async def test_runs_that_are_elsewhere_are_looked_for_in_an_index(
    journal: Journal, plans: list[str], side: Side
) -> None:
    """Every ten minutes, and for each `status`: no row of a run that is where it should be is read."""
    await journal.settle(Configured(Destination("a"), Destination("", "s", "f", "o"), "/records"))
    plans.clear()
    await journal.to_look_up(side, 0.0, 9e9)
    await journal.elsewhere(side)
    assert [plan for plan in plans if f"SCAN runs USING INDEX runs_{side}" not in plan] == []
