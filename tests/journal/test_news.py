"""What is news to people, read from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import Event, Stage
from archiverd.core.priority import Lane
from archiverd.journal.journal import Journal
from archiverd.journal.news import Failed, Repaired
from archiverd.journal.rows import Hold
from archiverd.journal.schema import MIGRATIONS, connect
from archiverd.journal.transitions import Transition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

QUICK = 2
ARTDAQDB = "ArtdaqDBError: x"


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """An open journal at a fixed time."""
    opened = Journal(tmp_path / "journal.sqlite", clock=lambda: 1_000.0)
    await opened.open()
    yield opened
    await opened.close()


async def happen(journal: Journal, run: int, *events: Event, **changes: object) -> None:
    """Let events happen to a run; ``changes`` come with the last."""
    await journal.see([run], Lane.FRESH)
    for event in events[:-1]:
        await journal.record(Transition(run, event))
    await journal.record(Transition(run, events[-1], changes=changes))


async def fail(journal: Journal, run: int, event: Event = Event.FAILED_FOR_GOOD, **changes: object) -> None:
    """Let a new run fail in the import."""
    known = {"error": ARTDAQDB, "remedy": "mend", "attempts": 1, **changes}
    await happen(journal, run, Event.ENDED, Event.IMPORT_BEGINS, event, **known)


async def verify(journal: Journal, run: int) -> None:
    """Let a run that was released go through."""
    await happen(
        journal, run, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS, Event.UPLOAD_PROVEN, attempts=0
    )


async def failed(journal: Journal, teller: str = "email") -> list[int]:
    """Return the runs whose failure is news."""
    return [one.run for one in (await journal.notification_memory(teller).news(QUICK)).failed]


async def test_a_failure_is_news_once_to_each_teller(journal: Journal) -> None:
    """What was told by mail is still news to Slack."""
    await fail(journal, 7)
    email = journal.notification_memory("email")
    (news,) = (await email.news(QUICK)).failed
    assert (news.run, news.stage, news.error, news.remedy, news.lasting) == (7, Stage.IMPORT, ARTDAQDB, "mend", True)
    await email.note_notified([news])
    assert (await failed(journal), await failed(journal, "slack")) == ([], [7])


async def test_what_was_told_is_remembered_over_a_restart(journal: Journal, tmp_path: Path) -> None:
    """A daemon that starts again tells nothing twice."""
    await fail(journal, 7)
    await journal.notification_memory("email").note_notified(
        (await journal.notification_memory("email").news(QUICK)).failed
    )
    await journal.close()
    again = Journal(tmp_path / "journal.sqlite", clock=lambda: 2_000.0)
    await again.open()
    assert await failed(again) == []
    await again.close()


async def test_a_journal_from_before_people_were_told_tells_what_stands_failed(tmp_path: Path) -> None:
    """An update keeps every run, and whoever is told for the first time hears of all that stand failed."""
    path = tmp_path / "journal.sqlite"
    old = connect(str(path))
    for number, script in enumerate(MIGRATIONS[:2], 1):
        old.executescript(f"BEGIN;{script};PRAGMA user_version = {number};COMMIT;")
    old.execute(
        "INSERT INTO runs (run, state, stage, lane, attempts, listed, error, seen_at, changed_at) "
        "VALUES (7, 'quarantined', 'import', 0, 1, 1, 'ArtdaqDBError: x', 1.0, 2.0)"
    )
    old.close()
    updated = Journal(path, clock=lambda: 1_000.0)
    await updated.open()
    assert await failed(updated) == [7]
    await updated.close()


async def test_quick_retries_come_before_people_know(journal: Journal) -> None:
    """A passing failure is news when it has outlived its quick retries, a lasting one at once."""
    await fail(journal, 1, Event.FAILED_FOR_NOW, attempts=QUICK)
    await fail(journal, 2, Event.FAILED_FOR_NOW, attempts=QUICK + 1)
    await fail(journal, 3)
    assert await failed(journal) == [2, 3]


async def test_an_upload_whose_outcome_stays_unknown_is_a_failure_too(journal: Journal) -> None:
    """Nobody knows whether it is there: that is worth knowing after the quick retries."""
    way = (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS, Event.UPLOAD_UNCLEAR)
    await happen(journal, 4, *way, error="UconDBError: timed out", attempts=QUICK + 1)
    await happen(journal, 5, *way, error="UconDBError: timed out", attempts=1)
    assert [(one.run, one.stage) for one in (await journal.notification_memory("email").news(QUICK)).failed] == [
        (4, Stage.MIGRATE)
    ]


async def test_a_retry_that_fails_for_another_reason_is_no_news(journal: Journal) -> None:
    """A run that swings between two passing causes does not call people every quarter of an hour."""
    await fail(journal, 7, Event.FAILED_FOR_NOW, attempts=3)
    email = journal.notification_memory("email")
    await email.note_notified((await email.news(QUICK)).failed)
    way = (Event.DUE, Event.IMPORT_BEGINS, Event.FAILED_FOR_NOW)
    await happen(journal, 7, *way, error="ArtdaqDBError: y", attempts=4)
    assert await failed(journal) == []
    await happen(journal, 7, Event.DUE, Event.IMPORT_BEGINS, Event.FAILED_FOR_GOOD, error="ArtdaqDBError: z")
    assert await failed(journal) == [7], "waiting is no longer enough"


async def test_a_failure_after_a_release_is_news_again(journal: Journal) -> None:
    """An operator who thought the cause was mended has to know that it is not."""
    await fail(journal, 7)
    email = journal.notification_memory("email")
    await email.note_notified((await email.news(QUICK)).failed)
    await happen(journal, 7, Event.RELEASED, Event.IMPORT_BEGINS)
    assert await failed(journal) == []
    await happen(journal, 7, Event.FAILED_FOR_GOOD, error=ARTDAQDB)
    assert await failed(journal) == [7]
    await email.note_notified((await email.news(QUICK)).failed)
    assert await failed(journal) == []


async def test_a_failure_in_the_next_stage_is_news(journal: Journal) -> None:
    """A run that was told of in the import and then fails in the migration is told of there."""
    await fail(journal, 7)
    email = journal.notification_memory("email")
    await email.note_notified((await email.news(QUICK)).failed)
    way = (Event.RELEASED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.FAILED_FOR_GOOD)
    await happen(journal, 7, *way, error="BlobCreationError: x")
    assert [(one.run, one.stage) for one in (await email.news(QUICK)).failed] == [(7, Stage.MIGRATE)]


async def test_only_a_repair_of_what_was_told_is_news(journal: Journal) -> None:
    """Verified runs nobody was told of stay unmentioned; one taken out of the reckoning is forgotten in silence."""
    for run in (1, 2, 3):
        await fail(journal, run)
    email = journal.notification_memory("email")
    told: tuple[Failed, ...] = tuple(one for one in (await email.news(QUICK)).failed if one.run != 3)
    await email.note_notified(told)
    for run in (1, 3):
        await happen(journal, run, Event.RELEASED)
        await verify(journal, run)
    await happen(journal, 2, Event.WAIVED)
    news = await email.news(QUICK)
    assert (news.failed, news.repaired, news.dropped) == ((), (Repaired(1, Stage.IMPORT),), (2,))
    await email.forget([1, 2])
    news = await email.news(QUICK)
    assert (news.repaired, news.dropped) == ((), ())


async def test_a_run_on_its_way_is_neither(journal: Journal) -> None:
    """While a told run is tried again there is nothing to tell."""
    await fail(journal, 7)
    email = journal.notification_memory("email")
    await email.note_notified((await email.news(QUICK)).failed)
    await happen(journal, 7, Event.RELEASED)
    news = await email.news(QUICK)
    assert (news.failed, news.repaired, news.dropped) == ((), (), ())


async def test_a_number_taken_out_of_the_log_is_told_after_a_new_failure_only(journal: Journal) -> None:
    """Who empties a failure log knows what stood in it."""
    await fail(journal, 7)
    await journal.stage_file_memory(Stage.IMPORT).unlist({7})
    assert await failed(journal) == []
    await happen(journal, 7, Event.RELEASED, Event.IMPORT_BEGINS, Event.FAILED_FOR_GOOD)
    assert await failed(journal) == [7]


async def test_an_outage_and_its_end_are_news_once(journal: Journal) -> None:
    """However often its probes change the hold."""
    email = journal.notification_memory("email")
    first = Hold("UconDB", "away", 50.0, "UconDBError: x", "wait", 1, 60.0)
    await journal.hold("UconDB", first)
    assert (await email.news(QUICK)).holds == (first,)
    await email.note_hold(first)
    await journal.hold("UconDB", Hold("UconDB", "away", 50.1, "UconDBError: y", "wait", 9, 90.0))
    assert (await email.news(QUICK)).holds == ()
    await journal.hold("UconDB", None)
    assert (await email.news(QUICK)).over == (("UconDB", 50.0),)
    await email.forget_hold("UconDB")
    assert (await email.news(QUICK)).over == ()


async def test_the_migration_is_counted_by_how_its_runs_stand(journal: Journal) -> None:
    """A run counts once however often it was tried, and only for what happened since the last count."""
    way = (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE)
    await happen(journal, 1, *way, Event.UPLOAD_BEGINS, Event.UPLOAD_PROVEN, verified_at=10.0)
    begun = (await journal.migrated(1 << 62)).event
    await happen(journal, 2, *way, Event.FAILED_FOR_NOW)
    await happen(journal, 2, Event.DUE, Event.UPLOAD_BEGINS, Event.UPLOAD_PROVEN, verified_at=20.0)
    await happen(journal, 3, *way, Event.FAILED_FOR_NOW)
    await happen(journal, 3, Event.DUE, Event.FAILED_FOR_GOOD)
    await fail(journal, 4)
    found = await journal.migrated(begun)
    assert (found.successful, found.failed, found.last_successful_run) == (1, 1, 2)
    found = await journal.migrated(found.event)
    assert (found.successful, found.failed, found.last_successful_run) == (0, 0, 2)
