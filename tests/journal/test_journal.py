"""The journal: durable, grouped, and never in a state the machine does not know."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, cast

import pytest

from archiverd.core.errors import ArchiverError, Retry
from archiverd.core.machine import Effect, Event, ForbiddenTransitionError, Stage, State
from archiverd.core.priority import BACKOFF_CAP_SECONDS, Lane, RetrySchedule, longest_wait
from archiverd.journal import first_phase, schema
from archiverd.journal.journal import Journal
from archiverd.journal.queries import select_counts, select_files, select_run, select_story
from archiverd.journal.reader import reading, reading_if_there
from archiverd.journal.rows import FileFate, ObservedRecord
from archiverd.journal.schema import EVENTS_KEPT, MIGRATIONS, VERSION, connect, select_version, upgrade
from archiverd.journal.transitions import Transition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Clock:
    """A clock that tests move by hand; epoch seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at 1000."""
    return Clock()


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[Journal]:
    """An open journal in an empty directory."""
    opened = Journal(tmp_path / "journal.sqlite", clock=clock)
    await opened.open()
    yield opened
    await opened.close()


async def put_in(journal: Journal, run: int, *events: Event) -> None:
    """See ``run`` and let ``events`` happen to it."""
    await journal.see([run], Lane.FRESH)
    for event in events:
        await journal.record(Transition(run, event))


async def test_what_was_recorded_is_there_after_reopening(tmp_path: Path, clock: Clock) -> None:
    """A recorded move survives the process that made it."""
    first = Journal(tmp_path / "j.sqlite", clock=clock)
    await first.open()
    await put_in(first, 7, Event.ENDED)
    await first.close()
    second = Journal(tmp_path / "j.sqlite", clock=clock)
    await second.open()
    row = await second.get(7)
    await second.close()
    assert row is not None
    assert (row.state, row.stage, row.seen_at) == (State.QUEUED, Stage.IMPORT, 1_000.0)


async def test_seeing_a_run_again_changes_nothing(journal: Journal) -> None:
    """A rescan never resets a run's progress."""
    await put_in(journal, 7, Event.ENDED, Event.IMPORT_BEGINS)
    await journal.see([7], Lane.BACKLOG)
    row = await journal.get(7)
    assert row is not None
    assert (row.state, row.lane) == (State.IMPORTING, Lane.FRESH)


async def test_a_forbidden_event_is_refused_and_undone(journal: Journal) -> None:
    """A move the machine does not know raises, and the moves beside it in the same commit do not happen either."""
    await journal.see([1, 2], Lane.FRESH)
    with pytest.raises(ForbiddenTransitionError):
        await journal.record(Transition(1, Event.ENDED), Transition(2, Event.UPLOAD_PROVEN))
    assert {row.run: row.state for row in await journal.in_state(*State)} == {1: State.OPEN, 2: State.OPEN}


async def test_a_mistake_of_one_caller_does_not_touch_another(journal: Journal) -> None:
    """Changes that share a commit fail one by one."""
    await journal.see([1, 2], Lane.FRESH)
    results = await asyncio.gather(
        journal.record(Transition(1, Event.ENDED)),
        journal.record(Transition(2, Event.UPLOAD_PROVEN)),
        return_exceptions=True,
    )
    assert isinstance(results[1], ForbiddenTransitionError)
    row = await journal.get(1)
    assert row is not None
    assert row.state is State.QUEUED


async def test_many_changes_share_commits(tmp_path: Path, clock: Clock) -> None:
    """Concurrent changes are committed in groups: far fewer syncs than changes."""
    journal = Journal(tmp_path / "j.sqlite", clock=clock)
    await journal.open()
    await journal.see(range(1, 201), Lane.BACKLOG)
    db = journal._open_writer._connection
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    await asyncio.gather(*(journal.record(Transition(run, Event.ENDED)) for run in range(1, 201)))
    db.set_trace_callback(None)
    assert sum(text == "COMMIT" for text in statements) < 50
    assert len(await journal.in_state(State.QUEUED)) == 200
    await journal.close()


