"""What runs or ran last: lock, daemon, journal, state files, failure logs, the last exit. Nothing is changed."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from typing import TYPE_CHECKING

from archiverd.config.paths import journal_path, last_exit_path, lock_path, stage_files
from archiverd.control import client
from archiverd.core import runset
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import Stage
from archiverd.core.wording import pluralise
from archiverd.detached import run_detached
from archiverd.doctor.examination import LONGEST_SECONDS, Examination
from archiverd.doctor.files import give, obstacle
from archiverd.doctor.finding import Finding, failed, ok, skipped, warning
from archiverd.journal.errors import is_damage, is_denied, journal_error
from archiverd.journal.queries import select_counts, select_holds
from archiverd.journal.reader import reading_if_there
from archiverd.journal.schema import VERSION, connect, select_damage, select_version
from archiverd.journal.state_files import LOG_LIMIT, parse_failures
from archiverd.process import last_exit, lock
from archiverd.process.memory import PROC
from archiverd.status import report

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from archiverd.config.models import Settings
    from archiverd.status.report import StatusReport

LOCK, DAEMON, LAST_EXIT = "lock", "daemon", "last exit"
JOURNAL, HOLDS, PACE, STATES = "journal", "backends left alone", "pace and memory", "state files"
FAILURES = {Stage.IMPORT: "import failures", Stage.MIGRATE: "migrate failures"}

COMMAND_LENGTH = 100
"""Longest command line in characters that is shown of a process."""
DAEMON_SECONDS = 3.0
JOURNAL_SECONDS = 8.0
"""Longest check of the journal; one of 100 000 runs takes less."""
_STEPS = 100_000
"""Steps of SQLite between checks of the time."""


def examinations(settings: Settings) -> list[Examination]:
    """Return the examinations of this module, in the order of the report."""

    def each(name: str, check: Callable[[Settings], Finding], seconds: float = 6.0) -> Examination:
        async def run() -> AsyncGenerator[Finding]:
            yield await run_detached(lambda: check(settings))

        return Examination((name,), run, seconds)

    async def check_failures() -> AsyncGenerator[Finding]:
        for stage in FAILURES:
            yield await run_detached(lambda stage=stage: _failures(settings, stage))  # type: ignore[misc]

    return [
        each(LOCK, _lock),
        Examination((DAEMON,), lambda: _daemon(settings)),
        each(LAST_EXIT, _last_exit),
        each(JOURNAL, _journal, LONGEST_SECONDS),
        each(HOLDS, _holds),
        each(PACE, _pace),
        each(STATES, _states),
        Examination(tuple(FAILURES.values()), check_failures),
    ]


def _lock(settings: Settings) -> Finding:
    """Who has the work directory?"""
    path = lock_path(settings)
    try:
        holder = lock.find_holder(path)
    except PermissionError as error:
        return failed(
            LOCK, f"{path}: {error.strerror}", "give it to the user archiverd runs as, or run this as that user"
        )
    if holder is None:
        return ok(LOCK, f"free: there is no {path}")
    if not holder.held:
        left_by = f"process {holder.pid}" if holder.pid else "a process"
        return ok(
            LOCK,
            f"free: {path} was left by {left_by}, which was killed; it is harmless and need not be removed: only the "
            "kernel's lock on it counts, and that ended with the process",
        )
    running = None if holder.pid is None else command_line(holder.pid)
    who = f"process {holder.pid}" if holder.pid else "a process"
    what = f", alive: {running}" if running else ", which this host does not show (another container or host?)"
    return ok(LOCK, f"held by {who}{what}; `archiverd drain` lets a daemon finish and end")


async def _daemon(settings: Settings) -> AsyncGenerator[Finding]:
    """Ask the daemon at its control socket."""
    try:
        reply = await client.ask(settings.app.work_dir, "status", {}, seconds=DAEMON_SECONDS)
    except client.NobodyListensError as error:
        silence = str(error)
        yield await run_detached(lambda: _nobody(settings, silence))
        return
    except ArchiverError as error:
        yield failed(DAEMON, str(error), error.remedy)
        return
    facts = reply if isinstance(reply, dict) else {}
    pid = facts.get("pid")
    if facts.get("paused"):
        yield warning(DAEMON, f"process {pid} is paused: it takes up no run", "archiverd resume")
    else:
        yield ok(DAEMON, f"process {pid} answers, {'draining' if facts.get('draining') else 'running'}")


def _nobody(settings: Settings, silence: str) -> Finding:
    """Distinguish a daemon that does not listen from none at all."""
    with contextlib.suppress(OSError):
        holder = lock.find_holder(lock_path(settings))
        running = command_line(holder.pid) if holder is not None and holder.held and holder.pid else None
        if running is not None and running.endswith(" run") and holder is not None:
            return failed(
                DAEMON,
                f"process {holder.pid} runs, and does not answer: {silence}",
                f"see its log; `kill -INT {holder.pid}` lets it finish and end, `kill -KILL` loses nothing either",
            )
    return ok(DAEMON, "none runs: start it with `systemctl start archiverd` or `archiverd run`; `once` needs none")


def command_line(pid: int) -> str | None:
    """Return the words a process was started with, paths cut to names; None if there is no such process (proc(5))."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    text = " ".join(os.path.basename(word.decode(errors="replace")) for word in words if word)
    return text[:COMMAND_LENGTH] or "a process that is ending"


