"""Run records on a file system that answers no more: nothing else waits for it, not even the end."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from archiverd.app.operations import reconcile as operation
from archiverd.app.operations.requests import ReconcileRequest
from archiverd.audit import reconcile
from archiverd.core.machine import State
from archiverd.journal.writer import Writer
from archiverd.pipeline import first_phase, importer
from archiverd.process.progress import silent
from archiverd.status import probe
from archiverd.watch import late_stops
from archiverd.watch.ages import Timekeeper
from tests.waiting import DEADLINE_SECONDS, NEVER_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

RECORDS = Path("/nowhere")
SETTINGS: Any = SimpleNamespace(
    watch=SimpleNamespace(
        rescan_seconds=1, settle_seconds=1, final_wait_seconds=1, abandon_after_seconds=1, promised_files=True
    ),
    source_files=SimpleNamespace(run_records_dir=RECORDS),
)
ROW: Any = mock.Mock(run=7, dead=True, superseded=False, state=State.QUEUED, blob_sha256="", imported_at=None)


class Frozen:
    """A file system that is asked, and does not answer until the test is over."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._over = threading.Event()

    def __call__(self, *_: object, **__: object) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.asked.set)
        self._over.wait(NEVER_SECONDS)
        raise OSError("stale file handle")

    def thaw(self) -> None:
        """Let everybody go who waits."""
        self._over.set()


@pytest.fixture
async def frozen() -> AsyncIterator[Frozen]:
    """A frozen file system; the loop has one thread."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    made = Frozen()
    yield made
    made.thaw()


def journal(**answers: object) -> Any:
    """Return a journal that gives these answers."""
    return mock.Mock(**{name: mock.AsyncMock(return_value=answer) for name, answer in answers.items()})


def importing(read: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> importer.Importer:
    """Return the import stage, as far as it gets when it reads by ``read``."""
    monkeypatch.setattr(importer, "read_run_record", read)
    rows = journal(get=ROW, record=(ROW,))
    unused: Any = None
    return importer.Importer(rows, unused, unused, unused, RECORDS, (), "archive", unused, unused)


def of_an_import(read: Frozen, monkeypatch: pytest.MonkeyPatch) -> Coroutine[Any, Any, object]:
    """Import a run."""
    return importing(read, monkeypatch)(7)


def of_a_first_phase(read: Frozen, monkeypatch: pytest.MonkeyPatch) -> Coroutine[Any, Any, object]:
    """Take a run through its first phase."""
    unused: Any = None
    stage = importing(read, monkeypatch)
    return first_phase.FirstPhase(journal(first_phase=ROW), stage, unused, unused, unused)(7)


def of_latecomers(read: Frozen, monkeypatch: pytest.MonkeyPatch) -> Coroutine[Any, Any, object]:
    """Look for a late stop line."""
    monkeypatch.setattr(late_stops, "record_stamp", read)
    return late_stops.LateStopWatcher(SETTINGS, journal(archived_as_dead=[7]), Timekeeper()).check()


def of_a_comparison(read: Frozen, monkeypatch: pytest.MonkeyPatch) -> Coroutine[Any, Any, object]:
    """Begin a comparison."""
    monkeypatch.setattr(operation, "scan_records", read)
    return operation.reconcile(mock.Mock(settings=SETTINGS), ReconcileRequest(deep=True), silent)


def of_a_deep_comparison(read: Frozen, monkeypatch: pytest.MonkeyPatch) -> Coroutine[Any, Any, object]:
    """Hold a verified run against its directory."""
    monkeypatch.setattr(reconcile, "_unaccounted", read)
    monkeypatch.setattr(reconcile, "is_proven", lambda *_: True)
    sources: Any = SimpleNamespace(journal=journal(story=[], files=[]), directories={7}, records=RECORDS)
    return reconcile._check_verified(sources, ROW, mock.Mock(), "")


def of_a_probe(read: Frozen, monkeypatch: pytest.MonkeyPatch) -> Coroutine[Any, Any, object]:
    """List the runs for `status --probe`."""
    monkeypatch.setattr(probe, "scan_records", read)
    return probe._probe_filesystem(SETTINGS, mock.Mock())


@pytest.mark.parametrize(
    "look",
    [of_an_import, of_a_first_phase, of_latecomers, of_a_comparison, of_a_deep_comparison, of_a_probe],
)
async def test_a_look_at_frozen_run_records_takes_none_of_the_loops_threads(
    frozen: Frozen,
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[Frozen, pytest.MonkeyPatch], Coroutine[Any, Any, object]],
) -> None:
    """Other work goes on meanwhile, and the process, which waits for the loop's threads, can end."""
    looking_at = asyncio.create_task(look(frozen, monkeypatch))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await frozen.asked.wait()
        assert await asyncio.to_thread(lambda: 7) == 7
    looking_at.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking_at


async def test_the_journal_closes_though_all_of_the_loops_threads_hang(frozen: Frozen) -> None:
    """Its last changes are durable and its caller goes on."""
    asyncio.get_running_loop().run_in_executor(None, frozen).add_done_callback(lambda hung: hung.exception())
    await frozen.asked.wait()
    writer = Writer(sqlite3.connect(":memory:", check_same_thread=False))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await writer.close()
