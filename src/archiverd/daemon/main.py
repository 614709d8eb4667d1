"""`archiverd run`: watch, import, migrate and verify until a stop is asked for; then drain."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from archiverd import __version__, log
from archiverd.app.stages import RunOptions
from archiverd.app.state_file_sync import begin, keep_in_sync, sync
from archiverd.app.wiring import Parts, opened
from archiverd.audit.directory_audit import make_audit
from archiverd.control.server import serving
from archiverd.daemon.commands import Commands
from archiverd.daemon.passes import DaemonDriver
from archiverd.process import sd_notify
from archiverd.process.exit_deadline import exit_in_time
from archiverd.process.lock import drain_when_removed
from archiverd.process.shutdown import Shutdown, ShutdownReason, handle_signals, startup_step
from archiverd.watch.ages import Timekeeper
from archiverd.watch.late_stops import LateStopWatcher
from archiverd.watch.watcher import Watcher

if TYPE_CHECKING:
    from archiverd.audit.directory_audit import DirectoryAudit
    from archiverd.config.models import Settings

_log = log.get()

STEP_SECONDS = 120
"""Most seconds for one step of the start: some hundred run records on a slow network file system."""


async def run(settings: Settings) -> int:
    """Run the daemon; return its exit code (contract.md, "Exit codes").

    Raise ArchiverError when it cannot start.
    """
    shutdown = Shutdown(time.monotonic)
    drain_seconds = settings.app.drain_timeout_seconds
    with handle_signals(shutdown, on_hangup=_reopen_log):
        async with (
            exit_in_time(settings, "run", shutdown, drain_seconds),
            opened(settings, shutdown, RunOptions(), drain_seconds) as parts,
        ):
            timekeeper = Timekeeper()
            watcher = Watcher(settings, parts.journal, shutdown, timekeeper)
            async with startup_step(
                shutdown, drain_seconds, "looking at the run records", "the run records were looked at"
            ):
                await watcher.find_all(_ask_for_time)
            async with startup_step(
                shutdown, drain_seconds, "asking artdaqDB what it holds", "artdaqDB told what it holds"
            ):
                await begin(parts)
            late_stops = LateStopWatcher(settings, parts.journal, timekeeper)
            audit = make_audit(parts.journal, settings.source_files.run_records_dir)
            driver = DaemonDriver(parts, watcher, late_stops, shutdown)
            commands = Commands(driver, watcher, shutdown, time.time())
            _log.info(f"archiverd {__version__} watches {settings.source_files.run_records_dir}")
            sd_notify.notify("READY=1", "STATUS=watching")
            async with parts.notifications.of_daemon():
                async with serving(settings.app.work_dir, commands.handlers):
                    await _live(parts, watcher, late_stops, audit, shutdown)
                await sync(parts.state_files)
            sd_notify.notify("STOPPING=1", "STATUS=closing")
    reason = shutdown.reason or ShutdownReason.DRAIN_ASKED
    _log.info(f"stopped: {reason.name.lower().replace('_', ' ')}")
    return reason.value


def _ask_for_time(done: int, of: int, what: str) -> None:
    """Ask the service manager for more time: the first check of many years' runs takes minutes."""
    sd_notify.notify(f"EXTEND_TIMEOUT_USEC={STEP_SECONDS * 1_000_000}", f"STATUS={what}: {done} of {of}")


def _reopen_log() -> None:
    """Open the log file anew, for one that was moved away (SIGHUP)."""
    log.reopen()
    _log.info("hang-up: log file opened anew")


async def _live(
    parts: Parts, watcher: Watcher, late_stops: LateStopWatcher, audit: DirectoryAudit, shutdown: Shutdown
) -> None:
    """Run every task until the drain is done, or its time is over."""
    extended = int((parts.settings.app.drain_timeout_seconds + 30) * 1_000_000)
    async with parts.draining_in_time(shutdown), asyncio.TaskGroup() as group:
        lock_watch = group.create_task(drain_when_removed(parts.lock, shutdown), name="lock")
        stages = [
            *(group.create_task(runner.run(), name=runner.stage) for runner in parts.runners),
            group.create_task(parts.first_phases(shutdown), name="first phases"),
        ]
        attending = [
            group.create_task(watcher.run(), name="watch"),
            group.create_task(parts.attend(), name="gate"),
            group.create_task(keep_in_sync(parts.state_files), name="state files"),
            group.create_task(late_stops.watch(), name="late stops"),
            group.create_task(audit.watch(), name="directories"),
            group.create_task(parts.elsewhere.watch(shutdown), name="elsewhere"),
            group.create_task(parts.validate_others(shutdown), name="validation"),
            group.create_task(parts.prove_again(shutdown), name="scrub"),
        ]
        await shutdown.wait()
        lock_watch.cancel()
        sd_notify.notify("STOPPING=1", "STATUS=draining", f"EXTEND_TIMEOUT_USEC={extended}")
        await asyncio.wait(stages)
        for task in attending:
            task.cancel()
