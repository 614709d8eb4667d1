"""The watcher: finds the runs in the run-records directory and records those that have ended.

It relies on scans. The directory is scanned when its modification time changed, when the kernel hints at a change, and
every ``watch.rescan_seconds``; the metadata.txt of each open run is checked every half second.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core import runset
from archiverd.core.errors import ArchiverError, Retry, error_stage
from archiverd.core.priority import Lane
from archiverd.core.wording import pluralise
from archiverd.detached import run_detached
from archiverd.journal import transitions
from archiverd.journal.rows import MissingDirectories
from archiverd.process import mounts, work_dir
from archiverd.process.progress import silent
from archiverd.process.work_dir import FirstStart
from archiverd.watch import inotify
from archiverd.watch.directory_scan import DirectoryScan, OddNames, scan_records
from archiverd.watch.missing import advise, are_few_of_many, describe_doubt, is_believed, looks_unmounted
from archiverd.watch.open_runs import OpenRun, OpenRunReader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from archiverd.config.models import Settings
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RecordLook
    from archiverd.journal.transitions import Transition
    from archiverd.process.progress import Progress
    from archiverd.process.shutdown import Shutdown
    from archiverd.watch.ages import Timekeeper

_log = log.get("Import")

CHECK_SECONDS = 0.5
"""Seconds between checks of the open runs' metadata.txt; fewer when a run that has stopped settles sooner."""

SHORTEST_PAUSE_SECONDS = 0.02
"""Shortest pause between two checks, in seconds."""

RACY_SECONDS = 2.0
"""Resolution of a directory's time stamp, in seconds: one that changed so recently is scanned once more."""

RUNS_AT_ONCE = 500
"""Open runs checked and recorded in one go: the snapshot of a record takes some 30 kB."""


