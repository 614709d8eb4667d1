"""Open runs, whose end has not been seen: what their records show, and which of them have ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError, Retry
from archiverd.journal import transitions
from archiverd.journal.rows import ObservedRecord, RecordLook
from archiverd.journal.transitions import RecordEnd
from archiverd.process import mounts
from archiverd.process.work_dir import FirstStart
from archiverd.runrecord.completeness import (
    Completeness,
    CompletionWaits,
    Stillness,
    describe_wait,
    judge,
    time_lines,
)
from archiverd.runrecord.look import Look, compare
from archiverd.runrecord.snapshot import RecordSnapshot, RecordStamp, record_stamp, take_snapshot
from archiverd.watch.ages import Timekeeper, age_by_files, elapsed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from archiverd.config.models import Settings
    from archiverd.journal.transitions import Transition


@dataclass(slots=True)
class OpenRun:
    """A run whose end has not been seen, as its record was when last looked at."""

    run: int
    stamp: RecordStamp | None = None
    look: Look | None = None
    kept: RecordSnapshot | None = None
    """The last snapshot; None once there is a stop line: from then on every look is a full one."""
    look_due: float = 0.0
    """When the next look is due whatever the stamp shows, in seconds of the clock that never jumps."""
    settles_in: float | None = None
    """Seconds from the last look until the record can have settled; None if it need not, or has."""
    started: bool = False
    written: float = 0.0
    """When metadata.txt was last written, in epoch seconds by the file server's clock."""
    error: ArchiverError | None = None
    """Why its record cannot be read."""
    observed: ObservedRecord | None = None
    """What its record shows."""
    recorded: ObservedRecord | None = None
    """What the journal has of that."""
    unchanged: RecordLook | None = None
    """Since when its record is as it is, as the journal has it or is to have it."""
    unchanged_recorded: bool = True
    """Whether the journal has ``unchanged``."""
    logged: set[str] = field(default_factory=set)
    """Errors that were logged: one that comes and goes is logged once."""


@dataclass(frozen=True, slots=True)
class OpenRunsRead:
    """The result of reading the records of open runs."""

    changed: list[OpenRun]
    """Runs that are still open and whose records show what the journal does not have."""
    ended: list[Transition]
    settles_in: float | None
    """Seconds until the next record may have settled; None if no record has yet to settle."""


