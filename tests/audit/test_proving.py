"""Proving one run again: what is noted of it, and what happens when it is not alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from archiverd.audit.proving import Prover, Verdict
from archiverd.core.errors import UconDBError
from archiverd.core.machine import Event, State
from archiverd.core.proofs import DAY_SECONDS, BlobFault
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition
from archiverd.ucondb.port import Finding
from tests.audit.held import Held, blob, verify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from archiverd.audit.proving import Outcome
    from archiverd.journal.rows import RunRow

DAY = DAY_SECONDS
RUNS = range(1, 8)


class Site:
    """A journal with seven verified runs, and the UconDB that holds them; a day passes before each proof."""

    def __init__(self, path: Path) -> None:
        self.now = 1_000_000.0
        self.journal = Journal(path, clock=lambda: self.now)
        self.held = Held({run: blob(run) for run in RUNS})

    async def row(self, run: int) -> RunRow:
        """Return a run's row."""
        row = await self.journal.get(run)
        assert row is not None
        return row

    async def prove(self, run: int) -> Outcome:
        """Prove a run again."""
        self.now += DAY
        return await Prover(self.journal, cast("Any", self.held), lambda: self.now).prove(await self.row(run))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Seven verified runs."""
    made = Site(tmp_path / "journal.sqlite")
    await made.journal.open()
    await verify(made.journal, RUNS, made.now)
    yield made
    await made.journal.close()


async def test_a_proof_is_noted(site: Site) -> None:
    """When, how often, and when it is due next; the story stays as it is."""
    story = await site.journal.story(4)
    assert (await site.prove(4)).verdict is Verdict.PROVEN
    row = await site.row(4)
    assert (row.proofs, row.proven_at, row.checked_at) == (2, site.now, site.now)
    assert row.recheck_at == (row.verified_at or 0) + 7 * DAY
    for _ in range(6):
        await site.prove(4)
    assert (await site.row(4)).recheck_at is None
    assert await site.journal.story(4) == story


async def test_a_proof_makes_up_for_a_checksum_that_was_not_noted(site: Site) -> None:
    """Runs proven before it was kept get it with their next proof."""
    await site.journal.record(Transition(4, Event.LATE_STOP, "", {"blob_adler32": None}))
    for event in (Event.IMPORT_BEGINS, Event.UPDATE_DONE):
        await site.journal.record(Transition(4, event))
    await site.prove(4)
    assert (await site.row(4)).blob_adler32 is not None


@pytest.mark.parametrize(
    ("data", "wrong", "fault"),
    [
        (b"something else", None, BlobFault.DIFFERS),
        (blob(4), Finding.UNSOUND, BlobFault.DAMAGED),
        (blob(4), Finding.UNREADABLE, BlobFault.DAMAGED),
        (blob(4), Finding.SILENT, BlobFault.DAMAGED),
    ],
)
async def test_what_is_wrong_is_noted_and_told_once(
    site: Site, data: bytes, wrong: Finding | None, fault: BlobFault
) -> None:
    """The run stays verified, with the fault, its cause and a remedy; once it is sound again that is gone."""
    site.held.blobs[4] = data
    site.held.wrong = {} if wrong is None else {4: wrong}
    for _ in range(2):
        outcome = await site.prove(4)
        assert outcome.verdict is Verdict.FAULTY
        assert outcome.anomaly is not None
        assert outcome.anomaly.kind == str(fault)
    row = await site.row(4)
    assert (row.state, row.blob_fault, row.proofs) == (State.VERIFIED, fault, 1)
    assert row.checked_at == site.now
    assert row.error.startswith("VerificationError: ")
    assert "`archiverd release 4 --override`" in row.remedy
    assert [line.event for line in await site.journal.story(4)].count(str(fault)) == 1
    news = await site.journal.notification_memory("email").news(2)
    assert [(one.run, one.lasting) for one in news.failed] == [(4, True)]
    site.held.blobs[4], site.held.wrong = blob(4), {}
    assert (await site.prove(4)).verdict is Verdict.PROVEN
    row = await site.row(4)
    assert (row.blob_fault, row.error, row.remedy, row.proofs) == (None, "", "", 2)
    assert (await site.journal.story(4))[-1].event == "sound"


@pytest.mark.parametrize("finding", [Finding.UNSOUND, Finding.UNREADABLE, Finding.SILENT])
async def test_one_failed_reading_damages_no_run(site: Site, finding: Finding) -> None:
    """A busy server, or a reply that is cut on its way: the blob is read again before anything is said of it."""
    site.held.once[4] = finding
    story = await site.journal.story(4)
    assert (await site.prove(4)).verdict is Verdict.PROVEN
    assert (await site.row(4)).blob_fault is None
    assert await site.journal.story(4) == story


async def test_people_are_told_when_a_run_is_sound_again(site: Site) -> None:
    """A fault that was reported is reported as repaired, and only then."""
    site.held.wrong[4] = Finding.UNSOUND
    await site.prove(4)
    memory = site.journal.notification_memory("email")
    await memory.note_notified((await memory.news(2)).failed)
    assert (await memory.news(2)).failed == (await memory.news(2)).repaired == ()
    site.held.wrong.clear()
    await site.prove(4)
    assert [one.run for one in (await memory.news(2)).repaired] == [4]


@pytest.mark.parametrize("finding", [Finding.UNREADABLE, Finding.SILENT])
async def test_a_server_that_gives_no_blob_damages_no_run(site: Site, finding: Finding) -> None:
    """Three runs that cannot be read are the server's trouble: it is told as such, and no run is flagged."""
    site.held.wrong = {3: finding, 4: finding, 5: finding}
    outcome = await site.prove(4)
    assert outcome.verdict is Verdict.STOPPED
    assert (await site.row(4)).blob_fault is None
    standstill = await site.journal.proofs.standstill()
    assert standstill is not None
    assert (standstill.fault, standstill.runs) == (BlobFault.DAMAGED, (3, 4, 5))
    assert "3 verified runs in a row (3-5) cannot be read back from UconDB" in standstill.why