class Watcher:
    """Finds runs and records in the journal when they have ended."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        shutdown: Shutdown,
        timekeeper: Timekeeper,
    ) -> None:
        """Watch the directory that ``settings`` name, by the clocks of ``timekeeper``."""
        self._settings = settings
        self._watch = settings.watch
        self._root = settings.source_files.run_records_dir
        self._journal = journal
        self._shutdown = shutdown
        self._time = timekeeper
        self._clock = timekeeper.clock
        self._reader = OpenRunReader(settings, timekeeper)
        self._known: set[int] = set()
        self._open: dict[int, OpenRun] = {}
        self._gone: set[int] = set()
        """Known runs whose directories are missing, as the journal has it."""
        self._doubted: frozenset[int] = frozenset()
        """Runs whose directories are missing, perhaps because their file system is not mounted."""
        self._doubt_logged: bool | None = None
        """Whether the doubt that was logged last was about a few directories of many; None if none was."""
        self.scanned: tuple[DirectoryScan, float] | None = None
        """The last scan, and when it was made in epoch seconds."""
        self._looks: dict[int, RecordLook] = {}
        """Since when open runs were as they are when the last process looked at them."""
        self._odd: OddNames | None = None
        """Names that look like runs and are none, as the journal has them."""
        self._troubled = False
        self._check_in = CHECK_SECONDS
        self._checks_begun = self._checks_ended = 0
        self._check_ended = asyncio.Event()
        """Set, and replaced, at the end of each check of the open runs."""

    async def find_all(self, on_progress: Progress = silent) -> None:
        """Find every run and record those that have ended: the first thing after a start.

        If it is cut short what was recorded stays. Raise ArchiverError if the run-records directory cannot be read.
        """
        states = await self._journal.known()
        self._known = set(states)
        self._gone = await self._journal.gone()
        if (noted := await self._journal.missing_since()) is not None:
            self._doubted = frozenset(runset.numbers(runset.unpack(noted.runs)))
        self._reader.latest = await self._journal.latest_started()
        self._time.resume(await self._journal.clock_state())
        self._looks = await self._journal.looks()
        await self._sync_open_runs()
        with error_stage("Import"):
            found = await run_detached(partial(scan_records, self._settings))
        first = self._reader.first_start = self._first_start(found.runs, fresh=not states)
        await self._note_scan(found, Lane.BACKLOG)
        await self._check(on_progress)
        if first.runs is not None and first.running is None and not self._shutdown.asked:
            ran = (run for run, seen in self._open.items() if run in first.runs and self._reader.ran(seen))
            running = frozenset(ran)
            self._reader.first_start = replace(first, running=running)
            work_dir.write_first_start(self._settings.app.work_dir, self._reader.first_start)

    def _first_start(self, runs: frozenset[int], *, fresh: bool) -> FirstStart:
        """Return the first start, noted before any run so that a start cut short does not shift it.

        ``runs`` have a directory now.
        """
        directory = self._settings.app.work_dir
        first = work_dir.read_first_start(directory)
        if first is None:  # a journal older than this rule: its runs were judged then
            first = FirstStart(self._clock(), runs) if fresh else FirstStart(0.0)
            work_dir.write_first_start(directory, first)
        return first

    async def settle(self) -> None:
        """Wait until runs that changed just now can have settled, and record those that have ended.

        For a single pass, after ``find_all``: a run that ended a moment ago is not left to the next pass.
        """
        await self._shutdown.rest(self._seconds_to_settle())
        await self._check()

    async def run(self) -> None:
        """Watch until the daemon stops."""
        hint, stop = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            if self._uses_inotify():
                group.create_task(inotify.watch(self._root, hint, stop), name="hints")
            while not self._shutdown.asked:
                await self._tick(hinted=hint.is_set())
                hint.clear()
                await self._pause(hint)
            stop.set()
            self._end_check()

    async def _tick(self, *, hinted: bool) -> None:
        """Scan if there may be something new, then check the open runs. Log an error that passes once.

        Raise ArchiverError if the journal is damaged, which only a new start repairs.
        """
        self._checks_begun += 1
        try:
            if hinted or await run_detached(self._scan_is_due):
                await self._note_scan(await run_detached(partial(scan_records, self._settings)), Lane.FRESH)
            await self._sync_open_runs()
            await self._check()
        except ArchiverError as error:
            if error.retry is not Retry.TRANSIENT:
                raise
            if not self._troubled:
                log.failure(_log, error)
            self._troubled = True
        else:
            if self._troubled:
                _log.info("the watch works again")
            self._troubled = False
        finally:
            self._end_check()

    async def _note_scan(self, found: DirectoryScan, lane: Lane) -> None:
        """Note the runs of a scan that are new, and those that are gone."""
        before, self.scanned = self.scanned, (found, self._clock())
        empty = before is None and not found.runs  # at a start: an empty mount point, whatever the number of runs
        await self._note_gone(found, another=empty or (before is not None and before[0].identity != found.identity))
        if found.odd != self._odd:
            self._odd = found.odd
            await self._journal.note_odd_names(found.odd.count, [(one.name, one.rule) for one in found.odd.names])
        new = found.runs - self._known
        if not new:
            return
        await self._journal.see(new, lane)
        self._known |= new
        doubles = _new_doubles(found.doubles, new)
        await self._journal.record_allowed(
            *(transitions.double(run, other, self._clock()) for run, other in doubles.items())
        )
        self._open.update((run, OpenRun(run)) for run in new - doubles.keys())
        _log.info(f"seen: {runset.show(new)}", runs=len(new))

    async def find_now(self) -> None:
        """Scan now, and return once the watch has checked what was found, and what changed just now.

        For a command to the daemon, while ``run`` runs. Raise ArchiverError if the directory cannot be read.
        """
        await self._note_scan(await run_detached(partial(scan_records, self._settings)), Lane.FRESH)
        await self._next_check()
        if seconds := self._seconds_to_settle():
            await self._shutdown.rest(seconds)
            await self._next_check()

    async def _next_check(self) -> None:
        """Return once the watch has checked every open run, in a check that begins from now on, or is to stop."""
        wanted = self._checks_begun + 1
        while self._checks_ended < wanted and not self._shutdown.asked:
            await self._check_ended.wait()

    def _end_check(self) -> None:
        """Wake everybody who waits for the end of a check."""
        self._checks_ended = self._checks_begun
        ended, self._check_ended = self._check_ended, asyncio.Event()
        ended.set()

    def _seconds_to_settle(self) -> float:
        """Return the seconds until every open run whose files have yet to stand still can have settled."""
        now = self._time.monotonic()
        return max((seen.look_due - now for seen in self._open.values() if seen.settles_in is not None), default=0.0)

    async def _sync_open_runs(self) -> None:
        """Take the open runs from the journal: operators waive some and put others back."""
        opened = await self._journal.open_runs()
        for run in self._open.keys() - opened:
            del self._open[run]
        self._open.update(
            (run, OpenRun(run, unchanged=self._looks.pop(run, None))) for run in opened - self._open.keys()
        )

    async def _note_gone(self, found: DirectoryScan, *, another: bool) -> None:
        """Note the runs whose directories have gone since the last scan, and those whose directories are back.

        ``another``: another directory stands at the path than at the last scan.
        """
        if self._doubted and await self._journal.missing_since() is None:  # an operator says that they are gone
            self._gone |= self._doubted
            self._doubted, self._doubt_logged = frozenset(), None
        gone = self._known - found.runs
        vanished, back = gone - self._gone, self._gone - gone
        known = len(self._known - self._gone)
        doubtful = looks_unmounted(known, len(vanished), another_directory=another or bool(self._doubted & vanished))
        if doubtful and not await self._is_believed(vanished, others=bool(found.runs)):
            gone, vanished = gone - vanished, set()
        elif self._doubted:
            await self._end_doubt(gone=bool(vanished))
        await self._journal.note_gone(vanished, gone=True)
        await self._journal.note_gone(back, gone=False)
        self._gone = gone
        unseen = vanished & self._open.keys()
        if unseen:
            _log.warning(f"gone before their end was seen: {runset.show(unseen)} (put back, or waive them)")
        if vanished - unseen:
            _log.info(f"directories no longer there: {runset.show(vanished - unseen)}", runs=len(vanished - unseen))

    async def _is_believed(self, vanished: set[int], *, others: bool) -> bool:
        """Return whether directories that are missing all at once are gone by now; else note the doubt, and log it."""
        noted = await self._journal.missing_since()
        now = self._clock()
        if noted is None or noted.runs != runset.pack(vanished):
            noted = MissingDirectories(runset.pack(vanished), now)
            await self._journal.note_missing(noted)
        few, many = are_few_of_many(len(vanished), others=others), len(vanished) != 1
        if self._doubt_logged is not few:
            self._doubt_logged = few
            _log.error(
                f"{pluralise(len(vanished), 'run directory', 'run directories')} missing: "
                f"{describe_doubt(len(vanished), others=others)} ({advise(len(vanished))}; "
                f"{'those that are' if many else 'one that is'} missing beside others "
                f"{'are' if many else 'is'} believed to be gone after a day)",
                runs=len(vanished),
            )
        self._doubted = frozenset(vanished)
        return is_believed(now - noted.at, await self._journal.seen_before(noted.at) - len(vanished))

    async def _end_doubt(self, *, gone: bool) -> None:
        """Note that missing directories are back, or believed to be gone."""
        self._doubted, self._doubt_logged = frozenset(), None
        await self._journal.note_missing(None)
        _log.info("the missing run directories are believed to be gone" if gone else "the run directories are back")

    async def _check(self, on_progress: Progress = silent) -> None:
        """Read every open run, the greatest number first, and record what changed, ``RUNS_AT_ONCE`` at a time."""
        self._time.check()
        if (state := self._time.to_note()) is not None:
            await self._journal.note_clock(state)
        runs = sorted(self._open.keys() - self._doubted, reverse=True)
        self._check_in = CHECK_SECONDS
        for start in range(0, len(runs), RUNS_AT_ONCE):
            if self._shutdown.asked:
                return
            on_progress(start, len(runs), "looking at the run records")
            part = [seen for run in runs[start : start + RUNS_AT_ONCE] if (seen := self._open.get(run)) is not None]
            found = await run_detached(partial(self._reader.read, part))
            if found.settles_in is not None:
                self._check_in = max(SHORTEST_PAUSE_SECONDS, min(self._check_in, found.settles_in))
            await self._note_observed(found.changed)
            await self._record_ended(found.ended)

    async def _note_observed(self, changed: Iterable[OpenRun]) -> None:
        """Note what the records of open runs show, and log which cannot be read, once per run and cause."""
        shown = {seen.run: seen.observed for seen in changed if seen.observed is not None}
        await self._journal.note_observed(shown.values())
        await self._journal.note_looks(
            seen.unchanged for seen in changed if seen.unchanged is not None and not seen.unchanged_recorded
        )
        for seen in changed:
            seen.recorded, before = seen.observed, seen.recorded
            seen.unchanged_recorded = True
            error = seen.error
            if error is None:
                if before is not None and before.error:
                    _log.info("its directory can be read again", run=seen.run)
            elif error.context and str(error) not in seen.logged:  # the scan logs which are gone
                seen.logged.add(str(error))
                log.failure(_log, error)

    async def _record_ended(self, ended: Sequence[Transition]) -> None:
        """Record the runs that have ended, but for those that an operator waived meanwhile."""
        for row in await self._journal.record_allowed(*ended):
            _log.info("dead: it never got a stop line" if row.dead else "ended", run=row.run)
        for one in ended:
            self._open.pop(one.run, None)

    def _uses_inotify(self) -> bool:
        """Return whether the kernel is asked for hints."""
        return self._watch.mode == "inotify" or (self._watch.mode == "auto" and not self._polls())

    def _polls(self) -> bool:
        """Return whether the directory is only polled."""
        return self._watch.mode == "poll" or (self._watch.mode == "auto" and mounts.is_network(self._root))

    def _scan_is_due(self) -> bool:
        """Return whether the directory changed since its last scan, or that scan is too old."""
        if self.scanned is None:
            return True
        mtime_ns, when = self.scanned[0].mtime_ns, self.scanned[1]
        age = self._clock() - when
        if age >= (self._watch.poll_seconds if self._polls() else self._watch.rescan_seconds):
            return True
        try:
            current = os.stat(self._root).st_mtime_ns
        except OSError:
            return True
        return current != mtime_ns or when - mtime_ns / 1e9 < RACY_SECONDS

    async def _pause(self, hint: asyncio.Event) -> None:
        """Wait for the next check, a hint, or the end."""
        waits = {asyncio.ensure_future(hint.wait()), asyncio.ensure_future(self._shutdown.wait())}
        try:
            await asyncio.wait(waits, timeout=self._check_in, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()


def _new_doubles(doubles: Mapping[int, int], new: Collection[int]) -> dict[int, int]:
    """Return the new runs whose directory is that of another run, and which; a run that is known stays the run."""
    made = {run: other for run, other in doubles.items() if run in new}
    known = {other: run for run, other in doubles.items() if run not in new and other in new}
    return {**{run: known.get(other, other) for run, other in made.items()}, **known}
