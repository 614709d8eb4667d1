"""The journal knows where each run was archived, what is configured, and whose journal it is."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import Event, State
from archiverd.core.priority import Lane
from archiverd.journal import transitions
from archiverd.journal.destinations import Configured, Destination, Found, Noted, Side
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import BlobIdentity, Transition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OLD, NEW = Destination("", "https://h:443/i/app", "old", "o"), Destination("", "https://h:443/i/app", "new", "o")
FILES = Destination("filesystemdb:///a")
BLOB = BlobIdentity("Oct 26 14:30 UTC", 3, "ab" * 32, 1)


def at(ucondb: Destination | None, records: str = "/records") -> Configured:
    """Return a configuration."""
    return Configured(FILES, ucondb, records)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """A journal with runs 7 and 8 verified in the old place."""
    times = itertools.count(1_000)
    opened = Journal(tmp_path / "journal.sqlite", clock=lambda: float(next(times)))
    await opened.open()
    await opened.settle(at(OLD))
    await archive(opened, 7, 8)
    yield opened
    await opened.close()


async def archive(journal: Journal, *runs: int) -> None:
    """Take runs through the states to verified, as the stages do."""
    await journal.see(runs, Lane.FRESH)
    read = transitions.ReadRecord((), destination=journal.here.artdaqdb)
    for run in runs:
        await journal.record(Transition(run, Event.ENDED, "", {"ended_at": 1.0}), transitions.import_begins(run))
        done = transitions.import_done(
            run, "", configuration="c", imported_at=1.0, stopped=True, incomplete=False, no_end=False, read=read
        )
        await journal.record(done)
        (row,) = await journal.record(transitions.upload_begins(run, BLOB, puts=1))
        proof = transitions.upload_proven(row, BLOB, destination=journal.here.ucondb, verified_at=2.0, validation=None)
        await journal.record(proof)


async def test_a_row_names_where_it_was_archived(journal: Journal) -> None:
    """As seen from there nothing is elsewhere, as seen from another place everything is, and nothing is believed."""
    row = await journal.get(7)
    assert row is not None
    assert (row.imported_to, row.proven_to) == (journal.here.artdaqdb, journal.here.ucondb)
    assert (await journal.standing(Side.UCONDB, OLD)).elsewhere == 0
    seen = await journal.standing(Side.UCONDB, NEW)
    assert (seen.here, seen.not_looked_up, seen.places) == (0, 2, ((str(OLD), 2),))
    await journal.settle(at(NEW))
    assert await journal.elsewhere(Side.UCONDB) == {8: None, 7: None}
    assert await journal.archived_here(Side.UCONDB) == []
    assert await journal.elsewhere(Side.ARTDAQDB) == {}


async def test_what_was_found_in_a_wrong_place_is_nothing_elsewhere(journal: Journal) -> None:
    """A setting that is put right: the runs are as proven as before."""
    await journal.settle(at(NEW))
    await journal.note_found(Side.UCONDB, [Noted(7, Found.MISSING), Noted(8, Found.DIFFERS, "other bytes")])
    assert await journal.elsewhere(Side.UCONDB) == {8: Found.DIFFERS, 7: Found.MISSING}
    assert await journal.to_look_up(Side.UCONDB, 0.0, 9e9) == []
    assert await journal.to_look_up(Side.UCONDB, 8e9, 9e9) == [8, 7]
    await journal.settle(at(OLD))
    assert await journal.elsewhere(Side.UCONDB) == {}
    assert await journal.archived_here(Side.UCONDB) == [7, 8]


async def test_a_look_by_a_clock_that_was_ahead_is_made_again(journal: Journal) -> None:
    """It would else be the last one for years."""
    await journal.settle(at(NEW))
    await journal.note_found(Side.UCONDB, [Noted(7, Found.MISSING), Noted(8, Found.MISSING)])
    assert await journal.to_look_up(Side.UCONDB, 0.0, 500.0) == [8, 7]


async def test_a_proof_in_the_new_place_names_it(journal: Journal) -> None:
    """Found equal, also packed at another time: the row has the bytes that are there, and its story tells it."""
    await journal.settle(at(NEW))
    await journal.note_found(Side.UCONDB, [Noted(7, Found.MISSING)])
    other = BlobIdentity("Nov  1 00:00 UTC", 4, "cd" * 32, 2)
    assert await journal.note_standing(7, Side.UCONDB, other)
    row = await journal.get(7)
    assert row is not None
    assert (row.proven_to, row.packed_on, row.blob_sha256, row.state) == (
        journal.here.ucondb,
        other.packed_on,
        other.sha256,
        State.VERIFIED,
    )
    assert (await journal.story(7))[-1].event == "found_here"
    assert await journal.elsewhere(Side.UCONDB) == {8: None}


async def test_an_operators_word_ends_when_another_place_is_configured(journal: Journal) -> None:
    """A word about one place is none about the next, nor about the same one after a detour."""
    await journal.settle(at(NEW))
    await journal.release_destinations("/records")
    assert await journal.is_released(Side.UCONDB)
    await journal.settle(at(NEW))
    assert await journal.is_released(Side.UCONDB)
    await journal.settle(at(None))
    await journal.settle(at(NEW))
    assert await journal.is_released(Side.UCONDB)
    await journal.settle(at(OLD))
    assert not await journal.is_released(Side.UCONDB)
    await journal.settle(at(NEW))
    assert not await journal.is_released(Side.UCONDB)


async def test_an_artdaqdb_that_was_emptied_lacks_what_was_imported_into_it(journal: Journal) -> None:
    """It is news once; what is there again, or imported again, is lacking no more."""
    assert await journal.note_lacking({7, 8}, {7, 8}) == []
    assert await journal.note_lacking({7, 8}, {}) == [7, 8]
    assert await journal.note_lacking({7, 8}, {}) == []
    assert (await journal.standing(Side.ARTDAQDB, FILES)).missing == 2
    assert await journal.note_lacking({7, 8}, {8}) == []
    assert await journal.elsewhere(Side.ARTDAQDB) == {7: Found.MISSING}
    await journal.record(transitions.lost(7))
    assert await journal.elsewhere(Side.ARTDAQDB) == {}
    await archive(journal, 9)
    assert await journal.accept_elsewhere(9) is False


async def test_the_site_is_the_one_it_was_made_for(journal: Journal) -> None:
    """Its id is made once; another run-records directory is not taken on silently."""
    first = await journal.settle(at(OLD))
    again = await journal.settle(at(OLD, "/other"))
    assert (again.name, again.records) == (first.name, "/records")
    await journal.release_destinations("/other")
    assert (await journal.settle(at(OLD, "/other"))).records == "/other"


async def test_other_content_is_accepted_where_it_is_known_where_the_run_was_proven(journal: Journal) -> None:
    """Then the proof stands; of one that names no place nothing would prove it any more."""
    await journal.settle(at(NEW))
    await journal.note_found(Side.UCONDB, [Noted(7, Found.DIFFERS, "other bytes")])
    assert await journal.accept_elsewhere(7)
    assert (await journal.elsewhere(Side.UCONDB))[7] is Found.ACCEPTED
    assert (await journal.differing(Side.UCONDB)) == {}
    await journal.note_found(Side.UCONDB, [Noted(8, Found.DIFFERS, "other bytes")])
    await journal._write(lambda db: db.execute("UPDATE runs SET proven_to = NULL WHERE run = 8").rowcount)
    assert not await journal.accept_elsewhere(8)
    assert (await journal.elsewhere(Side.UCONDB))[8] is Found.DIFFERS
