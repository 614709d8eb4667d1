"""Open runs, whose end has not been seen: what their records show, and which of them have ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError, Retry
from archiverd.journal import transitions
from archiverd.journal.rows import ObservedRecord
from archiverd.journal.transitions import RecordEnd
from archiverd.runrecord.completeness import Completeness, CompletionWaits, judge, time_lines
from archiverd.runrecord.snapshot import RecordSnapshot, RecordStamp, record_stamp, take_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from archiverd.config.models import Settings
    from archiverd.journal.transitions import Transition


@dataclass(slots=True)
class OpenRun:
    """A run whose end has not been seen, as its record was when last read."""

    run: int
    stamp: RecordStamp | None = None
    snapshot: RecordSnapshot | None = None
    started: bool = False
    changed_at: float = 0.0
    """When the last change was noticed, in seconds of the monotonic clock."""
    error: ArchiverError | None = None
    """Why its record cannot be read."""
    observed: ObservedRecord | None = None
    """What its record shows."""
    recorded: ObservedRecord | None = None
    """What the journal has of that."""
    logged: set[str] = field(default_factory=set)
    """Errors that were logged: one that comes and goes is logged once."""


@dataclass(frozen=True, slots=True)
class OpenRunsRead:
    """The result of reading the records of open runs."""

    changed: list[OpenRun]
    """Runs that are still open and whose records show what the journal does not have."""
    ended: list[Transition]
    settles_in: float | None
    """Seconds until the next record with a stop line may have settled; None if no record has yet to settle."""


class OpenRunReader:
    """Reads the records of open runs and decides which of them have ended."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        *,
        settle_seconds: float | None = None,
    ) -> None:
        """``clock`` gives epoch seconds, ``monotonic`` seconds of a clock that never jumps.

        ``settle_seconds`` replaces ``watch.settle_seconds``, if given.
        """
        watch = settings.watch
        settle = watch.settle_seconds if settle_seconds is None else settle_seconds
        self._patience = CompletionWaits(settle, watch.final_wait_seconds, watch.abandon_after_seconds)
        self._backfill = watch.backfill
        self._root = settings.source_files.run_records_dir
        self._clock = clock
        self._monotonic = monotonic
        self.latest: dict[int, int] = {}
        """By partition, the greatest run known to have started."""
        self.first_start = 0.0
        """When archiverd was first started, in epoch seconds; runs that ended before are backlog."""

    def read(self, runs: Iterable[OpenRun]) -> OpenRunsRead:
        """Read the records of ``runs`` that changed, the greatest number first. Blocking.

        The order matters. A run is dead if a later one of its partition has started. Its own record is read *after*
        that was seen, so no stop line can have come unseen in between.
        """
        changed, ended, settling = [], [], []
        for seen in runs:
            self._read(seen)
            if seen.started and seen.snapshot is not None and seen.snapshot.partition is not None:
                partition = seen.snapshot.partition
                self.latest[partition] = max(seen.run, self.latest.get(partition, 0))
            if (end := self._verdict(seen)) is not None:
                ended.append(end)
                continue
            if seen.observed != seen.recorded:
                changed.append(seen)
            if (seconds := self._settles_in(seen)) > 0.0:
                settling.append(seconds)
        return OpenRunsRead(changed, ended, min(settling, default=None))

    def _settles_in(self, seen: OpenRun) -> float:
        """Return the seconds until a record with a stop line will have settled; 0.0 or less for another."""
        if seen.snapshot is None or seen.observed is None or seen.observed.stop_line is None:
            return 0.0
        quiet = max(self._clock() - seen.snapshot.changed, self._monotonic() - seen.changed_at)
        return self._patience.settle - quiet

    def _read(self, seen: OpenRun) -> None:
        """Read a run's record if it changed, or if it could not be read: no time stamp shows when it can."""
        directory = self._root / str(seen.run)
        stamp = record_stamp(directory)
        known = seen.snapshot is not None and seen.snapshot.readable
        if known and stamp is not None and stamp == seen.stamp:
            return
        snapshot = take_snapshot(directory)
        if snapshot != seen.snapshot:
            seen.changed_at = self._monotonic()
        lines = time_lines(snapshot.metadata)
        seen.started = lines.started is not None
        seen.error = None if snapshot.readable else _unreadable(seen.run, directory, snapshot.trouble)
        wrong = ("", "") if seen.error is None else (f"{seen.error.name}: {seen.error}", seen.error.remedy)
        seen.observed = ObservedRecord(seen.run, snapshot.partition, lines.started, lines.stopped, *wrong)
        seen.stamp, seen.snapshot = stamp, snapshot

    def _verdict(self, seen: OpenRun) -> Transition | None:
        """Return the transition of a run that has ended, None for another."""
        if seen.snapshot is None:
            return None
        partition, now = seen.snapshot.partition, self._clock()
        later = partition is not None and self.latest.get(partition, 0) > seen.run
        unchanged_since = now - (self._monotonic() - seen.changed_at)
        verdict = judge(seen.snapshot, now, self._patience, later_started=later, unchanged_since=unchanged_since)
        if verdict not in (Completeness.FINAL, Completeness.DEAD):
            return None
        return self._ended(seen.run, seen.snapshot, dead=verdict is Completeness.DEAD)

    def _ended(self, run: int, seen: RecordSnapshot, *, dead: bool) -> Transition:
        """Return the transition of a run that has ended."""
        stopped_at, lines = seen.metadata_mtime, time_lines(seen.metadata)
        end = RecordEnd(self._clock(), stopped_at, seen.partition, lines.started, lines.stopped)
        if self._passed_over(run, seen.changed if stopped_at is None else stopped_at):
            return transitions.passed_over(run, end, dead=dead, rule=f"watch.backfill = {self._backfill}")
        return transitions.died(run, end) if dead else transitions.ended(run, end)

    def _passed_over(self, run: int, ended: float) -> bool:
        """Return whether the backfill rule leaves out a run: only runs that ended before the first start."""
        if ended >= self.first_start:
            return False
        return self._backfill == "none" or (isinstance(self._backfill, int) and run < self._backfill)


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
