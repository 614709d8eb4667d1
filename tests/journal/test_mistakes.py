"""Mistakes of ours in the journal's statements: bugs, told apart from what the file and its disk do."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from archiverd.core.errors import ArchiverError, exit_code
from archiverd.core.machine import Event, State
from archiverd.core.priority import Lane
from archiverd.journal.errors import is_mistake
from archiverd.journal.journal import Journal
from archiverd.journal.queries import select_run
from archiverd.journal.reader import reading
from archiverd.journal.schema import VERSION
from archiverd.journal.transitions import Transition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

MISTAKES: dict[str, Callable[[sqlite3.Connection], object]] = {
    "no such column": lambda db: db.execute("UPDATE runs SET attemps = 1"),
    "no such table": lambda db: db.execute("UPDATE rnus SET attempts = 1"),
    "syntax": lambda db: db.execute("UPDATE runs SETT attempts = 1"),
    "type": lambda db: db.execute("UPDATE runs SET attempts = 'one'"),
    "constraint": lambda db: db.execute("UPDATE runs SET attempts = NULL"),
    "parameters": lambda db: db.execute("UPDATE runs SET attempts = ?"),
    "value": lambda db: db.execute("UPDATE runs SET attempts = ?", (object(),)),
}


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """A journal with one run that has ended."""
    opened = Journal(tmp_path / "journal.sqlite", clock=lambda: 1.0)
    await opened.open()
    await opened.see([1], Lane.FRESH)
    await opened.record(Transition(1, Event.ENDED))
    yield opened
    await opened.close()


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
async def test_a_mistake_does_not_touch_the_rest_of_its_commit(journal: Journal, mistake: str, *, first: bool) -> None:
    """Of two changes in one commit the right one is made; the wrong one's caller gets its error as it is."""
    writer = journal._open_writer
    statements: list[str] = []
    await writer.read(lambda db: db.set_trace_callback(statements.append))
    held = threading.Event()
    blocked = asyncio.create_task(writer.read(lambda _: held.wait(20)))
    await asyncio.sleep(0)
    changes = [writer.write(MISTAKES[mistake]), journal.record(Transition(1, Event.IMPORT_BEGINS))]
    tasks = [asyncio.ensure_future(change) for change in (changes if first else reversed(changes))]
    await asyncio.sleep(0)
    held.set()
    await blocked
    results = await asyncio.gather(*tasks, return_exceptions=True)
    wrong, right = results if first else reversed(results)
    assert statements.count("COMMIT") == 1
    assert isinstance(wrong, sqlite3.Error)
    assert exit_code(wrong) == 2
    assert not isinstance(right, BaseException), right
    assert await journal.known() == {1: State.IMPORTING}


async def test_a_mistake_in_a_query_is_raised_as_it_is(journal: Journal, tmp_path: Path) -> None:
    """Whether the owner asks or a reader: no operator is sent to check the disk."""
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        await journal._open_writer.read(lambda db: db.execute("SELECT attemps FROM runs").fetchall())
    with pytest.raises(sqlite3.OperationalError, match="no such column"), reading(tmp_path / "journal.sqlite") as db:
        db.execute("SELECT attemps FROM runs")


async def test_a_query_that_another_versions_journal_cannot_answer_is_no_mistake(tmp_path: Path) -> None:
    """While the daemon of another version still runs, a command says so; one whose query works answers."""
    path = tmp_path / "journal.sqlite"
    opened = Journal(path, clock=lambda: 1.0)
    await opened.open()
    await opened._open_writer.write(lambda db: db.execute(f"PRAGMA user_version = {VERSION - 1}").fetchall())
    await opened.close()
    with pytest.raises(ArchiverError, match=f"schema version {VERSION - 1}; .* {VERSION}"), reading(path) as db:
        db.execute("SELECT new FROM runs")
    with reading(path) as db:
        assert db.execute("SELECT run FROM runs").fetchall() == []


@pytest.mark.parametrize("code", ["BUSY", "CANTOPEN", "CORRUPT", "FULL", "IOERR_FSYNC", "LOCKED", "NOMEM", "READONLY"])
def test_what_the_file_or_the_machine_does_is_no_mistake(code: str) -> None:
    """A full disk, damage, missing rights, a lock, no memory: an operator is told what to do."""
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
    assert not is_mistake(error)


async def test_no_cursor_leaves_the_journals_thread(journal: Journal) -> None:
    """One discarded in another thread would reset a statement that is being executed there: a mistake at once."""
    for work in (journal._open_writer.write, journal._open_writer.read):
        with pytest.raises(RuntimeError, match="cursor"):
            await work(lambda db: db.execute("SELECT 1"))


async def test_a_text_that_is_not_utf8_is_the_files(journal: Journal, tmp_path: Path) -> None:
    """Python cannot read it, and SQLite's check of the file does not see it: no bug, whoever reads the journal."""
    await journal._open_writer.write(lambda db: db.execute("UPDATE runs SET error = CAST(x'ff41' AS TEXT)").close())
    with pytest.raises(ArchiverError, match="Cannot use the journal: Could not decode") as caught:
        await journal.get(1)
    assert exit_code(caught.value) == 1
    with (
        pytest.raises(ArchiverError, match="Cannot use the journal: Could not decode"),
        reading(tmp_path / "journal.sqlite") as db,
    ):
        select_run(db, 1)


@pytest.mark.parametrize(
    "statements",
    ["CREATE TABLE other (x); PRAGMA user_version = 6", "CREATE TABLE runs (x)"],
    ids=["of this version", "of no version"],
)
async def test_a_file_of_another_program_is_no_bug(tmp_path: Path, statements: str) -> None:
    """Whoever opens it is told what the file is, with exit code 1, and its tables stay."""
    path = tmp_path / "journal.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as foreign:
        foreign.executescript(statements)
    with pytest.raises(ArchiverError, match="a database of another program") as opened:
        await Journal(path, clock=lambda: 1.0).open()
    with pytest.raises(ArchiverError, match="a database of another program"), reading(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as foreign:
        tables = foreign.execute("SELECT count(*) FROM sqlite_master").fetchone()
    assert (exit_code(opened.value), tables) == (1, (1,))
