"""What databases hold that the journal does not know, while the journal goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from archiverd.audit.recovery import find_missing, why_not_imported_again
from archiverd.core.machine import Event, State
from archiverd.core.priority import Lane
from archiverd.core.proofs import BlobFault
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition
from tests.audit.held import Held, blob, verify

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

WAY = (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS, Event.UPLOAD_PROVEN)


class Forgetful:
    """A UconDB that has lost everything; while it is asked, run 7 gets its stop line after all."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def look_up_all(self, keys: Collection[str]) -> dict[str, object]:
        """See ``UconDB.look_up_all``."""
        assert sorted(keys) == ["7", "8"]
        await self._journal.record(Transition(7, Event.LATE_STOP))
        return {}


async def test_a_run_that_moves_on_while_ucondb_is_asked_is_left_to_that(tmp_path: Path) -> None:
    """The others that UconDB has lost are sent on their way all the same, in one commit."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await journal.open()
    await journal.see([7, 8], Lane.FRESH)
    for event in WAY:
        await journal.record(Transition(7, event), Transition(8, event))
    assert (await find_missing(journal, cast("Any", Forgetful(journal)))).sent == {8}
    assert await journal.known() == {7: State.QUEUED, 8: State.IMPORTED}
    await journal.close()


@pytest.mark.parametrize("gone", [(1,), (1, 2), (2, 4, 6), (1, 2, 4, 5)])
async def test_single_losses_are_uploaded_again(tmp_path: Path, gone: tuple[int, ...]) -> None:
    """Beside each there is a run that UconDB has."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await journal.open()
    await verify(journal, range(1, 8), 1.0)
    held = Held({run: blob(run) for run in range(1, 8) if run not in gone})
    found = await find_missing(journal, cast("Any", held))
    assert (found.sent, found.withheld) == (frozenset(gone), ())
    await journal.close()


@pytest.mark.parametrize("gone", [(1, 2, 3), (3, 4, 5, 7), range(1, 7)])
async def test_nothing_is_uploaded_after_three_in_a_row(tmp_path: Path, gone: Collection[int]) -> None:
    """Not even what is missing elsewhere: all are named, and the scrub stands still until they are there again."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await journal.open()
    await verify(journal, range(1, 8), 1.0)
    held = Held({run: blob(run) for run in range(1, 8) if run not in gone})
    found = await find_missing(journal, cast("Any", held))
    assert found.sent == frozenset()
    assert [one.run for one in found.withheld] == list(gone)
    assert set((await journal.known()).values()) == {State.VERIFIED}
    assert await journal.proofs.faulty(BlobFault.MISSING) == list(gone)
    assert await journal.proofs.standstill() is not None
    held.blobs = {run: blob(run) for run in range(1, 7)}
    assert (await find_missing(journal, cast("Any", held))).sent == frozenset({7})
    assert await journal.proofs.standstill() is None
    await journal.close()


@pytest.mark.parametrize(
    ("ended", "archived", "there", "told"),
    [
        (None, "", "Mon", "nobody can tell whether the one that is there now (started Mon) is this run's"),
        (None, "", "", "nobody can tell whether the one that is there now (started never) is this run's"),
        (1.0, "", "Mon", "another run: started Mon, archived is one without a start line"),
        (1.0, "", "", ""),
        (1.0, "Tue", "Mon", "another run: started Mon, archived is the one started Tue"),
        (1.0, "Mon", "Mon", ""),
    ],
)
async def test_a_lost_run_is_imported_only_from_what_is_known_to_be_its_directory(
    tmp_path: Path, ended: float | None, archived: str, there: str, told: str
) -> None:
    """The start lines are compared, their absence too; of a run known from artdaqDB alone nothing is guessed."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await journal.open()
    await journal.adopt({7: "demo"})
    row = await journal.get(7)
    await journal.close()
    assert row is not None
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "metadata.txt").write_text(f"DAQInterface start time: {there}\n" if there else "x: 1\n")
    why = why_not_imported_again(tmp_path, replace(row, ended_at=ended, start_line=archived))
    assert told in why
    assert bool(why) is bool(told)
