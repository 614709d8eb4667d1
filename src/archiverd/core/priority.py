"""The order in which waiting runs are taken up, and the waits between the attempts of one.

There are three lanes: fresh runs, then retries that are due, then the backlog found at start. In each the newest run
number goes first, so that the runs people watch are archived at once. Every fourth pick takes the oldest waiting run,
the one with the smallest number in all lanes, so that none starves.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

OLDEST_EVERY = 4
"""One pick in this many takes the oldest waiting run."""

BACKOFF_CAP_SECONDS = 900.0
"""Longest wait between two attempts, in seconds, unless ``app.retry_delay_seconds`` is longer."""


class Lane(enum.IntEnum):
    """The lane of a waiting run; the smallest number goes first."""

    FRESH = 0
    RETRY = 1
    BACKLOG = 2


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The waits after failed attempts: ``quick`` retries after ``delay`` seconds each, then growing waits."""

    quick: int
    delay: float


def takes_oldest(picks: int) -> bool:
    """Return whether pick number ``picks`` (from 0) takes the oldest waiting run."""
    return picks % OLDEST_EVERY == OLDEST_EVERY - 1


def wait_before(attempt: int, schedule: RetrySchedule, uniform: Callable[[float, float], float]) -> float:
    """Return the seconds to wait after failed attempt number ``attempt`` (from 1).

    The first ``schedule.quick`` failures wait ``schedule.delay``; later waits double up to the cap. Each of
    these is between 0.5 and 1 times its nominal length, so that runs that failed together are not retried together.
    """
    if attempt <= schedule.quick:
        return schedule.delay
    doublings = min(attempt - schedule.quick, 32)
    nominal = min(BACKOFF_CAP_SECONDS, max(schedule.delay, 1.0) * 2.0**doublings)
    return nominal * uniform(0.5, 1.0)


def longest_wait(schedule: RetrySchedule) -> float:
    """Return the longest wait of a failed run, in seconds."""
    return max(BACKOFF_CAP_SECONDS, schedule.delay)