async def test_effects_are_told_after_the_commit(tmp_path: Path, clock: Clock) -> None:
    """Whoever waits for a stage's work is woken by the move that makes it."""
    effects: list[Effect] = []
    journal = Journal(tmp_path / "j.sqlite", clock=clock, on_effect=effects.append)
    await journal.open()
    await put_in(journal, 1, Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE)
    await journal.close()
    assert effects == [Effect.WAKE_IMPORT, Effect.WAKE_MIGRATE]


async def test_fresh_before_retry_before_backlog_newest_first(journal: Journal, clock: Clock) -> None:
    """Picks follow the lanes, newest run first, and every fourth is the oldest of all."""
    await journal.see([10, 11], Lane.BACKLOG)
    await journal.see([20, 21, 30, 31], Lane.FRESH)
    for run in (10, 11, 20, 21, 30, 31):
        await journal.record(Transition(run, Event.ENDED))
    for run in (30, 31):  # newer than the fresh ones, and failed once
        await journal.record(Transition(run, Event.IMPORT_BEGINS))
        await journal.record(Transition(run, Event.FAILED_FOR_NOW, changes={"due": clock.now}))
    await journal.wake_due()
    picked: list[int] = []
    for _ in range(6):
        run = await journal.pick(Stage.IMPORT, picked)
        assert run is not None
        picked.append(run)
    assert picked == [21, 20, 31, 10, 30, 11]
    again = [await journal.pick(Stage.IMPORT, []) for _ in range(4)]
    assert again == [21, 10, 21, 21]


async def test_runs_in_hand_are_not_picked_again(journal: Journal) -> None:
    """A run is never worked on twice at the same time."""
    await put_in(journal, 5, Event.ENDED)
    assert await journal.pick(Stage.IMPORT, {5}) is None


async def test_a_retry_waits_until_it_is_due(journal: Journal, clock: Clock) -> None:
    """A failed run is picked again once its time has come, not before."""
    await put_in(journal, 5, Event.ENDED, Event.IMPORT_BEGINS)
    await journal.record(Transition(5, Event.FAILED_FOR_NOW, changes={"due": 1_030.0}))
    await journal.wake_due()
    assert (await journal.pick(Stage.IMPORT, ()), await journal.next_due(Stage.IMPORT)) == (None, 1_030.0)
    clock.now = 1_030.0
    await journal.wake_due()
    assert (await journal.pick(Stage.IMPORT, ()), await journal.next_due(Stage.IMPORT)) == (5, None)


async def test_a_clock_set_back_holds_up_no_retry(journal: Journal, clock: Clock) -> None:
    """A wait longer than any backoff was reckoned by a clock that has been set back since: it is over."""
    clock.now = 100_000.0
    for run in (4, 5):
        await put_in(journal, run, Event.ENDED, Event.IMPORT_BEGINS)
    await journal.record(Transition(4, Event.FAILED_FOR_NOW, changes={"due": clock.now + BACKOFF_CAP_SECONDS}))
    await journal.record(Transition(5, Event.IMPORT_DONE), Transition(5, Event.UPLOAD_BEGINS))
    await journal.record(Transition(5, Event.UPLOAD_UNCLEAR, changes={"due": clock.now + 3.0}))
    await journal.wake_due()
    assert (await journal.pick(Stage.IMPORT, ()), await journal.pick(Stage.MIGRATE, ())) == (None, None)
    clock.now -= 7_200.0
    await journal.wake_due()
    assert (await journal.pick(Stage.IMPORT, ()), await journal.pick(Stage.MIGRATE, ())) == (4, 5)
    assert await journal.next_due(Stage.MIGRATE) == clock.now


