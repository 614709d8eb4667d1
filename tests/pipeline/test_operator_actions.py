"""What an operator decides about a run, in every state it may be in, also when the run moves on meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd import log
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import Event, Stage, State
from archiverd.core.priority import Lane
from archiverd.core.proofs import BlobFault
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition
from archiverd.pipeline import operator_actions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from archiverd.journal.rows import RunRow

INTENT: dict[str, object] = {"packed_on": "Jan 01 00:00 UTC", "blob_length": 9, "blob_sha256": "f00", "puts": 1}
IMPORTED = (
    Transition(7, Event.ENDED, "", {"ended_at": 1.0}),
    Transition(7, Event.IMPORT_BEGINS),
    Transition(7, Event.IMPORT_DONE),
)
UPLOADING = (*IMPORTED, Transition(7, Event.UPLOAD_BEGINS, "", INTENT))


class Restless(Journal):
    """A journal in which a run moves on right after it was looked at, once."""

    meanwhile: Transition | None = None

    async def get(self, run: int) -> RunRow | None:
        """See ``Journal.get``."""
        row = await super().get(run)
        if self.meanwhile is not None:
            move, self.meanwhile = self.meanwhile, None
            await self.record(move)
        return row


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Restless]:
    """A journal that knows run 7."""
    made = Restless(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await made.open()
    yield made
    await made.close()


async def go(journal: Journal, *moves: Transition) -> None:
    """Let run 7 be seen and go this way."""
    await journal.see([7], Lane.FRESH)
    for move in moves:
        await journal.record(move)


@pytest.mark.parametrize("aside", [Event.FAILED_FOR_GOOD, Event.FAILED_FOR_NOW, Event.UPLOAD_UNCLEAR])
async def test_an_override_replaces_whatever_of_ours_was_sent(journal: Restless, aside: Event) -> None:
    """A run whose blob is no longer the one first sent gets a new one: the remedy of the failure works."""
    await go(journal, *UPLOADING, Transition(7, aside))
    row = await operator_actions.release(journal, 7, override=True)
    assert (row.override, row.packed_on, row.blob_sha256, row.puts) == (True, "", "", 0)
    assert row.state in (State.IMPORTED, State.UPLOAD_UNKNOWN)


async def test_without_an_override_what_was_sent_is_what_counts(journal: Restless) -> None:
    """A plain release of a run set aside after a put keeps the identity of what was sent."""
    await go(journal, *UPLOADING, Transition(7, Event.FAILED_FOR_GOOD))
    row = await operator_actions.release(journal, 7, override=False)
    assert (row.state, row.override, row.blob_sha256, row.puts) == (State.IMPORTED, False, "f00", 1)


async def test_an_override_before_anything_was_sent_replaces_nothing(journal: Restless) -> None:
    """What stands under the key was never looked at then: other content there is a conflict first."""
    await go(journal, *IMPORTED, Transition(7, Event.FAILED_FOR_GOOD))
    row = await operator_actions.release(journal, 7, override=True)
    assert (row.state, row.override) == (State.IMPORTED, False)


@pytest.mark.parametrize("by", ["release", "retry"])
async def test_a_run_known_from_artdaqdb_only_is_put_back_where_it_was(journal: Restless, by: str) -> None:
    """It has no directory, so its end would never be seen: waived and released it goes on to UconDB."""
    await journal.adopt({7: "demo"})
    await operator_actions.waive(journal, 7, "looked at")
    if by == "release":
        await operator_actions.release(journal, 7, override=False)
    else:
        assert await operator_actions.retry(journal, 7, Stage.MIGRATE, log.get()) is None
    row = await journal.get(7)
    assert row is not None
    assert row.state is State.IMPORTED


@pytest.mark.parametrize("by", ["release", "retry"])
async def test_a_run_waived_before_it_ended_is_open_again(journal: Restless, by: str) -> None:
    """Its end is still to come."""
    await go(journal, Transition(7, Event.WAIVED))
    if by == "release":
        await operator_actions.release(journal, 7, override=False)
    else:
        assert await operator_actions.retry(journal, 7, Stage.IMPORT, log.get()) is None
    row = await journal.get(7)
    assert row is not None
    assert row.state is State.OPEN


async def test_a_run_that_goes_on_by_itself_needs_no_retry(journal: Restless) -> None:
    """One whose wait is over at that very moment is on its way: an edit of a failure log ends no daemon."""
    await go(journal, *IMPORTED, Transition(7, Event.FAILED_FOR_NOW, "", {"due": 2.0}))
    journal.meanwhile = Transition(7, Event.DUE)
    assert await operator_actions.retry(journal, 7, Stage.MIGRATE, log.get()) is None
    row = await journal.get(7)
    assert row is not None
    assert row.state is State.IMPORTED


async def test_a_run_picked_at_that_moment_is_told_as_it_is(journal: Restless) -> None:
    """Who waives or releases a run that moves on meanwhile is told where it is, not where it was."""
    await go(journal, IMPORTED[0])
    journal.meanwhile = IMPORTED[1]
    with pytest.raises(ArchiverError, match="Run 7 is importing and cannot be waived"):
        await operator_actions.waive(journal, 7, "x")
    await journal.record(Transition(7, Event.FAILED_FOR_NOW, "", {"due": 2.0}))
    journal.meanwhile = Transition(7, Event.DUE)
    with pytest.raises(ArchiverError, match="Run 7 is queued and cannot be released"):
        await operator_actions.release(journal, 7, override=False)


async def test_a_verified_run_needs_no_waiving(journal: Restless) -> None:
    """It waits for nothing, and nobody is sent to look what for."""
    await go(journal, *UPLOADING, Transition(7, Event.UPLOAD_PROVEN))
    with pytest.raises(ArchiverError, match="Run 7 is verified and needs no waiving") as caught:
        await operator_actions.waive(journal, 7, "x")
    assert "nothing is left to be done" in caught.value.remedy


async def test_a_run_that_is_waived_already_says_so(journal: Restless) -> None:
    """A second waiver is refused in words that say why, and the first one's reason stays."""
    await go(journal, Transition(7, Event.WAIVED, "broken"))
    with pytest.raises(ArchiverError, match="Run 7 is waived already") as caught:
        await operator_actions.waive(journal, 7, "again")
    assert caught.value.remedy == "`archiverd why 7` shows the reason"
    assert (await journal.story(7))[-1].note == "broken"