@pytest.mark.parametrize("gone", [(4,), (4, 5), (3, 4), (2, 4, 6)])
async def test_what_is_missing_alone_is_uploaded_again(site: Site, gone: tuple[int, ...]) -> None:
    """Two neighbours may be lost too; the others are there."""
    for run in gone:
        del site.held.blobs[run]
    assert (await site.prove(4)).verdict is Verdict.SENT_AGAIN
    states = await site.journal.known()
    assert states[4] is State.IMPORTED
    assert {run for run in RUNS if states[run] is State.IMPORTED} == set(gone)
    assert await site.journal.proofs.standstill() is None


@pytest.mark.parametrize("gone", [(3, 4, 5), (4, 5, 6), (2, 3, 4), tuple(RUNS)])
async def test_three_missing_in_a_row_are_left_as_they_are(site: Site, gone: tuple[int, ...]) -> None:
    """It may be a restored or a wrong database: the scrub stands still, and each is named."""
    for run in gone:
        del site.held.blobs[run]
    outcome = await site.prove(4)
    assert outcome.verdict is Verdict.STOPPED
    assert outcome.anomaly is not None
    assert set((await site.journal.known()).values()) == {State.VERIFIED}
    standstill = await site.journal.proofs.standstill()
    assert standstill is not None
    assert set(standstill.runs) <= set(gone)
    assert set(await site.journal.proofs.faulty(BlobFault.MISSING)) == set(standstill.runs)
    assert "UconDB may be a restored or a wrong one" in standstill.remedy


async def test_with_one_run_there_is_no_row(tmp_path: Path) -> None:
    """A small archive is mended too."""
    site = Site(tmp_path / "journal.sqlite")
    await site.journal.open()
    await verify(site.journal, [1], site.now)
    site.held.wrong[1] = Finding.UNREADABLE
    assert (await site.prove(1)).verdict is Verdict.FAULTY
    site.held.blobs.clear()
    assert (await site.prove(1)).verdict is Verdict.SENT_AGAIN
    await site.journal.close()


async def test_a_server_that_is_away_proves_nothing(site: Site) -> None:
    """Nothing is noted (I8)."""
    before = await site.row(4)
    site.held.away = True
    with pytest.raises(UconDBError):
        await site.prove(4)
    assert await site.row(4) == before


async def test_a_run_that_moves_on_meanwhile_is_left_to_that(site: Site) -> None:
    """What was found of its old version says nothing of the new one."""
    row = await site.row(4)
    await site.journal.record(Transition(4, Event.RELEASED, "", {"blob_sha256": ""}))
    prover = Prover(site.journal, cast("Any", site.held), lambda: site.now)
    await prover.prove(row)
    site.held.wrong[4] = Finding.UNSOUND
    await prover.prove(row)
    after = await site.row(4)
    assert (after.state, after.blob_fault, after.proofs) == (State.IMPORTED, None, 1)