async def test_a_clock_set_back_holds_up_no_first_phase(journal: Journal, clock: Clock) -> None:
    """The first phase of a running run is tried again after fifteen minutes at the latest, whatever the clock says."""
    await journal.see([5], Lane.FRESH)
    await journal.note_observed([ObservedRecord(5, 1, "")])
    await journal.note_first_phase(first_phase.postponed(5, due=clock.now + BACKOFF_CAP_SECONDS))
    assert await journal.next_first_phase() is None
    clock.now -= 1.0
    assert await journal.next_first_phase() == 5


async def test_a_retry_delay_longer_than_the_backoff_is_kept(tmp_path: Path, clock: Clock) -> None:
    """Who configures an hour between quick retries gets an hour: that is no clock set back."""
    journal = Journal(tmp_path / "j.sqlite", clock=clock, longest_wait=longest_wait(RetrySchedule(2, 3_600.0)))
    await journal.open()
    await put_in(journal, 5, Event.ENDED, Event.IMPORT_BEGINS)
    await journal.record(Transition(5, Event.FAILED_FOR_NOW, changes={"due": clock.now + 3_600.0}))
    await journal.wake_due()
    assert (await journal.pick(Stage.IMPORT, ()), await journal.next_due(Stage.IMPORT)) == (None, clock.now + 3_600.0)
    await journal.close()


async def test_two_stages_may_wake_the_same_retries_at_once(journal: Journal, clock: Clock) -> None:
    """Both stages look for due retries; each retry is woken once, whoever comes first."""
    runs = range(1, 21)
    for run in runs:
        await put_in(journal, run, Event.ENDED, Event.IMPORT_BEGINS)
        await journal.record(Transition(run, Event.FAILED_FOR_NOW, changes={"due": 1_030.0}))
    clock.now = 1_030.0
    await asyncio.gather(journal.wake_due(), journal.wake_due())
    assert [row.run for row in await journal.in_state(State.QUEUED)] == list(runs)


async def test_a_restart_leaves_no_run_in_hand(journal: Journal) -> None:
    """Recovery moves importing back to queued and uploading to upload_unknown, and touches nothing else."""
    await put_in(journal, 1, Event.ENDED, Event.IMPORT_BEGINS)
    await put_in(journal, 2, Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS)
    await put_in(journal, 3, Event.ENDED)
    await journal.recover()
    states = {row.run: row.state for row in await journal.in_state(*State)}
    assert states == {1: State.QUEUED, 2: State.UPLOAD_UNKNOWN, 3: State.QUEUED}


async def test_whose_stop_line_may_still_come(journal: Journal) -> None:
    """Runs archived as dead, neither those on their way nor those whose stop line has come."""
    uploaded = (Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS, Event.UPLOAD_PROVEN)
    for run, dead, superseded in ((4, 1, 0), (3, 1, 1), (2, 0, 0), (1, 1, 0)):
        await journal.see([run], Lane.FRESH)
        await journal.record(Transition(run, Event.ENDED, changes={"dead": dead, "superseded": superseded}))
        await journal.record(*(Transition(run, event) for event in uploaded))
    await put_in(journal, 5, Event.ENDED)
    await journal.record(Transition(5, Event.IMPORT_BEGINS, changes={"dead": 1}))
    assert await journal.archived_as_dead() == [1, 4]


async def test_what_an_open_record_does_not_tell_now_is_kept(journal: Journal) -> None:
    """One that cannot be looked at for a while loses nothing; the cause goes when it can, and is no attempt at it."""
    await journal.see([5], Lane.FRESH)
    await journal.note_observed([ObservedRecord(5, 2, "start", "stop")])
    await journal.note_observed([ObservedRecord(5, error="ArchiverError: no", remedy="mend")])
    row = await journal.get(5)
    assert row is not None
    assert (row.partition, row.started, row.start_line, row.stop_line) == (2, True, "start", "stop")
    assert (row.error, row.remedy) == ("ArchiverError: no", "mend")
    assert (await journal.stage_file_memory(Stage.IMPORT).progress()).last_attempted_run == 0
    await journal.note_observed([ObservedRecord(5)])
    row = await journal.get(5)
    assert row is not None
    assert (row.error, row.remedy, row.started) == ("", "", True)