def _last_exit(settings: Settings) -> Finding:
    """How did the last process end?"""
    last = last_exit.read(last_exit_path(settings))
    holder = lock.find_holder(lock_path(settings))
    if holder is not None and not holder.held and (last is None or last.pid != holder.pid):
        return warning(
            LAST_EXIT,
            f"process {holder.pid} ended without a word: killed, or left at once after three interrupts",
            "nothing is lost: the next start goes on; was memory short? `journalctl -k | grep -i oom`",
        )
    if last is None:
        return ok(LAST_EXIT, "none yet")
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(last.at))
    message = f"archiverd {last.command} ended with {last.exit_code} at {when}: {last.reason}"
    if last.exit_code == 2:
        return warning(
            LAST_EXIT, message, "report it: the log has UNEXPECTED ERROR SUMMARY; `archiverd check --bundle FILE`"
        )
    return ok(LAST_EXIT, message)


def _journal(settings: Settings) -> Finding:
    """Is the journal sound, and ours to read?"""
    path = journal_path(settings)
    if not path.exists():
        return ok(JOURNAL, "there is none yet; the first start makes it")
    ends = time.monotonic() + JOURNAL_SECONDS
    try:
        with contextlib.closing(connect(str(path), read_only=True)) as db:
            version = select_version(db)
            if version > VERSION:
                return failed(
                    JOURNAL,
                    f"{path} has schema version {version}; this archiverd knows versions up to {VERSION}",
                    "install the newer archiverd again",
                )
            counts = select_counts(db) if version else {}
            listed = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
            db.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
            damage = select_damage(db)
    except sqlite3.DatabaseError as error:
        if time.monotonic() > ends:
            return warning(JOURNAL, f"{path} is too large to be checked in {JOURNAL_SECONDS:g} s", "nothing to do")
        if not is_damage(error):
            return _unusable(path, error)
        damage = str(error)
    if damage:
        return failed(
            JOURNAL,
            f"{path} is damaged: {damage}",
            "start archiverd again: it sets the journal aside, makes a new one and proves what is archived anew",
        )
    return ok(JOURNAL, f"sound, schema version {version}; {listed or 'no runs'}")


def _unusable(path: Path, error: sqlite3.Error) -> Finding:
    """Say why a journal that may well be sound cannot be read: most often it belongs to another user."""
    if is_denied(error):
        return failed(JOURNAL, f"{path} may not be opened: {error}{obstacle(path)}", give(path.parent))
    problem = journal_error(error)
    return failed(JOURNAL, f"{path}: {problem}", problem.remedy)


def _holds(settings: Settings) -> Finding:
    """Check whether archiverd leaves a database alone for now."""
    path = journal_path(settings)
    if not path.exists():
        return ok(HOLDS, "none")
    try:
        with contextlib.closing(connect(str(path), read_only=True)) as db:
            holds = select_holds(db)
    except sqlite3.DatabaseError:
        return skipped(HOLDS, f"only when {JOURNAL} is right")
    if not holds:
        return ok(HOLDS, "none")
    minutes = (time.time() - holds[0].since) / 60
    message = f"{holds[0].backend} for {minutes:.0f} minutes: {holds[0].cause}"
    return warning(HOLDS, message, holds[0].remedy or "it is probed, and taken up again by itself")


def make_status_report(settings: Settings) -> StatusReport:
    """Return the report of `status`. Raise ArchiverError if the journal cannot be read."""
    try:
        reply = client.ask_now(settings.app.work_dir, "status", {}, DAEMON_SECONDS)
        daemon = reply if isinstance(reply, dict) else None
    except client.NobodyListensError:
        daemon = None
    except ArchiverError as error:
        daemon = {"error": str(error), "remedy": error.remedy}
    with reading_if_there(journal_path(settings)) as db:
        return report.build_report(settings, db, daemon, None, comparing=False)


def _pace(settings: Settings) -> Finding:
    """Check that archiving keeps up, and with how much memory; `status` shows more."""
    try:
        found = make_status_report(settings)
    except ArchiverError:
        return skipped(PACE, f"only when {JOURNAL} is right")
    if found.tuning:
        what, _, remedy = found.tuning[0].partition(": ")
        return warning(PACE, found.tuning[0], f"{remedy or what}; see `archiverd status`")
    busy = ", ".join(f"{one.waiting} wait for {one.stage}" for one in found.workloads)
    return ok(PACE, f"{busy}; `archiverd status` tells more")


def _states(settings: Settings) -> Finding:
    """Can the state files be understood? They are output only, written anew from the journal."""
    messages = []
    for files in stage_files(settings):
        try:
            fields = json.loads(files.state.read_bytes())
            messages.append(f"{files.state.name} {int(fields['last_contiguous_run'])}")
        except FileNotFoundError:
            messages.append(f"{files.state.name} is not there: normal before the first start")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return warning(
                STATES,
                f"Failed to parse state file {files.state}: {error}",
                f"archiverd recover {files.stage}; a running daemon writes it anew by itself",
            )
    return ok(STATES, "; ".join(messages))


def _failures(settings: Settings, stage: Stage) -> Finding:
    """Which runs are listed as failed?"""
    (path,) = (files.failures for files in stage_files(settings) if files.stage is stage)
    name = FAILURES[stage]
    try:
        with path.open("rb") as file:
            runs = parse_failures(file.read(LOG_LIMIT))
    except FileNotFoundError:
        return ok(name, f"{path} is not there: no run failed yet")
    except ValueError as error:
        return failed(
            name,
            f"Failed to parse run records file {path}: {error}",
            "start archiverd: it keeps the file as .corrupted and writes it anew from the journal; nothing is lost",
        )
    if runs:
        message = f"{path} lists {pluralise(len(runs), 'run')}: {runset.show(runs)}"
        return warning(name, message, f"`archiverd why {max(runs)}` tells the cause; then archiverd retry {stage}")
    return ok(name, f"{path} is empty")
