"""What `why` says of a run that has not ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from archiverd.cli.why import _unknown, describe_elsewhere, has_no_contents, remedies, waits_for
from archiverd.core.machine import Event, State
from archiverd.core.priority import Lane
from archiverd.journal.destinations import Found, Noted, Side
from archiverd.journal.journal import Journal
from archiverd.journal.reader import reading
from archiverd.journal.rows import Differences, FileFate, ObservedRecord
from archiverd.journal.transitions import Transition
from tests.journal.test_destinations import NEW, OLD, archive, at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@pytest.mark.parametrize(
    ("shown", "gone", "told"),
    [
        (ObservedRecord(7), False, "its start line"),
        (ObservedRecord(7, start_line="a"), False, "its stop line"),
        (ObservedRecord(7, start_line="a", stop_line="b"), False, "its record to settle"),
        (ObservedRecord(7, error="ArchiverError: no"), False, "its directory, which cannot be read"),
        (ObservedRecord(7, start_line="a"), True, "its directory, which is gone: put it back, or `archiverd waive 7"),
    ],
)
async def test_an_open_run_tells_what_it_waits_for(
    tmp_path: Path, shown: ObservedRecord, gone: bool, told: str
) -> None:
    """Whatever its record shows; a run that has ended waits for a stage, and its state says that."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await journal.open()
    await journal.see([7], Lane.FRESH)
    await journal.note_observed([shown])
    await journal.note_gone([7], gone=gone)
    row = await journal.get(7)
    assert row is not None
    assert waits_for(row).startswith(told)
    (ended,) = await journal.record(Transition(7, Event.ENDED))
    assert waits_for(ended) == ""
    await journal.close()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({}, []),
        ({"changed": Differences(added=("a.fcl",))}, ["`archiverd rearchive 7`"]),
        ({"changed": Differences(added=("a.fcl",)), "reused": "later"}, ["rename the directory"]),
        ({"superseded": True}, ["`archiverd release 7 --override`"]),
        ({"incomplete": True}, ["no disorder; `archiverd rearchive 7 --accept`"]),
        ({"no_end": True}, ["no disorder; `archiverd rearchive 7 --accept`"]),
    ],
)
async def test_each_flag_of_a_verified_run_has_its_remedy(
    tmp_path: Path, flags: Mapping[str, Any], told: Sequence[str]
) -> None:
    """With the run's own number; a run that is not verified has none, and a reused number hides the difference."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await journal.open()
    await journal.see([7], Lane.FRESH)
    row = await journal.get(7)
    await journal.close()
    assert row is not None
    row = replace(row, **flags)
    assert remedies(row) == []
    found = remedies(replace(row, state=State.VERIFIED))
    assert [one.startswith(word) for one, word in zip(found, told, strict=True)] == [True] * len(told)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ((0, None, None), "no run is known yet; "),
        ((1, 5, 5), "1 run is known, 5; "),
        ((3, 5, 9), "3 runs are known, 5 to 9; "),
    ],
)
def test_an_unknown_runs_remedy_says_which_are_known(known: tuple[int, int | None, int | None], words: str) -> None:
    """None, the only one, or how many and between which numbers."""
    assert (_unknown(7, *known).remedy or "").startswith(words)


async def test_a_run_that_was_archived_elsewhere_tells_both_places(tmp_path: Path) -> None:
    """Where it was proven, what is configured now, and what that has of it; nothing if both are one."""
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, clock=lambda: 1.0)
    await journal.open()
    await journal.settle(at(OLD))
    await archive(journal, 7)

    async def told() -> list[str]:
        row = await journal.get(7)
        assert row is not None
        with reading(path) as db:
            return describe_elsewhere(db, row)

    assert await told() == []
    await journal.settle(at(NEW))
    (first,) = await told()
    assert first.startswith(f"UconDB is {NEW} now; archived in {OLD}; the configured one was not asked for it yet")
    await journal.note_found(Side.UCONDB, [Noted(7, Found.MISSING)])
    (missing,) = await told()
    assert "does not have it" in missing
    assert "`archiverd rearchive 7 --accept`" in missing
    await journal.close()


async def test_a_run_without_recorded_contents_is_said_not_to_be_compared(tmp_path: Path) -> None:
    """An older version archived it: nothing is known that its directory could be compared with."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await journal.open()
    await archive(journal, 7)
    row = await journal.get(7)
    await journal.close()
    assert row is not None
    older, newer = FileFate("a.fcl", "a", ""), FileFate("a.fcl", "a", "", 3, "ab" * 32)
    assert has_no_contents(row, [older])
    assert not has_no_contents(row, [older, newer])
    assert not has_no_contents(replace(row, source_gone=True), [older])
    assert not has_no_contents(replace(row, state=State.OPEN), [])