async def test_the_story_is_told_and_bounded(journal: Journal, tmp_path: Path) -> None:
    """A run's story keeps its first line and its last ones, whatever happens to it."""
    await put_in(journal, 1, Event.ENDED)
    for _ in range(EVENTS_KEPT):
        await journal.record(Transition(1, Event.IMPORT_BEGINS), Transition(1, Event.RESTARTED, "again"))
    with reading(tmp_path / "journal.sqlite") as db:
        story = select_story(db, 1)
    assert len(story) == EVENTS_KEPT
    assert (story[0].event, story[-1].event, story[-1].note) == ("ended", "restarted", "again")


async def test_the_fate_of_every_file_is_kept(journal: Journal, tmp_path: Path) -> None:
    """What was archived and what was left out can be read by another process while the journal is open (I7)."""
    await put_in(journal, 1, Event.ENDED, Event.IMPORT_BEGINS)
    fates = (FileFate("boot.txt", "boot", ""), FileFate("core.1", "", "not a run record file"))
    await journal.record(Transition(1, Event.IMPORT_DONE, files=fates))
    with reading(tmp_path / "journal.sqlite") as db:
        assert select_files(db, 1) == list(fates)
        assert select_counts(db) == {State.IMPORTED: 1}


async def test_a_name_that_is_not_utf_8_is_kept_legibly(journal: Journal, tmp_path: Path) -> None:
    """One Latin-1 byte in a file's name, wherever it is told, does not take the journal down."""
    await put_in(journal, 1, Event.ENDED, Event.IMPORT_BEGINS)
    odd = os.fsdecode(b"caf\xe9.txt")
    fates = (FileFate(odd, "", f"not FHiCL: {odd}"), FileFate("\ud800", "", ""))
    (row,) = await journal.record(Transition(1, Event.IMPORT_DONE, odd, {"error": odd}, fates))
    await journal.note_first_phase(first_phase.given_up(1, error=odd, attempts=1))
    assert row.error == "caf\\xe9.txt"
    with reading(tmp_path / "journal.sqlite") as db:
        assert [fate.name for fate in select_files(db, 1)] == ["\\ud800", "caf\\xe9.txt"]
        assert select_story(db, 1)[-1].note == "caf\\xe9.txt"


async def test_the_latest_start_of_each_partition_is_known(journal: Journal) -> None:
    """After a restart it is still known that a later run of a partition has started."""
    await journal.see([1, 2, 3, 4], Lane.FRESH)
    started = [(1, 1, 1), (2, 1, 1), (3, 2, 1), (4, 1, 0)]
    for run, partition, began in started:
        await journal.record(Transition(run, Event.ENDED, changes={"partition": partition, "started": began}))
    assert await journal.latest_started() == {1: 2, 2: 3}


@pytest.mark.parametrize("junk", [b"this is no database", b"SQLite format 3\0" + b"\xff" * 8192])
async def test_a_damaged_journal_is_set_aside_and_made_anew(tmp_path: Path, clock: Clock, junk: bytes) -> None:
    """No human is needed: the damaged file is kept beside, and the new one says that it is new."""
    path = tmp_path / "journal.sqlite"
    for number in (1, 2):
        path.write_bytes(junk)
        journal = Journal(path, clock=clock)
        await journal.open()
        assert not await journal.has_taken_over()
        assert await journal.known() == {}
        await journal.close()
        assert (tmp_path / f"journal.sqlite.corrupted-{number}").read_bytes() == junk


