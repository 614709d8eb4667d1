"""When a run record is complete, judged from a snapshot of its directory (run_records.md 2.4 to 2.6)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd.runrecord.directory import opened
from archiverd.runrecord.promised import ENVIRONMENT
from archiverd.runrecord.snapshot import APPENDED_LATER, METADATA, tail
from archiverd.runrecord.spelling import BLANKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archiverd.runrecord.snapshot import RecordSnapshot

_TIME_LINE: Final = re.compile(rb"^[ \t]*(?:DAQInterface )?[Ss](tart|top) time:([^\r\n]*)[\r\n]", re.MULTILINE)
_TOTAL_EVENTS: Final = re.compile(rb"^[ \t]*Total events:[^\r\n]*[\r\n]", re.MULTILINE)
_OLD_STOP: Final = re.compile(rb"^[ \t]*Stop time:", re.MULTILINE)
_RC_START: Final = "rc_info_start.txt"
_RC_STOP: Final = "rc_info_stop.txt"
_AFTER_TOTAL_EVENTS: Final = ("known_boardreaders_list.txt", "ranks.txt", "settings.txt", ENVIRONMENT)
"""Files that only layouts without ``Total events`` have (run_records.md 1.1)."""
_NAMED: Final = 5
"""Most file names in a sentence."""
_VERSION_LINE: Final = b" commit/version: "
"""In metadata.txt of those layouts."""


class Completeness(enum.StrEnum):
    """How far a run record is, in the order of its stages."""

    COPYING = "copying"
    """DAQInterface is still copying the files, or nothing can be read."""
    COPIED = "copied"
    """All files but metadata.txt and rc_info_* are final; the run has not started."""
    STARTED = "started"
    """The start line is there."""
    STOPPED = "stopped"
    """The stop line is there; something may still follow."""
    FINAL = "final"
    """The run has ended and nothing more will be written."""
    DEAD = "dead"
    """No stop line, and none will come."""


@dataclass(frozen=True, slots=True)
class CompletionWaits:
    """How long to wait before a record is judged, in seconds (contract.md, ``[watch]``)."""

    settle: float = 1.0
    """Time without a change before a record counts as settled."""
    final_wait: float = 600.0
    """Longest wait, after the stop line, for files that should follow it."""
    abandon_after: float = 1_209_600.0
    """Time without a change after which a run without a stop line is dead, whatever else is known."""
    promised: bool = True
    """Wait for the files that the record itself names, at most ``final_wait`` (``watch.promised_files``)."""


@dataclass(frozen=True, slots=True)
class Stillness:
    """For how long a record has not changed, in seconds by clocks that do not jump."""

    copied: float
    """Between the first look at which the files that were copied at its start were as they are, and the last one.

    0 if there was only one look: a file that is being written shows only in comparison.
    """
    appended: float
    """Since metadata.txt, an rc_info file or the directory changed."""
    record: float
    """Since anything changed but the temporaries of a copy; counted over restarts, for the long waits."""


@dataclass(frozen=True, slots=True)
class TimeLines:
    """The times in the last complete start and stop line of metadata.txt, as written; None without such a line."""

    started: str | None
    stopped: str | None


def time_lines(metadata: bytes | None) -> TimeLines:
    """Return the last complete start and stop line; one without its newline does not count."""
    found = {match[1]: match[2] for match in _TIME_LINE.finditer(metadata or b"")}
    return TimeLines(*(_text(found.get(which)) for which in (b"tart", b"top")))


def start_line(directory: Path) -> str | None:
    """Return the start time in the run record in ``directory``, which identifies the run: no two start at one time.

    None if there is none, or it cannot be read. Reads the end of metadata.txt only. Blocking.
    """
    try:
        with opened(directory) as descriptor:
            return time_lines(tail(METADATA, descriptor)).started
    except OSError:
        return None


def _text(value: bytes | None) -> str | None:
    """Return a value as byte text without the blanks around it, or None for None."""
    return None if value is None else value.decode("latin-1").strip(BLANKS)


def judge(
    snapshot: RecordSnapshot, still: Stillness, waits: CompletionWaits, *, later_started: bool = False
) -> Completeness:
    """Return how far the run is that ``snapshot`` was taken of, and that has not changed for as long as ``still`` says.

    ``later_started``: a later run of the same partition has its start line, so DAQInterface has finished with this one.
    """
    lines = time_lines(snapshot.metadata)
    settled = min(still.copied, still.appended) >= waits.settle
    waited = still.record >= waits.final_wait
    held_up = not waited and bool(snapshot.temporaries or (waits.promised and snapshot.missing))
    if not snapshot.readable or lines.stopped is None:
        ended = (later_started and settled) or still.record >= waits.abandon_after
        if ended and not held_up:
            return Completeness.DEAD
        return _before_the_stop(snapshot, lines, settled=still.appended >= waits.settle)
    if not settled or held_up:
        return Completeness.STOPPED if _whole(snapshot) else Completeness.STARTED
    if later_started or waited:
        return Completeness.FINAL
    return Completeness.FINAL if _whole(snapshot) and not _more_expected(snapshot) else Completeness.STOPPED


def describe_wait(
    snapshot: RecordSnapshot, still: Stillness, waits: CompletionWaits, *, later_started: bool = False
) -> str:
    """Return what a record with a stop line waits for, in words; empty for a record without one."""
    if not snapshot.readable or time_lines(snapshot.metadata).stopped is None:
        return ""
    settled = min(still.copied, still.appended) >= waits.settle
    if settled or snapshot.temporaries or (waits.promised and snapshot.missing):
        wait = _long_wait(snapshot, waits, later_started=later_started)
        return f"{wait}, at most watch.final_wait_seconds ({waits.final_wait:g} s) without a change" if wait else ""
    return f"its files to stand still for watch.settle_seconds ({waits.settle:g} s)"


def _long_wait(snapshot: RecordSnapshot, waits: CompletionWaits, *, later_started: bool) -> str:
    """Return what a record whose files stand still lacks; empty if nothing."""
    if snapshot.temporaries:
        return f"a copy that is under way: it is writing {_some(snapshot.temporaries)}"
    if waits.promised and snapshot.missing:
        return f"files that the record itself names: {_some(snapshot.missing)}"
    if later_started:
        return ""
    if not _whole(snapshot):
        return "metadata.txt to be whole and read-only again, as this DAQInterface leaves it"
    if snapshot.file(_RC_START) is not None and snapshot.file(_RC_STOP) is None:
        return "rc_info_stop.txt, which follows rc_info_start.txt"
    return "`Total events`: this layout does not tell whether it may still come"


def _some(names: Sequence[str]) -> str:
    """Return a few of ``names`` as text, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _before_the_stop(snapshot: RecordSnapshot, lines: TimeLines, *, settled: bool) -> Completeness:
    """Return how far a run without a stop line is."""
    if not snapshot.readable or not snapshot.files:
        return Completeness.COPYING
    if lines.started is not None and (_whole(snapshot) or settled):
        return Completeness.STARTED
    if _locks(snapshot):
        others = (file for file in snapshot.files if file.name not in APPENDED_LATER)
        copied = snapshot.locked and all(file.locked for file in others)
    else:
        copied = settled
    return Completeness.COPIED if copied else Completeness.COPYING


