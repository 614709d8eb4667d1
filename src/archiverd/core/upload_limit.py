"""How many uploads at once: one at first, more while the server answers as fast as it did alone.

Pure: what an upload took goes in, the allowance comes out. Times are compared per byte sent, with a constant part
for the round trips, so that large and small blobs tell the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ROUND_TRIP_BYTES = 256 * 1024
"""A blob's round trips cost about as much as moving so many bytes."""

FLAT_FACTOR = 1.5
"""Up to this many times the best cost seen counts as no slower."""
SLOW_FACTOR = 3.0
"""From this many times on the server is asked for less."""

DRIFT = 0.01
"""By this share the best cost drifts towards the present one with each upload: servers and networks change."""


@dataclass(frozen=True, slots=True)
class UploadLimit:
    """How many uploads may run at once, and what that rests on. Costs in seconds per byte."""

    most: int
    allowed: int = 1
    best: float | None = None
    flat: int = 0
    """Uploads in a row that were no slower than the best."""


def after_success(limit: UploadLimit, seconds: float, size: int) -> UploadLimit:
    """Return the limit after an upload of ``size`` bytes that went well in ``seconds``."""
    cost = seconds / (size + ROUND_TRIP_BYTES)
    best = cost if limit.best is None else min(cost, limit.best + DRIFT * (cost - limit.best))
    if cost > SLOW_FACTOR * best:
        return replace(limit, best=best, flat=0, allowed=max(1, limit.allowed - 1))
    if cost > FLAT_FACTOR * best:
        return replace(limit, best=best, flat=0)
    flat = limit.flat + 1
    if flat >= 2 * limit.allowed and limit.allowed < limit.most:  # a round of all, twice
        return replace(limit, best=best, flat=0, allowed=limit.allowed + 1)
    return replace(limit, best=best, flat=flat)


def after_failure(limit: UploadLimit) -> UploadLimit:
    """Return the limit after the server failed: half as many at once."""
    return replace(limit, flat=0, allowed=max(1, limit.allowed // 2))
