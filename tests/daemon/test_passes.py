"""Passes beside a running daemon: the same runs, checks and files as in a pass alone.

The journal, the state files and the gate are real; the stages are the test.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from archiverd import log
from archiverd.app.operations.passes import prepare_once, prepare_recover, prepare_retry
from archiverd.app.operations.requests import OnceRequest, RecoverRequest, RetryRequest
from archiverd.app.stages import Migration
from archiverd.app.wiring import Parts, make_state_files
from archiverd.config.models import Settings
from archiverd.core.environment import Environment
from archiverd.core.errors import ArchiverError, Blame, Retry, UconDBError
from archiverd.core.machine import Event, Stage, State
from archiverd.core.priority import Lane
from archiverd.daemon.passes import DaemonDriver
from archiverd.journal.journal import Journal
from archiverd.journal.rows import ObservedRecord
from archiverd.journal.transitions import RunChanges, Transition
from archiverd.pipeline.gate import Gate
from archiverd.process.progress import silent
from archiverd.process.shutdown import Shutdown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from pathlib import Path

    from archiverd.app.operations.results import PassResult

SECONDS = 30.0
AWAY = UconDBError("UconDB is away", retry=Retry.TRANSIENT, blame=Blame.BACKEND)


@dataclass
class Databases:
    """An artdaqDB and a UconDB that hold the same runs, and what was asked of UconDB."""

    archived: set[int] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def list_runs(self) -> Mapping[int, object]:
        return {run: SimpleNamespace(configuration=f"{run}/demo") for run in self.archived}

    async def list_keys(self) -> Mapping[str, object]:
        self.asked.append("list_keys")
        return {str(run): object() for run in self.archived}

    async def look_up_all(self, keys: list[str]) -> Mapping[str, object]:
        self.asked.append("look_up_all")
        return {key: object() for key in keys if int(key) in self.archived}


@dataclass
class Stages:
    """A daemon whose stages do what the test does."""

    journal: Journal
    parts: Parts
    driver: DaemonDriver
    databases: Databases
    failing_probes: list[ArchiverError]
    """The answers of the next probes of UconDB; without one they pass."""
    found: int = 0
    """How many scans were asked for."""
    late_stops: int = 0
    """How often late stop lines were looked for."""
    on_scan: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def find_now(self) -> None:
        """Stand for the watch."""
        self.found += 1
        if self.on_scan is not None:
            await self.on_scan()

    async def check(self) -> None:
        """Stand for the check of late stop lines."""
        self.late_stops += 1

    async def move(self, run: int, *events: Event, **changes: object) -> None:
        """Record events of a run."""
        for event in events:
            await self.journal.record(Transition(run, event, "", cast("RunChanges", changes)))

    async def see(self, run: int, *events: Event) -> None:
        """Note a run and let events happen to it."""
        await self.journal.see([run], Lane.FRESH)
        await self.move(run, *events)

    async def once(self, request: OnceRequest) -> PassResult:
        """Make a pass as `once` does."""
        return await self.driver.make_pass(lambda: prepare_once(self.driver, request, silent), silent)

    async def retry(self, request: RetryRequest) -> PassResult:
        """Make a pass as `retry` does."""
        return await self.driver.make_pass(lambda: prepare_retry(self.driver, request, silent), silent)

    async def recover(self, request: RecoverRequest) -> PassResult:
        """Make a pass as `recover` does."""
        return await self.driver.make_pass(lambda: prepare_recover(self.driver, request, silent), silent)


@asynccontextmanager
async def running(root: Path, first_phase: object = None) -> AsyncIterator[Stages]:
    """Yield a daemon's parts; UconDB works, and every first start is over."""
    (root / "work").mkdir()
    (root / "records").mkdir()
    settings = Settings.model_validate(
        {
            "app": {"work_dir": root / "work", "retry_delay_seconds": 0.1, "run_process_retries": 2},
            "source_files": {"run_records_dir": root / "records"},
            "artdaq_db": {"database_uri": "filesystemdb:///x"},
        }
    )
    journal = Journal(root / "work" / "journal.sqlite", clock=time.time)
    await journal.open()
    await journal.note_taken_over()
    databases, failing = Databases(), cast("list[ArchiverError]", [])

    async def probe(*, login_only: bool) -> None:
        if failing:
            raise failing.pop(0)

    gate = Gate("UconDB", 4, probe, Environment(time.time, lambda: 0.0, lambda low, _: low), log.get(), lambda: None)
    await gate.probe()
    runner: Any = SimpleNamespace(stage=Stage.IMPORT, wake=asyncio.Event(), paused=False, in_hand=set())
    ucondb = cast("Any", databases)
    parts = Parts(
        settings,
        cast("Any", None),
        journal,
        make_state_files(settings, journal),
        cast("Any", databases),
        runner,
        Migration(ucondb, gate, runner, cast("Any", first_phase)),
        cast("Any", None),
    )
    stages = Stages(journal, parts, cast("Any", None), databases, failing)
    stages.driver = DaemonDriver(parts, cast("Any", stages), cast("Any", stages), Shutdown(time.monotonic))
    try:
        async with asyncio.timeout(SECONDS):
            yield stages
    finally:
        await journal.close()


