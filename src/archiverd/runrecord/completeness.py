"""When a run record is complete, from what its directory shows: pure (run_records.md 2.4 to 2.6)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd.runrecord.snapshot import ENVIRONMENT, METADATA
from archiverd.runrecord.spelling import BLANKS

if TYPE_CHECKING:
    from archiverd.runrecord.snapshot import RecordSnapshot

_TIME_LINE: Final = re.compile(rb"^[ \t]*(?:DAQInterface )?[Ss](tart|top) time:([^\r\n]*)[\r\n]", re.MULTILINE)
_TOTAL_EVENTS: Final = re.compile(rb"^[ \t]*Total events:[^\r\n]*[\r\n]", re.MULTILINE)
_OLD_STOP: Final = re.compile(rb"^[ \t]*Stop time:", re.MULTILINE)
_RC_START: Final = "rc_info_start.txt"
_RC_STOP: Final = "rc_info_stop.txt"
_APPENDED_LATER: Final = (METADATA, _RC_START, _RC_STOP)
_AFTER_TOTAL_EVENTS: Final = ("known_boardreaders_list.txt", "ranks.txt", "settings.txt", ENVIRONMENT)
"""Files only layouts have that no longer write ``Total events`` (run_records.md 1.1)."""
_VERSION_LINE: Final = b" commit/version: "
"""In metadata.txt of those layouts."""


class Completeness(enum.StrEnum):
    """How far a run record is, in the order it goes through."""

    COPYING = "copying"
    """DAQInterface is still putting the files there, or nothing can be read."""
    COPIED = "copied"
    """All files but metadata.txt and rc_info_* are as they will be; the run has not started."""
    STARTED = "started"
    """The start line is there."""
    STOPPED = "stopped"
    """The stop line is there; something may still follow."""
    FINAL = "final"
    """The run ended and nothing will be written any more."""
    DEAD = "dead"
    """No stop line, and none will come."""


@dataclass(frozen=True, slots=True)
class CompletionWaits:
    """How long to wait, in seconds (contract.md, ``[watch]``)."""

    settle: float = 1.0
    """Nothing must have changed for so long."""
    final_wait: float = 600.0
    """At most so long after the stop line for what should follow it."""
    abandon_after: float = 1_209_600.0
    """A run that shows no change for so long and has no stop line is dead, whatever else is known."""


@dataclass(frozen=True, slots=True)
class TimeLines:
    """The last complete start and stop line of metadata.txt: the time as written, or None."""

    started: str | None
    stopped: str | None


def time_lines(metadata: bytes | None) -> TimeLines:
    """Return the last complete start and stop line; half a line without its newline is none."""
    found = {match[1]: match[2] for match in _TIME_LINE.finditer(metadata or b"")}
    return TimeLines(*(_text(found.get(which)) for which in (b"tart", b"top")))


def _text(value: bytes | None) -> str | None:
    """Return a value as byte text without the blanks around it, or None for None."""
    return None if value is None else value.decode("latin-1").strip(BLANKS)


def judge(
    sighting: RecordSnapshot,
    now: float,
    patience: CompletionWaits,
    *,
    later_started: bool = False,
    unchanged_since: float | None = None,
) -> Completeness:
    """Say how far the run is that shows ``sighting``.

    ``now`` and ``unchanged_since`` (when the observer first saw the directory as it is) are seconds since 1970 by the
    observer's clock; without the latter only the files' own times count. ``later_started``: a later run of the same
    partition has its start line, so DAQInterface is done with this one.
    """
    quiet = now - sighting.changed if sighting.readable else 0.0
    if unchanged_since is not None:
        quiet = max(quiet, now - unchanged_since)
    settled = quiet >= patience.settle
    lines = time_lines(sighting.metadata)
    if not sighting.readable or lines.stopped is None:
        if (later_started and settled) or quiet >= patience.abandon_after:
            return Completeness.DEAD
        return _before_the_stop(sighting, lines, settled=settled)
    if not settled:
        return Completeness.STOPPED if _whole(sighting) else Completeness.STARTED
    if later_started or quiet >= patience.final_wait:
        return Completeness.FINAL
    return Completeness.FINAL if _whole(sighting) and not _more_expected(sighting) else Completeness.STOPPED


def _before_the_stop(sighting: RecordSnapshot, lines: TimeLines, *, settled: bool) -> Completeness:
    """Say how far a run without a stop line is."""
    if not sighting.readable or not sighting.files:
        return Completeness.COPYING
    if lines.started is not None and (_whole(sighting) or settled):
        return Completeness.STARTED
    if _locks(sighting):
        others = (file for file in sighting.files if file.name not in _APPENDED_LATER)
        copied = sighting.locked and all(file.locked for file in others)
    else:
        copied = settled
    return Completeness.COPIED if copied else Completeness.COPYING


def _locks(sighting: RecordSnapshot) -> bool:
    """Tell whether this DAQInterface locks its records (v3_06_01 and later): modes 0444 and 0555 then mean something.

    A record whose files are all writable although it has its time lines was copied or restored without its modes.
    """
    if sighting.locked or any(file.locked for file in sighting.files):
        return True
    return sighting.file(ENVIRONMENT) is not None and time_lines(sighting.metadata).started is None


def _whole(sighting: RecordSnapshot) -> bool:
    """Tell whether metadata.txt ends with a complete line and is locked again where this layout locks it."""
    seen = sighting.file(METADATA)
    if seen is None or sighting.metadata is None or not sighting.metadata.endswith((b"\n", b"\r")):
        return False
    return seen.locked or not _locks(sighting)


def _more_expected(sighting: RecordSnapshot) -> bool:
    """Tell whether something is still to follow the stop line: rc_info_stop.txt, or ``Total events`` in v1 layouts."""
    if sighting.file(_RC_START) is not None and sighting.file(_RC_STOP) is None:
        return True
    metadata = sighting.metadata or b""
    if _VERSION_LINE in metadata or any(sighting.file(name) is not None for name in _AFTER_TOTAL_EVENTS):
        return False
    return _OLD_STOP.search(metadata) is not None and _TOTAL_EVENTS.search(metadata) is None
