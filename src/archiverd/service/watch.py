"""The watch: which runs are there, and which of them have ended.

The scan is the truth. The run-records directory is scanned when its modification time changed, when the kernel
hints at a change, and on a slow clock; the metadata.txt of each open run is looked at every half second.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core import runset
from archiverd.core.errors import ArchiverError, Retry, told_as
from archiverd.core.lanes import Lane
from archiverd.core.machine import Event, State
from archiverd.journal.rows import Move
from archiverd.runrecord.completeness import Completeness, Patience, judge, time_lines
from archiverd.runrecord.reading import is_run_name
from archiverd.runrecord.sighting import METADATA, Sighting, Stamp, metadata_stamp, sight
from archiverd.service import hints, mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from archiverd.config import Settings
    from archiverd.journal.journal import Journal
    from archiverd.service.stopping import Stopping

_log = log.get("Import")

LOOK_SECONDS = 0.5
"""How often the open runs' metadata.txt is looked at."""

RACY_SECONDS = 2.0
"""A directory changed this recently may change again within the resolution of its time stamp: scan once more."""

CHUNK = 256
"""So many ended runs are recorded in one commit."""

ENDED = {Completeness.FINAL: Event.ENDED, Completeness.DEAD: Event.DIED}


@dataclass(slots=True)
class OpenRun:
    """A run whose end has not been seen, as it was when last looked at."""

    stamp: Stamp | None = None
    sighting: Sighting | None = None
    started: bool = False
    changed_at: float = 0.0
    """When the last change was noticed, by our clock."""


