"""Which run is taken up next, and how long a failed one waits.

Three lanes: fresh runs, retries that are due, and the backlog found at start. Fresh before retries before
backlog, the newest run number first in each, so that what people look at now is archived now; every fourth
pick takes the oldest waiting run of all, so that nothing starves.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

OLDEST_EVERY = 4
"""Every so many picks the oldest waiting run goes first."""

BACKOFF_CAP_SECONDS = 900.0
"""No failed run waits longer than this between two attempts, unless the operator's own delay is longer."""


class Lane(enum.IntEnum):
    """How urgent a waiting run is; smaller goes first."""

    FRESH = 0
    RETRY = 1
    BACKLOG = 2


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """How failures are waited out: ``quick`` retries after ``delay`` seconds, then growing waits."""

    quick: int
    delay: float


def takes_oldest(picks: int) -> bool:
    """Tell whether pick number ``picks`` (from 0) is the oldest waiting run's turn."""
    return picks % OLDEST_EVERY == OLDEST_EVERY - 1


def wait_before(attempt: int, schedule: RetrySchedule, uniform: Callable[[float, float], float]) -> float:
    """Return the seconds to wait after failed attempt number ``attempt`` (from 1).

    The first ``schedule.quick`` failures wait ``schedule.delay``; later ones double from there up to the cap,
    with a jitter of half: between 0.5 and 1 times the nominal wait, so that a herd spreads.
    """
    if attempt <= schedule.quick:
        return schedule.delay
    doublings = min(attempt - schedule.quick, 32)
    nominal = min(BACKOFF_CAP_SECONDS, max(schedule.delay, 1.0) * 2.0**doublings)
    return nominal * uniform(0.5, 1.0)


def longest_wait(schedule: RetrySchedule) -> float:
    """Return the most seconds a failed run can have to wait."""
    return max(BACKOFF_CAP_SECONDS, schedule.delay)