IMPORTED = (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE)
VERIFIED = (*IMPORTED, Event.UPLOAD_BEGINS, Event.UPLOAD_PROVEN)
QUARANTINED = (Event.ENDED, Event.IMPORT_BEGINS, Event.FAILED_FOR_GOOD)


async def test_import_only_does_not_wait_for_ucondb(tmp_path: Path) -> None:
    """A run that is in artdaqDB is where it was asked for; what the daemon uploads meanwhile is not this pass's."""
    async with running(tmp_path) as stages:
        await stages.see(7, *IMPORTED)
        await stages.see(8, *IMPORTED, Event.UPLOAD_BEGINS)

        async def work_on() -> None:
            await stages.move(8, Event.UPLOAD_PROVEN, verified_at=time.time())
            await stages.see(9, *IMPORTED)
            await stages.move(9, Event.UPLOAD_BEGINS, imported_at=time.time())

        stages.on_scan = work_on
        stages.databases.archived = {7, 8, 9}
        result = await stages.once(OnceRequest(migrating=False))
        assert (result.imported, result.verified, result.exit_code) == (1, 0, 0)
        assert "look_up_all" not in stages.databases.asked


async def test_migrate_only_waits_for_no_import_and_no_new_run(tmp_path: Path) -> None:
    """Runs that wait for the import stay where they are."""
    async with running(tmp_path) as stages:
        await stages.see(7, Event.ENDED)
        result = await stages.once(OnceRequest(importing=False))
        assert (result.exit_code, stages.found, stages.late_stops) == (0, 1, 0)
        assert await stages.journal.known() == {7: State.QUEUED}


async def test_migrate_only_waits_for_what_is_in_artdaqdb(tmp_path: Path) -> None:
    """It returns when UconDB has it, and counts it."""
    async with running(tmp_path) as stages:
        await stages.see(7, *IMPORTED)
        waiting = asyncio.create_task(stages.once(OnceRequest(importing=False, incremental=True)))
        await asyncio.wait([waiting], timeout=0.5)
        assert not waiting.done()
        await stages.move(7, Event.UPLOAD_BEGINS)
        await stages.move(7, Event.UPLOAD_PROVEN, verified_at=time.time())
        assert (await waiting).verified == 1


async def test_a_pass_does_not_wait_for_runs_that_came_after_it(tmp_path: Path) -> None:
    """It ends while a busy detector goes on: its runs are those that were there when it scanned."""
    async with running(tmp_path) as stages:
        await stages.see(7, Event.ENDED)
        waiting = asyncio.create_task(stages.once(OnceRequest(incremental=True)))
        while not (tmp_path / "work" / "migrator_state.json").exists():
            await asyncio.sleep(0)
        await asyncio.wait([waiting], timeout=0.5)
        await stages.see(8, Event.ENDED)
        await stages.move(7, *VERIFIED[1:-1])
        await stages.move(7, Event.UPLOAD_PROVEN, verified_at=time.time())
        assert (await waiting).verified == 1
        assert (await stages.journal.known())[8] is State.QUEUED


@pytest.mark.parametrize("incremental", [False, True])
async def test_once_looks_for_late_stop_lines(tmp_path: Path, incremental: bool) -> None:
    """As a pass alone does, on every pass that imports."""
    async with running(tmp_path) as stages:
        await stages.once(OnceRequest(incremental=incremental))
        assert (stages.late_stops, stages.found) == (1, 1)


async def test_what_the_daemon_does_while_databases_are_asked_counts(tmp_path: Path) -> None:
    """The stages do not wait for a pass: a run that they finish before it waits for them is one of its runs."""
    async with running(tmp_path) as stages:

        async def archive() -> None:
            await stages.see(7, *IMPORTED[:2])
            await stages.move(7, Event.IMPORT_DONE, imported_at=time.time())
            await stages.move(7, Event.UPLOAD_BEGINS)
            await stages.move(7, Event.UPLOAD_PROVEN, verified_at=time.time())
            stages.databases.archived.add(7)

        stages.on_scan = archive
        result = await stages.once(OnceRequest())
        assert (result.imported, result.verified) == (1, 1)


