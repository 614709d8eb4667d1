"""What databases hold that the journal does not know, while the journal goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from archiverd.audit.recovery import find_missing
from archiverd.core.machine import Event, State
from archiverd.core.priority import Lane
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition

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
    assert await find_missing(journal, cast("Any", Forgetful(journal))) == {8}
    assert await journal.known() == {7: State.QUEUED, 8: State.IMPORTED}
    await journal.close()