class Watcher:
    """Finds runs and tells the journal when they have ended."""

    def __init__(self, settings: Settings, journal: Journal, stopping: Stopping, clock: Callable[[], float]) -> None:
        """``clock`` gives epoch seconds."""
        self._settings = settings.watch
        self._patience = Patience(
            settings.watch.settle_seconds, settings.watch.final_wait_seconds, settings.watch.abandon_after_seconds
        )
        self._root = settings.source_files.run_records_dir
        self._journal = journal
        self._stopping = stopping
        self._clock = clock
        self._known: set[int] = set()
        self._open: dict[int, OpenRun] = {}
        self._latest: dict[int, int] = {}
        self._gone: frozenset[int] = frozenset()
        self.scanned: tuple[Found, float] | None = None
        """What the last scan found, and when it was made."""
        self._troubled = False

    async def look_once(self) -> None:
        """Find every run there is and record those that have ended: the first thing after a start.

        Raise ArchiverError if the run-records directory cannot be read.
        """
        states = await self._journal.known()
        self._known = set(states)
        self._open = {run: OpenRun() for run, state in states.items() if state is State.OPEN}
        self._latest = await self._journal.latest_started()
        with told_as("Import"):
            found = await asyncio.to_thread(scan, self._root)
        fresh_journal = not states
        await self._take_in(found, Lane.BACKLOG)
        await self._look()
        self._note_started()
        await self._look()  # a run is called dead only by what it shows after its successor was seen to have started
        passed_over = self._passed_over if fresh_journal else None
        await self._judge(passed_over)

    async def look_again(self) -> None:
        """Give runs that changed just now their time to settle, and record those that have ended then.

        For a single pass, after ``look_once``: a run that ended a moment ago is not left to the next pass.
        """
        settle = self._settings.settle_seconds
        now = self._clock()
        if any(seen.sighting is not None and now - seen.sighting.changed < settle for seen in self._open.values()):
            await self._stopping.rest(settle)
            await self._look()
            await self._judge(None)

    async def run(self) -> None:
        """Watch until the daemon stops."""
        hint, stop = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            if self._uses_inotify():
                group.create_task(hints.watch(self._root, hint, stop), name="hints")
            while not self._stopping.asked:
                await self._tick(hinted=hint.is_set())
                hint.clear()
                await self._pause(hint)
            stop.set()

    async def _tick(self, *, hinted: bool) -> None:
        """Scan if there may be something new, then look at the open runs. Trouble is said once."""
        try:
            if hinted or await asyncio.to_thread(self._scan_is_due):
                await self._take_in(await asyncio.to_thread(scan, self._root), Lane.FRESH)
            await self._judge(None)
            await self._look()
        except ArchiverError as error:
            if not self._troubled:
                log.failure(_log, error)
            self._troubled = True
        else:
            if self._troubled:
                _log.info("the watch works again")
            self._troubled = False

    async def _take_in(self, found: Found, lane: Lane) -> None:
        """Note runs that were not known."""
        self.scanned = (found, self._clock())
        await self._note_gone(frozenset(self._open) - found.runs)
        new = found.runs - self._known
        if not new:
            return
        await self._journal.see(new, lane)
        self._known |= new
        self._open.update((run, OpenRun()) for run in new)
        _log.info(f"seen: {runset.show(new)}", runs=len(new))

    async def look_now(self) -> None:
        """Scan now, and return once the watch has judged what was found; for a command to the daemon."""
        await self._take_in(await asyncio.to_thread(scan, self._root), Lane.FRESH)
        await asyncio.sleep(2 * LOOK_SECONDS + self._settings.settle_seconds)  # the watch itself looks and judges

    def reopen(self, run: int) -> None:
        """Look at ``run`` again, which an operator put back among the open ones."""
        self._open.setdefault(run, OpenRun())

    async def _note_gone(self, gone: frozenset[int]) -> None:
        """Note the open runs whose directories are gone, and those whose are there again."""
        vanished, back = gone - self._gone, self._gone & frozenset(self._open) - gone
        await self._journal.note_gone(vanished, gone=True)
        await self._journal.note_gone(back, gone=False)
        self._gone = gone
        if vanished:
            _log.warning(f"gone before their end was seen: {runset.show(vanished)} (put back, or waive them)")

    async def _look(self) -> None:
        """Look at every open run; afterwards the journal knows which of them have started."""
        started = await asyncio.to_thread(self._look_all)
        await self._journal.note_started(started)

    def _look_all(self) -> list[tuple[int, int | None, str]]:
        """Read what changed of the open runs' records; in a worker thread, while nobody else touches them.

        Return the runs that have started since: number, partition, start line.
        """
        now = self._clock()
        started = []
        for run, seen in self._open.items():
            directory = self._root / str(run)
            stamp = metadata_stamp(directory)
            if seen.sighting is not None and stamp is not None and stamp == seen.stamp:
                continue
            sighting = sight(directory)
            if sighting != seen.sighting:
                seen.changed_at = now
                line = time_lines(sighting.metadata).started
                if line is not None and not seen.started:
                    started.append((run, sighting.partition, line))
                seen.started = line is not None
            seen.stamp, seen.sighting = stamp, sighting
        return started

    async def _judge(self, passed_over: Callable[[int], bool] | None) -> None:
        """Record the runs that have ended, judged by what was seen before this moment.

        Whether a later run of a partition has started is taken from the look before the last one: the record of a
        run that may be dead was then read *after* its successor's start was seen.
        """
        ended = await asyncio.to_thread(self._find_ended, passed_over)
        self._note_started()
        for start in range(0, len(ended), CHUNK):
            for row in await self._journal.record(*ended[start : start + CHUNK]):
                del self._open[row.run]
                _log.info("dead: it never got a stop line" if row.dead else "ended", run=row.run)

    def _find_ended(self, passed_over: Callable[[int], bool] | None) -> list[Move]:
        """Return a move for each open run that has ended; in a worker thread, while nobody else touches them."""
        now = self._clock()
        ended = []
        for run, seen in self._open.items():
            if seen.sighting is None:
                continue
            partition = seen.sighting.partition
            later = partition is not None and self._latest.get(partition, 0) > run
            verdict = judge(seen.sighting, now, self._patience, later_started=later, unchanged_since=seen.changed_at)
            if verdict in ENDED:
                ended.append(self._ended(run, seen.sighting, ENDED[verdict], passed_over))
        return ended

    def _note_started(self) -> None:
        """Remember, by partition, the greatest run seen to have started."""
        for run, seen in self._open.items():
            if seen.started and seen.sighting is not None and seen.sighting.partition is not None:
                partition = seen.sighting.partition
                self._latest[partition] = max(run, self._latest.get(partition, 0))

    def _ended(self, run: int, sighting: Sighting, event: Event, passed_over: Callable[[int], bool] | None) -> Move:
        """Return the move of a run that has ended."""
        metadata = sighting.file(METADATA)
        lines = time_lines(sighting.metadata)
        changes = {
            "ended_at": self._clock(),
            "stopped_at": None if metadata is None else metadata.mtime_ns / 1e9,
            "partition": sighting.partition,
            "started": int(lines.started is not None),
            "start_line": lines.started or "",
            "stop_line": lines.stopped or "",
            "dead": int(event is Event.DIED),
        }
        if passed_over is not None and passed_over(run):
            return Move(run, Event.PASSED_OVER, f"watch.backfill = {self._settings.backfill}", changes)
        return Move(run, event, changes=changes)

    def _passed_over(self, run: int) -> bool:
        """Tell whether the backfill rule leaves out a run that had ended before the very first start."""
        backfill = self._settings.backfill
        return backfill == "none" or (isinstance(backfill, int) and run < backfill)

    def _uses_inotify(self) -> bool:
        """Tell whether the kernel is asked for hints."""
        return self._settings.mode == "inotify" or (self._settings.mode == "auto" and not self._polls())

    def _polls(self) -> bool:
        """Tell whether the directory is only polled."""
        return self._settings.mode == "poll" or (self._settings.mode == "auto" and mounts.is_network(self._root))

    def _scan_is_due(self) -> bool:
        """Tell whether the directory changed since its last scan, or that scan is too old."""
        if self.scanned is None:
            return True
        mtime_ns, when = self.scanned[0].mtime_ns, self.scanned[1]
        age = self._clock() - when
        if age >= (self._settings.poll_seconds if self._polls() else self._settings.rescan_seconds):
            return True
        try:
            current = os.stat(self._root).st_mtime_ns
        except OSError:
            return True
        return current != mtime_ns or when - mtime_ns / 1e9 < RACY_SECONDS

    async def _pause(self, hint: asyncio.Event) -> None:
        """Wait for the next look, a hint, or the end."""
        waits = {asyncio.ensure_future(hint.wait()), asyncio.ensure_future(self._stopping.wait())}
        try:
            await asyncio.wait(waits, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()


@dataclass(frozen=True, slots=True)
class Found:
    """What one scan of the run-records directory found."""

    runs: frozenset[int]
    mtime_ns: int
    """The directory's modification time, taken before the scan."""


def scan(root: Path) -> Found:
    """List the run directories of ``root``: names that are run numbers, real directories only.

    Raise ArchiverError ``Cannot read run records directory`` in the runbook's words.
    """
    try:
        mtime_ns = os.stat(root).st_mtime_ns
        with os.scandir(root) as entries:
            return Found(frozenset(_runs(entries)), mtime_ns)
    except OSError as error:
        raise ArchiverError(
            f"Cannot read run records directory: {OSError(error.errno, error.strerror)}",
            retry=Retry.TRANSIENT,
            remedy="check source_files.run_records_dir, its mount, and that the user archiverd runs as may read it",
            context={"directory": str(root)},
        ) from error


def _runs(entries: Iterable[os.DirEntry[str]]) -> Iterable[int]:
    """Yield the run numbers among directory entries; everything else there is none of our business."""
    for entry in entries:
        run = is_run_name(entry.name)
        if run is not None and entry.is_dir(follow_symlinks=False):
            yield run
