"""The scrub beside the daemon's work: when it reads, what it leaves alone, how it goes on after a standstill."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from archiverd.audit.proving import Prover, Verdict
from archiverd.audit.recovery import find_missing
from archiverd.audit.scrub import Scrub
from archiverd.audit.scrub_plan import Pace, longest_wait
from archiverd.config.hours import Hours
from archiverd.core.errors import ArchiverError, UconDBError
from archiverd.core.machine import Event, State
from archiverd.core.priority import Lane
from archiverd.core.proofs import DAY_SECONDS, BlobFault
from archiverd.journal.destinations import Configured, Destination
from archiverd.journal.journal import Journal
from archiverd.journal.proofs import Standstill
from archiverd.journal.transitions import Transition
from archiverd.pipeline.operator_actions import release
from archiverd.process.shutdown import Shutdown, ShutdownReason
from archiverd.ucondb.port import Finding
from tests.audit.held import Held, blob, verify
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DAY = DAY_SECONDS
RUNS = range(1, 8)


class Site:
    """A journal with seven runs that were verified long ago, the UconDB that holds them, and the scrub."""

    def __init__(self, path: Path) -> None:
        self.now = 1_000_000.0
        self.free = True
        self.journal = Journal(path, clock=lambda: self.now)
        self.held = Held({run: blob(run) for run in RUNS})
        self.scrub = Scrub(
            self.journal,
            cast("Any", self.held),
            Pace(0.01, 10, Hours()),
            lambda: self.free,
            lambda: self.now,
            lambda now: now % DAY / 3600,
        )

    async def live(self, days: float) -> None:
        """Let the scrub work for so many days."""
        end = self.now + days * DAY
        while self.now < end:
            self.now += await self.scrub.step()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Seven verified runs."""
    made = Site(tmp_path / "journal.sqlite")
    await made.journal.open()
    await verify(made.journal, RUNS, made.now)
    yield made
    await made.journal.close()


async def test_each_run_is_proven_again_in_time(site: Site) -> None:
    """After one and seven days, then daily, for there are fewer than least_per_day; every key is looked up weekly."""
    await site.live(6.5)
    assert sorted(site.held.read) == list(RUNS)
    await site.live(1.5)
    assert sorted(site.held.read) == sorted([*RUNS, *RUNS])
    looked_up = site.held.looked_up
    assert looked_up in (len(RUNS), 2 * len(RUNS))
    await site.live(7)
    assert {(await site.journal.get(run)).proofs for run in RUNS} <= {8, 9, 10}  # type: ignore[union-attr]
    assert site.held.looked_up == looked_up + len(RUNS)


async def test_nothing_is_read_while_ucondb_is_left_alone(site: Site) -> None:
    """The gate is shut, or the daemon is paused."""
    site.free = False
    await site.live(30)
    assert (site.held.read, site.held.looked_up) == ([], 0)


@pytest.mark.parametrize("events", [[], [Event.UPLOAD_BEGINS]])
async def test_fresh_runs_come_first(site: Site, events: list[Event]) -> None:
    """While a run waits for its upload, or is being uploaded, nothing else is read."""
    await site.journal.see([20], Lane.FRESH)
    for event in (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, *events):
        await site.journal.record(Transition(20, event))
    await site.live(2)
    assert (site.held.read, site.held.looked_up) == ([], 0)


async def test_a_key_that_is_not_as_it_was_proven_is_read_at_once(site: Site) -> None:
    """The weekly look-up finds another size, and another checksum at the same size."""
    site.held.blobs[2] = b"longer than the blob of run 2"
    site.held.blobs[3] = blob(3)[::-1]
    await site.scrub.step()
    assert set(site.held.read) == {2, 3}
    assert await site.journal.proofs.faulty(BlobFault.DIFFERS) == [2, 3]


async def test_it_stands_still_and_goes_on_by_itself(site: Site) -> None:
    """Once what was missing is there again, all that was noted as missing is right again; nothing was uploaded."""
    gone = {run: site.held.blobs.pop(run) for run in (3, 4, 5, 6)}
    await site.live(2)
    assert await site.journal.proofs.standstill() is not None
    read = list(site.held.read)
    await site.live(10)
    assert site.held.read == read
    assert set((await site.journal.known()).values()) == {State.VERIFIED}
    site.held.blobs |= gone
    await site.live(0.1)
    assert await site.journal.proofs.standstill() is None
    assert await site.journal.proofs.faulty(BlobFault.MISSING) == []
    await site.live(2)
    assert len(site.held.read) > len(read)


async def test_blobs_that_can_be_read_again_end_a_standstill_too(site: Site) -> None:
    """The server gave errors for every blob for a while."""
    site.held.wrong = dict.fromkeys(RUNS, Finding.UNREADABLE)
    await site.live(2)
    assert await site.journal.proofs.standstill() is not None
    site.held.wrong = {}
    await site.live(2)
    assert await site.journal.proofs.standstill() is None
    rows = [await site.journal.get(run) for run in RUNS]
    assert all(row is not None and row.blob_fault is None for row in rows)


async def test_one_that_is_back_does_not_end_a_standstill(site: Site) -> None:
    """The others are missing still, perhaps from a wrong database: neither scrub nor pass nor retry sends any."""
    for run in (3, 4, 5):
        del site.held.blobs[run]
    await site.live(2)
    site.held.blobs[4] = blob(4)
    await site.live(8)
    assert [one.run for one in (await find_missing(site.journal, cast("Any", site.held))).withheld] == [3, 5]
    row = await site.journal.get(3)
    assert row is not None
    prover = Prover(site.journal, cast("Any", site.held), lambda: site.now)
    assert (await prover.prove(row)).verdict is Verdict.STOPPED
    assert await site.journal.proofs.standstill() is not None
    assert set((await site.journal.known()).values()) == {State.VERIFIED}