@pytest.mark.parametrize("fault", [BlobFault.DAMAGED, BlobFault.DIFFERS])
async def test_what_ucondb_does_not_give_back_is_replaced_at_a_word(journal: Restless, fault: BlobFault) -> None:
    """The run is verified: without an override the release says what it would replace, with it a new blob is sent."""
    await go(journal, *UPLOADING, Transition(7, Event.UPLOAD_PROVEN))
    with pytest.raises(ArchiverError, match="Run 7 is verified and cannot be released"):
        await operator_actions.release(journal, 7, override=True)
    await journal.proofs.note_fault(7, fault, "VerificationError: x", "mend")
    with pytest.raises(ArchiverError, match="releasing it replaces UconDB's version") as caught:
        await operator_actions.release(journal, 7, override=False)
    assert "`archiverd release 7 --override`" in caught.value.remedy
    assert ("compare both" in caught.value.remedy) == (fault is BlobFault.DIFFERS)  # nobody can compare what is damaged
    row = await operator_actions.release(journal, 7, override=True)
    assert (row.state, row.override, row.packed_on, row.puts, row.error) == (State.IMPORTED, True, "", 0, "")


async def test_what_ucondb_has_lost_is_uploaded_again_at_a_word(journal: Restless) -> None:
    """Nothing is replaced, so no override is needed; what is sent is what was proven."""
    await go(journal, *UPLOADING, Transition(7, Event.UPLOAD_PROVEN))
    await journal.proofs.note_fault(7, BlobFault.MISSING, "VerificationError: x", "mend")
    row = await operator_actions.release(journal, 7, override=False)
    assert (row.state, row.override, row.blob_sha256, row.blob_fault) == (State.IMPORTED, False, "f00", None)