async def test_a_journal_with_a_broken_page_is_set_aside(tmp_path: Path, clock: Clock) -> None:
    """The integrity check at the start finds damage in the middle of the file."""
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, clock=clock)
    await journal.open()
    await journal.see(range(1, 2000), Lane.FRESH)
    await journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xa5" * 8192 + whole[16384:])
    await journal.open()
    assert not await journal.has_taken_over()
    assert (tmp_path / "journal.sqlite.corrupted-1").exists()
    await journal.close()


AS_THEN = """
    INSERT INTO runs (run, state, stage, lane, error, seen_at, changed_at) VALUES
        (1, 'verified', 'migrate', 0, '', 1.0, 2.0), (2, 'retry_wait', 'import', 1, 'ArtdaqDBError: x', 1.0, 2.0),
        (3, 'uploading', 'migrate', 2, '', 1.0, 2.0), (4, 'quarantined', 'migrate', 2, 'UconDBError: y', 1.0, 2.0);
    INSERT INTO events (run, at, event, state, note) VALUES (1, 2.0, 'upload_proven', 'verified', 'as then');
"""
FILE_AS_THEN = "INSERT INTO files VALUES (1, 'boot.txt', 'boot', '')"
FILE_SINCE_7 = """
    INSERT INTO contents (id, name, entity, reason, sha256) VALUES (4, 'boot.txt', 'boot', '', x'');
    INSERT INTO manifests VALUES (1, '4');
"""


def test_a_journal_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that reads it meanwhile sees no version in between, nor tables without a version."""
    path = tmp_path / "journal.sqlite"
    with monkeypatch.context() as broken, closing(connect(str(path))) as db:
        broken.setattr(schema, "MIGRATIONS", (*MIGRATIONS[:-1], "CREATE TABLE last (x); NONSENSE"))
        with pytest.raises(sqlite3.OperationalError):
            schema.upgrade(db)
        assert select_version(db) == 0
        with reading_if_there(path) as found:
            assert found is None
        broken.undo()
        schema.upgrade(db)
    with reading_if_there(path) as found:
        assert found is not None
        assert select_version(found) == VERSION


@pytest.mark.parametrize("version", range(1, VERSION))
async def test_a_journal_of_an_older_version_is_taken_over(tmp_path: Path, clock: Clock, version: int) -> None:
    """Whatever version wrote it: every run, story and file is kept, and failed runs stand in their failure logs."""
    path = tmp_path / "journal.sqlite"
    db = sqlite3.connect(path)
    for number in range(version):
        db.executescript(MIGRATIONS[number])
    db.executescript(AS_THEN)
    db.executescript(FILE_AS_THEN if version < 7 else FILE_SINCE_7)
    if version >= 2:
        db.execute("UPDATE runs SET listed = 1 WHERE run IN (2, 4)")
    if version >= 6:
        db.execute("INSERT INTO marks VALUES ('taken over')")
    db.execute(f"PRAGMA user_version = {version}")
    db.commit()
    db.close()
    journal = Journal(path, clock=clock)
    await journal.open()
    assert await journal.has_taken_over()
    await journal.recover()
    states = {row.run: row.state for row in await journal.in_state(*State)}
    assert states == {1: State.VERIFIED, 2: State.RETRY_WAIT, 3: State.UPLOAD_UNKNOWN, 4: State.QUARANTINED}
    assert (await journal.listed(Stage.IMPORT), await journal.listed(Stage.MIGRATE)) == ({2}, {4})
    assert await journal.stage_file_memory(Stage.IMPORT).state_texts() is None
    await journal.close()
    with reading(path) as read:
        assert [line.note for line in select_story(read, 1)] == ["as then"]
        assert select_files(read, 1) == [FileFate("boot.txt", "boot", "")]
        made = connect(":memory:")
        upgrade(made)
        assert _tables(read) == _tables(made)
        made.close()


def _tables(db: sqlite3.Connection) -> list[tuple[str, list[tuple[object, ...]]]]:
    """Return the tables and indexes of a journal, with their columns."""
    names = [row["name"] for row in db.execute("SELECT name FROM sqlite_master ORDER BY name")]
    return [(name, [tuple(column)[1:] for column in db.execute(f"PRAGMA table_info({name})")]) for name in names]


async def test_a_migration_that_fails_half_way_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is one transaction: the older archiverd could still read what is there."""
    path = tmp_path / "journal.sqlite"
    db = connect(str(path))
    db.executescript(MIGRATIONS[0])
    db.execute("PRAGMA user_version = 1")
    before = _tables(db)
    monkeypatch.setattr(schema, "MIGRATIONS", (MIGRATIONS[0], f"{MIGRATIONS[1]}; CREATE TABLE runs (run);"))
    monkeypatch.setattr(schema, "VERSION", 2)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        upgrade(db)
    db.close()
    db = connect(str(path))
    assert (_tables(db), db.execute("PRAGMA user_version").fetchone()[0]) == (before, 1)
    db.close()