def _locks(snapshot: RecordSnapshot) -> bool:
    """Return whether this DAQInterface locks its records (v3_06_01 and later), so that modes mean something.

    A record whose files are all writable although it has its time lines was copied or restored without its modes.
    """
    if snapshot.locked or any(file.locked for file in snapshot.files):
        return True
    return snapshot.file(ENVIRONMENT) is not None and time_lines(snapshot.metadata).started is None


def _whole(snapshot: RecordSnapshot) -> bool:
    """Return whether metadata.txt ends with a complete line and is locked again where this layout locks it."""
    seen = snapshot.file(METADATA)
    if seen is None or snapshot.metadata is None or not snapshot.metadata.endswith((b"\n", b"\r")):
        return False
    return seen.locked or not _locks(snapshot)


def _more_expected(snapshot: RecordSnapshot) -> bool:
    """Return whether something is due after the stop line: rc_info_stop.txt, or ``Total events`` in v1 layouts."""
    if snapshot.file(_RC_START) is not None and snapshot.file(_RC_STOP) is None:
        return True
    metadata = snapshot.metadata or b""
    if _VERSION_LINE in metadata or any(snapshot.file(name) is not None for name in _AFTER_TOTAL_EVENTS):
        return False
    return _OLD_STOP.search(metadata) is not None and _TOTAL_EVENTS.search(metadata) is None
