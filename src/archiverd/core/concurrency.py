"""How many uploads at once: one at first, more while the server answers as fast as it did alone.

Pure: what an upload took goes in, the allowance comes out. Times are compared per byte sent, with a constant part
for the round trips, so that large and small blobs tell the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ROUND_TRIP_BYTES = 256 * 1024
"""A blob's round trips cost about as much as moving so many bytes."""

FLAT = 1.5
"""Up to this many times the best cost seen counts as no slower."""
SLOW = 3.0
"""From this many times on the server is asked for less."""

FORGETTING = 0.01
"""By this share the best cost drifts towards the present one with each upload: servers and networks change."""


@dataclass(frozen=True, slots=True)
class UploadLimit:
    """How many uploads may run at once, and what that rests on. Costs in seconds per byte."""

    most: int
    allowed: int = 1
    best: float | None = None
    flat: int = 0
    """Uploads in a row that were no slower than the best."""


def finished(pace: UploadLimit, seconds: float, size: int) -> UploadLimit:
    """Return the pace after an upload of ``size`` bytes that went well in ``seconds``."""
    cost = seconds / (size + ROUND_TRIP_BYTES)
    best = cost if pace.best is None else min(cost, pace.best + FORGETTING * (cost - pace.best))
    if cost > SLOW * best:
        return replace(pace, best=best, flat=0, allowed=max(1, pace.allowed - 1))
    if cost > FLAT * best:
        return replace(pace, best=best, flat=0)
    flat = pace.flat + 1
    if flat >= 2 * pace.allowed and pace.allowed < pace.most:  # a round of all, twice
        return replace(pace, best=best, flat=0, allowed=pace.allowed + 1)
    return replace(pace, best=best, flat=flat)


def troubled(pace: UploadLimit) -> UploadLimit:
    """Return the pace after the server failed: half as many at once."""
    return replace(pace, flat=0, allowed=max(1, pace.allowed // 2))