async def test_commits_are_synced_and_grouped(tmp_path: Path, clock: Clock) -> None:
    """WAL, every commit synced; what queued up meanwhile shares one commit, up to the limit."""
    journal = Journal(tmp_path / "journal.sqlite", clock=clock, group_limit=5)
    await journal.open()
    pragmas = ("journal_mode", "synchronous")
    found = [await journal._open_writer.read(lambda db, p=p: db.execute(f"PRAGMA {p}").fetchone()[0]) for p in pragmas]
    assert found == ["wal", 2]
    statements: list[str] = []
    await journal._open_writer.read(lambda db: db.set_trace_callback(statements.append))
    held = threading.Event()
    blocked = asyncio.create_task(journal._open_writer.read(lambda _: held.wait(20)))
    await asyncio.sleep(0)
    seeing = [asyncio.create_task(journal.see([run], Lane.FRESH)) for run in range(1, 20)]
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(blocked, *seeing)
    assert 4 <= statements.count("COMMIT") <= 5
    await journal.close()


class Sick:
    """A connection whose disk has a fault; everything else is real."""

    def __init__(self, connection: sqlite3.Connection, statement: str, error: sqlite3.Error, code: int) -> None:
        self.connection, self.statement, self.error, self.well = connection, statement, error, False
        self.error.sqlite_errorcode = code

    def __getattr__(self, name: str) -> object:
        return getattr(self.connection, name)

    def execute(self, sql: str, *values: object) -> object:
        if sql.startswith(self.statement) and not self.well:
            raise self.error
        return self.connection.execute(sql, *values)


FSYNC_FAILED = (sqlite3.OperationalError("disk I/O error"), 1034)  # SQLITE_IOERR_FSYNC
FULL = (sqlite3.OperationalError("database or disk is full"), sqlite3.SQLITE_FULL)
DAMAGED = (sqlite3.DatabaseError("database disk image is malformed"), 779)  # SQLITE_CORRUPT_INDEX


@pytest.mark.parametrize(
    ("statement", "error", "code", "told", "retry"),
    [
        ("COMMIT", *FSYNC_FAILED, "Cannot use the journal: disk I/O error", Retry.TRANSIENT),
        ("COMMIT", *FULL, r"Cannot write the journal: OSError: \[Errno 28\]", Retry.TRANSIENT),
        ("UPDATE", *FULL, r"Cannot write the journal: OSError: \[Errno 28\]", Retry.TRANSIENT),
        ("SELECT", *FSYNC_FAILED, "Cannot use the journal: disk I/O error", Retry.TRANSIENT),
        ("SELECT", *DAMAGED, "The journal is damaged", Retry.PERMANENT),
        ("UPDATE", *DAMAGED, "The journal is damaged", Retry.PERMANENT),
    ],
)
async def test_a_sick_disk_is_told_in_words_and_nothing_counts(
    journal: Journal, statement: str, error: sqlite3.Error, code: int, told: str, retry: Retry
) -> None:
    """A failed sync, a full disk, damage met on the way: an error an operator can read, no change, and on it goes."""
    await put_in(journal, 1, Event.ENDED)
    writer = journal._open_writer
    sick = Sick(writer._connection, statement, error, code)
    writer._connection = cast("sqlite3.Connection", sick)
    both = await asyncio.gather(
        journal.record(Transition(1, Event.IMPORT_BEGINS)), journal.known(), return_exceptions=True
    )
    assert isinstance(both[0], ArchiverError)
    assert re.match(told, str(both[0]))
    assert both[0].retry is retry
    assert isinstance(both[1], ArchiverError) or both[1] == {1: State.QUEUED}
    sick.well = True
    assert await journal.known() == {1: State.QUEUED}
    await journal.record(Transition(1, Event.IMPORT_BEGINS))