class OpenRunReader:
    """Reads the records of open runs and decides which of them have ended."""

    def __init__(self, settings: Settings, timekeeper: Timekeeper, *, settle_seconds: float | None = None) -> None:
        """``settle_seconds`` replaces ``watch.settle_seconds``, if given."""
        self._waits = completion_waits(settings, settle_seconds)
        self._backfill = settings.watch.backfill
        self._root = settings.source_files.run_records_dir
        self._time = timekeeper
        self.latest: dict[int, int] = {}
        """By partition, the greatest run known to have started."""
        self.first_start = FirstStart(0.0)
        """When archiverd was first started, and what stood there then."""

    @cached_property
    def _network(self) -> bool:
        return mounts.is_network(self._root)

    def read(self, runs: Iterable[OpenRun]) -> OpenRunsRead:
        """Look at the records of ``runs`` that changed, the greatest number first. Blocking.

        The order matters. A run is dead if a later one of its partition has started. Its own record is read *after*
        that was seen, so no stop line can have come unseen in between.
        """
        changed, ended, settling = [], [], []
        for seen in runs:
            if (end := self._read(seen)) is not None:
                ended.append(end)
                continue
            lasts = not seen.unchanged_recorded and seen.settles_in is None
            if seen.observed != seen.recorded or lasts:
                changed.append(seen)
            if seen.settles_in is not None:
                settling.append(max(0.0, seen.look_due - self._time.monotonic()))
        return OpenRunsRead(changed, ended, min(settling, default=None))

    def _read(self, seen: OpenRun) -> Transition | None:
        """Look at a run's record if that can show anything new; return its transition if it has ended."""
        directory = self._root / str(seen.run)
        stamp = record_stamp(directory)
        later = self._later_started(seen)
        stands = stamp is not None and stamp == seen.stamp and (seen.kept is None or seen.kept.readable)
        waits = seen.kept is not None and not later and not self._abandoned(seen)
        if stands and (waits or self._time.monotonic() < seen.look_due):
            if seen.look is not None:  # what comes next was not there yet, whatever time the file server gives it
                seen.look = replace(seen.look, at=self._time.monotonic())
            return None
        return self._judge(seen, take_snapshot(directory, network=self._network), stamp)

    def ran(self, seen: OpenRun) -> bool:
        """Return whether an open run was running at the first start, by the last look at it.

        It still runs (it can be read, has not stopped, and is not dead), or its stop line was written since.
        """
        if seen.observed is None or seen.error is not None:
            return False
        if seen.observed.stop_line is not None:
            return seen.written >= self.first_start.at
        return not (self._later_started(seen) or self._abandoned(seen))

    def _later_started(self, seen: OpenRun) -> bool:
        """Return whether a later run of the run's partition has started, by what is known of it."""
        partition = None if seen.observed is None else seen.observed.partition
        return partition is not None and self.latest.get(partition, 0) > seen.run

    def _abandoned(self, seen: OpenRun) -> bool:
        """Return whether a record without a stop line has been unchanged for longer than a run is waited for."""
        return seen.kept is None or self._unchanged_for(seen, seen.kept) >= self._waits.abandon_after

    def _judge(self, seen: OpenRun, snapshot: RecordSnapshot, stamp: RecordStamp | None) -> Transition | None:
        """Note what a full look shows, and return the transition of a run that has ended, else None."""
        self._note_look(seen, snapshot, stamp)
        if seen.started and snapshot.partition is not None:
            self.latest[snapshot.partition] = max(seen.run, self.latest.get(snapshot.partition, 0))
        look, later = seen.look, snapshot.partition is not None and self.latest.get(snapshot.partition, 0) > seen.run
        if look is None:
            return None
        now = self._time.monotonic()
        still = Stillness(look.at - look.copied_since, now - look.appended_since, self._unchanged_for(seen, snapshot))
        verdict = judge(snapshot, still, self._waits, later_started=later)
        if verdict in (Completeness.FINAL, Completeness.DEAD):
            return self._ended(seen.run, snapshot, dead=verdict is Completeness.DEAD)
        stopped = seen.observed is not None and seen.observed.stop_line is not None
        settles = self._waits.settle - min(still.copied, still.appended)
        seen.settles_in = settles if (stopped or later) and settles > 0.0 else None
        seen.look_due = now + (self._waits.settle if seen.settles_in is None else settles)
        if stopped:
            seen.kept = None
            wait = describe_wait(snapshot, still, self._waits, later_started=later)
            seen.observed = None if seen.observed is None else replace(seen.observed, waits_for=wait)
        return None

    def _note_look(self, seen: OpenRun, snapshot: RecordSnapshot, stamp: RecordStamp | None) -> None:
        """Note what a full look shows, and since when."""
        moment = self._time.now()
        lines = time_lines(snapshot.metadata)
        seen.started = lines.started is not None
        seen.written = snapshot.metadata_mtime or 0.0
        seen.error = None
        if not snapshot.readable:
            seen.error = _unreadable(seen.run, self._root / str(seen.run), snapshot.trouble)
        wrong = ("", "") if seen.error is None else (f"{seen.error.name}: {seen.error}", seen.error.remedy)
        seen.observed = ObservedRecord(seen.run, snapshot.partition, lines.started, lines.stopped, *wrong)
        if snapshot.readable:
            self._time.see(snapshot.changed)
        seen.look = compare(snapshot, seen.look, wall=moment.wall, now=moment.uptime)
        seen.stamp, seen.kept = stamp, snapshot
        digest = seen.look.digest
        if seen.unchanged is None or seen.unchanged.digest != digest:
            seen.unchanged = RecordLook(seen.run, digest, **asdict(moment))
            seen.unchanged_recorded = False

    def _unchanged_for(self, seen: OpenRun, snapshot: RecordSnapshot) -> float:
        """Return the seconds for which a record has been as it is, for the long waits."""
        if seen.unchanged is None:
            return 0.0
        moment = self._time.now()
        by_looks = elapsed(seen.unchanged, moment, network=self._network)
        if not snapshot.readable or not self.first_start.stood(seen.run, snapshot.changed):
            return by_looks
        by_files = age_by_files(snapshot.changed, moment)
        if (
            time_lines(snapshot.metadata).stopped is None
        ):  # it may be running: this machine's clock alone proves nothing
            by_files = min(by_files, moment.newest - snapshot.changed)
        return max(by_looks, by_files)

    def _ended(self, run: int, seen: RecordSnapshot, *, dead: bool) -> Transition:
        """Return the transition of a run that has ended."""
        stopped_at, lines = seen.metadata_mtime, time_lines(seen.metadata)
        end = RecordEnd(self._time.clock(), stopped_at, seen.partition, lines.started, lines.stopped, seen.digest)
        if self._passed_over(run, seen.changed if stopped_at is None else stopped_at):
            return transitions.passed_over(run, end, dead=dead, rule=f"watch.backfill = {self._backfill}")
        return transitions.died(run, end) if dead else transitions.ended(run, end)

    def _passed_over(self, run: int, ended: float) -> bool:
        """Return whether the backfill rule leaves out a run: only runs that had ended at the first start."""
        if not self.first_start.had_ended(run, ended):
            return False
        return self._backfill == "none" or (isinstance(self._backfill, int) and run < self._backfill)


def completion_waits(settings: Settings, settle_seconds: float | None = None) -> CompletionWaits:
    """Return how long to wait before a record is judged; ``settle_seconds`` replaces the setting, if given."""
    watch = settings.watch
    settle = watch.settle_seconds if settle_seconds is None else settle_seconds
    return CompletionWaits(settle, watch.final_wait_seconds, watch.abandon_after_seconds, watch.promised_files)


def _unreadable(run: int, directory: Path, trouble: str) -> ArchiverError:
    """Return the error for a record that cannot be read; ``trouble`` is empty if it is not there any more."""
    if not trouble:
        return ArchiverError(
            "Run directory is gone before its end was seen",
            retry=Retry.TRANSIENT,
            remedy=f"put {directory} back, or `archiverd waive {run} --reason TEXT`",
            run=run,
        )
    return ArchiverError(
        f"Cannot read run directory: {trouble}",
        retry=Retry.TRANSIENT,
        remedy=f"check {directory}, its mount, and that the user archiverd runs as may read it and the files in it",
        run=run,
        context={"directory": str(directory)},
    )