async def test_a_run_that_only_artdaqdb_knew_was_not_imported(tmp_path: Path) -> None:
    """It is taken up, and not counted as if this pass had imported it."""
    async with running(tmp_path) as stages:
        stages.databases.archived.add(7)
        result = await stages.once(OnceRequest(migrating=False))
        assert (result.imported, await stages.journal.known()) == (0, {7: State.IMPORTED})


async def test_ucondb_is_probed_at_once_when_it_is_left_alone(tmp_path: Path) -> None:
    """Its next probe may be half a minute away; a pass asks now, and waits no longer for one that is not there."""
    async with running(tmp_path) as stages:
        gate = cast("Migration", stages.parts.migration).gate
        while not gate.shut:
            gate.failed(AWAY)
        await stages.see(7, *IMPORTED)
        stages.failing_probes += [AWAY] * 2
        await gate.probe()  # with the one before it is known to be away for longer than a pass waits
        away = await stages.once(OnceRequest(incremental=True))
        assert (away.exit_code, [one.run for one in away.failed]) == (1, [7])
        assert away.outage is not None
        assert "UconDB is away" in away.outage.cause
        await stages.move(7, Event.UPLOAD_BEGINS, Event.UPLOAD_PROVEN)
        back = await stages.once(OnceRequest(incremental=True))
        assert (back.outage, gate.shut) == (None, False)


async def test_a_pass_waits_for_first_phases(tmp_path: Path) -> None:
    """A run that has started is in the pending folder when `once` returns, as after a pass alone."""
    async with running(tmp_path, first_phase=object()) as stages:
        await stages.see(7)
        await stages.journal.note_observed([ObservedRecord(7, start_line="x")])
        waiting = asyncio.create_task(stages.once(OnceRequest(incremental=True)))
        await asyncio.wait([waiting], timeout=0.5)
        assert not waiting.done()
        waiting.cancel()


async def test_retry_heeds_a_failure_log_that_was_edited_just_now(tmp_path: Path) -> None:
    """A number that an operator took out is not retried, however short a time before."""
    async with running(tmp_path) as stages:
        for run in (7, 8):
            await stages.see(run, *QUARANTINED)
            await stages.move(run, Event.RELEASED, listed=True)
            await stages.move(run, *QUARANTINED[1:], listed=True)
        await stages.parts.state_files.synchronise()
        (tmp_path / "work" / "import_failures.log").write_text("8\n")
        waiting = asyncio.create_task(stages.retry(RetryRequest(Stage.IMPORT)))
        while (await stages.journal.known())[8] is not State.QUEUED:
            await asyncio.sleep(0)
        await stages.move(8, *QUARANTINED[1:], listed=True)
        result = await waiting
        assert [one.run for one in result.failed] == [8]
        assert (await stages.journal.known())[7] is State.QUARANTINED


async def test_the_files_say_what_is_so_when_a_pass_returns(tmp_path: Path) -> None:
    """A script that reads them after the command does not read those of a second ago."""
    async with running(tmp_path) as stages:
        await stages.see(7, Event.ENDED)
        waiting = asyncio.create_task(stages.once(OnceRequest(incremental=True)))
        while not (tmp_path / "work" / "migrator_state.json").exists():
            await asyncio.sleep(0)
        await stages.move(7, *QUARANTINED[1:], listed=True, attempts=1)
        assert (await waiting).exit_code == 1
        assert (tmp_path / "work" / "import_failures.log").read_text() == "7\n"
        assert '"last_attempted_run": 7' in (tmp_path / "work" / "importer_state.json").read_text()


async def test_recover_import_leaves_the_migration_to_the_daemon(tmp_path: Path) -> None:
    """It scans first, so that a directory that came just now is known, and does not wait for UconDB."""
    async with running(tmp_path) as stages:
        stages.databases.archived = {7, 8}
        await stages.see(7, *IMPORTED)

        async def appear() -> None:
            await stages.journal.see([8], Lane.FRESH)

        stages.on_scan = appear
        result = await stages.recover(RecoverRequest(Stage.IMPORT))
        assert result.held is not None
        assert (result.held.runs, result.verified, result.exit_code) == (2, 0, 0)
        assert await stages.journal.known() == {7: State.IMPORTED, 8: State.OPEN}


async def test_recover_migrate_waits_for_no_import(tmp_path: Path) -> None:
    """Only the stage that it is about is waited for."""
    async with running(tmp_path) as stages:
        stages.databases.archived = {7}
        await stages.see(7, Event.ENDED)
        result = await stages.recover(RecoverRequest(Stage.MIGRATE))
        assert (result.exit_code, await stages.journal.known()) == (0, {7: State.QUEUED})