async def test_a_newer_journal_is_refused(tmp_path: Path, clock: Clock) -> None:
    """An older archiverd does not touch a newer one's journal."""
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(ArchiverError, match=f"schema version {VERSION + 1}"):
        await Journal(path, clock=clock).open()


async def test_a_full_disk_loses_nothing(journal: Journal) -> None:
    """When the journal cannot grow the caller is told so, nothing has changed, and later it goes on."""
    await put_in(journal, 1, Event.ENDED)
    (pages,) = await journal._open_writer.read(lambda db: db.execute("PRAGMA page_count").fetchone())
    await journal._open_writer.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    with pytest.raises(ArchiverError, match="No space left on device") as caught:
        await journal.record(Transition(1, Event.IMPORT_BEGINS, "x" * 1_000_000))
    assert caught.value.retry is Retry.TRANSIENT
    row = await journal.get(1)
    assert row is not None
    assert row.state is State.QUEUED
    await journal._open_writer.read(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    await journal.record(Transition(1, Event.IMPORT_BEGINS))


async def test_a_missing_journal_is_said_plainly(tmp_path: Path) -> None:
    """Asking before the first start says that there is nothing yet."""
    with pytest.raises(ArchiverError, match="There is no journal"), reading(tmp_path / "none.sqlite"):
        pass


async def test_a_journal_that_is_being_made_is_not_there_yet(tmp_path: Path) -> None:
    """Whoever asks between the making of the file and of its tables is told that there is nothing yet."""
    with sqlite3.connect(tmp_path / "new.sqlite") as db:
        db.execute("PRAGMA journal_mode = WAL")
    db.close()
    with pytest.raises(ArchiverError, match="There is no journal"), reading(tmp_path / "new.sqlite"):
        pass


async def test_who_may_only_read_can_read(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody on shift who may not write to the work directory sees the journal, and leaves nothing there."""
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, clock=clock)
    await journal.open()
    await put_in(journal, 1, Event.ENDED)
    await journal.close()
    monkeypatch.setattr("archiverd.journal.schema.os.access", lambda *_: False)
    with reading(path) as db:
        assert select_counts(db) == {State.QUEUED: 1}
    assert [left.name for left in tmp_path.iterdir()] == ["journal.sqlite"]


KILLED = """
import asyncio, sys
from pathlib import Path
from archiverd import log
from archiverd.core.priority import Lane
from archiverd.core.machine import Event
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition

log.configure("INFO")

async def main():
    journal = Journal(Path(sys.argv[1]), clock=lambda: 1.0)
    await journal.open()
    for run in range(1, 100_000):
        await journal.see([run], Lane.FRESH)
        await journal.record(Transition(run, Event.ENDED))
        print(run, flush=True)

asyncio.run(main())
"""


def test_whatever_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """Kill -9 loses no move that was acknowledged (I6)."""
    path = tmp_path / "journal.sqlite"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = 0
    for line in child.stdout:
        acknowledged = int(line)
        if acknowledged == 25:
            os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with reading(path) as db:
        rows = [select_run(db, run) for run in range(1, acknowledged + 1)]
    assert all(row is not None and row.state is State.QUEUED for row in rows)
