"""The number of uploads at once: one at first, more while the server answers as fast as it did to one alone.

Pure: the duration of an upload goes in, the new limit comes out. Durations are compared per byte sent, with a constant
part for the round trips, so that large and small blobs compare.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ROUND_TRIP_BYTES = 256 * 1024
"""Bytes that take about as long to send as the round trips of one blob."""

FLAT_FACTOR = 1.5
"""An upload that costs up to this many times the best one counts as no slower."""

SLOW_FACTOR = 3.0
"""An upload that costs more than this many times the best one lowers the limit."""

DRIFT = 0.01
"""Share by which each upload moves the best cost towards its own: servers and networks change."""


@dataclass(frozen=True, slots=True)
class UploadLimit:
    """How many uploads may run at once, and the measurements behind that. Costs are in seconds per byte."""

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
    """Return the limit after the server failed: half of it, at least one."""
    return replace(limit, flat=0, allowed=max(1, limit.allowed // 2))
