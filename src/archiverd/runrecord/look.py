"""Looks at a run directory: each compared with the one before it, to tell since when the record is as it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.runrecord.snapshot import APPENDED_LATER

if TYPE_CHECKING:
    from archiverd.runrecord.snapshot import RecordSnapshot


@dataclass(frozen=True, slots=True)
class Look:
    """What a look showed, as digests, and since when it is so. Times in seconds of a clock that never jumps."""

    at: float
    """When the directory was looked at."""
    copied: str
    """Digest of the files that are copied when the run starts."""
    copied_since: float
    """The first look at which these files were as they are."""
    appended: tuple[object, ...]
    """Status of the directory and of the files that are written to while the run goes on."""
    appended_since: float
    """When these changed last: by their own times, or when that was seen if these lie before a look that was other."""

    @property
    def digest(self) -> str:
        """Digest of everything that a look shows but the temporaries of a copy."""
        text = f"{self.copied} {self.appended!r}"
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def compare(snapshot: RecordSnapshot, before: Look | None, *, wall: float, now: float) -> Look:
    """Return the look that ``snapshot`` is, after the look ``before``; None if it is the first.

    ``wall`` is the time in epoch seconds, ``now`` that of the clock that never jumps. The files' own times bring
    ``appended_since`` forward: a record that was complete before it was looked at need not wait once more.
    """
    files = tuple(file for file in snapshot.files if file.name in APPENDED_LATER)
    appended = (snapshot.readable, snapshot.mode, snapshot.ctime_ns, files)
    copied = snapshot.digest_of_copied
    if before is not None and before.appended == appended:
        appended_since = before.appended_since
    else:
        newest = max([snapshot.ctime_ns, *(file.ctime_ns for file in files)]) / 1e9
        by_their_times = now - max(0.0, wall - newest) if snapshot.readable else now
        plausible = before is None or by_their_times >= before.at  # what was not there yet cannot be older than that
        appended_since = by_their_times if plausible else now
    copied_since = now if before is None or before.copied != copied else before.copied_since
    return Look(now, copied, copied_since, appended, appended_since)