@pytest.mark.parametrize("released", [(3, 5), (3, 4, 5)])
async def test_an_operators_word_for_each_that_is_missing_ends_a_standstill(
    site: Site, released: tuple[int, ...]
) -> None:
    """One released alone goes; the scrub goes on when none is left that is missing without a word."""
    for run in (3, 4, 5):
        del site.held.blobs[run]
    await site.live(2)
    if 4 not in released:
        site.held.blobs[4] = blob(4)
    for run in released:
        assert await site.journal.proofs.standstill() is not None
        await release(site.journal, run, override=False)
    assert not await Prover(site.journal, cast("Any", site.held), lambda: site.now).find_withheld()
    for run in released:
        row = await site.journal.get(run)
        assert row is not None
        assert row.state is State.IMPORTED


async def test_a_server_that_is_away_is_asked_again_later(site: Site) -> None:
    """The step fails, nothing is noted, and the next one does the same again."""
    site.held.away = True
    for _ in range(2):
        with pytest.raises(UconDBError):
            await site.scrub.step()
    site.held.away = False
    await site.scrub.step()
    assert site.held.looked_up == len(RUNS)


async def test_a_drain_ends_it_at_once(site: Site) -> None:
    """It waits for nothing but the drain; a failure of UconDB, told once, does not end it."""
    shutdown = Shutdown(lambda: site.now)
    site.held.away = True
    watching = asyncio.create_task(site.scrub.watch(shutdown))
    await asyncio.sleep(0)
    shutdown.ask(ShutdownReason.DRAIN_ASKED)
    await asyncio.wait_for(watching, DEADLINE_SECONDS)
    assert longest_wait() == 60.0


async def test_runs_that_were_proven_elsewhere_are_left_alone(site: Site) -> None:
    """They are no loss of the configured UconDB: nothing is read, and nothing stands still."""
    places = Configured(Destination("a"), Destination("", "server", "folder", "object"), "/records")
    await site.journal.settle(places)
    site.held.blobs.clear()
    await site.live(30)
    assert (site.held.looked_up, site.held.read) == (0, [])
    assert await site.journal.proofs.standstill() is None
    assert {row.blob_fault for row in await site.journal.in_state(State.VERIFIED)} == {None}
    assert len(await site.journal.in_state(State.VERIFIED)) == len(RUNS)


async def test_a_standstill_ends_when_another_destination_is_configured(site: Site) -> None:
    """What is wrong with one database says nothing of another."""
    first, second = (Destination("", "server", folder, "object") for folder in ("first", "second"))
    await site.journal.settle(Configured(Destination("a"), first, "/records"))
    await site.journal.proofs.stop(Standstill(site.now, BlobFault.MISSING, "three in a row", "ask", (1, 2, 3)))
    await site.journal.settle(Configured(Destination("a"), first, "/records"))
    assert await site.journal.proofs.standstill() is not None
    await site.journal.settle(Configured(Destination("a"), second, "/records"))
    assert await site.journal.proofs.standstill() is None


async def test_several_damaged_blobs_in_a_row_can_be_replaced(site: Site) -> None:
    """It may be the server, so none is flagged; an operator who knows better has one replaced all the same."""
    site.held.wrong = dict.fromkeys((3, 4, 5, 6, 7), Finding.UNREADABLE)
    await site.live(2)
    standstill = await site.journal.proofs.standstill()
    assert standstill is not None
    row = await site.journal.get(7)
    assert row is not None
    prover = Prover(site.journal, cast("Any", site.held), lambda: site.now)
    assert (await prover.prove(row)).verdict is Verdict.STOPPED
    with pytest.raises(ArchiverError, match="cannot be read there"):
        await release(site.journal, 7, override=False)
    assert (await release(site.journal, 7, override=True)).override
    with pytest.raises(ArchiverError, match="cannot be released"):
        await release(site.journal, 1, override=True)


async def test_one_that_was_replaced_ends_a_standstill(site: Site) -> None:
    """Whichever of them it is, by itself; the others are no longer too many, and named."""
    site.held.wrong = dict.fromkeys((3, 4, 5), Finding.UNREADABLE)
    await site.live(2)
    del site.held.wrong[5]
    await site.live(2)
    assert await site.journal.proofs.standstill() is None
    assert await site.journal.proofs.faulty(BlobFault.DAMAGED) == [3, 4]


async def test_runs_proven_by_a_clock_that_was_ahead_hold_up_no_other(site: Site) -> None:
    """A run of a far future is proven again at once, and then in its turn, among all others."""
    await verify(site.journal, [20], site.now + 20_000 * DAY)
    site.held.blobs[20] = blob(20)
    await site.live(8.5)
    assert {(await site.journal.get(run)).proofs for run in RUNS} <= {3, 4}  # type: ignore[union-attr]
    assert site.held.read.count(20) <= 9


async def test_what_was_replaced_while_it_was_read_is_sound(site: Site) -> None:
    """The fault was that of the bytes from before: it is not noted against the new ones."""
    old = await site.journal.get(3)
    assert old is not None
    assert not await site.journal.proofs.note_fault(3, BlobFault.DAMAGED, "cut", "", "ab" * 32)
    assert await site.journal.proofs.faulty(BlobFault.DAMAGED) == []
    assert await site.journal.proofs.note_fault(3, BlobFault.DAMAGED, "cut", "", old.blob_sha256)
