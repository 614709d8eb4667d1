"""The plan of the scrub: which verified run is proven again next, and when. Pure.

Three tracks, each at its own even pace: proofs that are due some days after the first one, proofs of all others in turn
with the oldest first, and look-ups of all keys once a week. The journal says when each made its last step, so that a
restart neither hurries nor forgets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd.config.hours import DAY as HOURS
from archiverd.config.hours import Hours, parse_hours
from archiverd.core import proofs

if TYPE_CHECKING:
    from archiverd.config.models import Scrub as ScrubSettings
    from archiverd.journal.proofs import ScrubFacts, Track

LOOKED_UP_AT_ONCE: Final = 200
"""Keys in one step of the look-ups."""
LOOK_UP_DAYS: Final = 7
"""Days in which every key is looked up once."""
EARLY_HURRY: Final = 1.5
"""How much faster than evenly over the day early proofs go, so that a day's are done when the next ones are due."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is proven again, and when."""

    share_per_day: float
    least_per_day: int
    hours: Hours

    @staticmethod
    def of(settings: ScrubSettings) -> Pace:
        """Return the pace that the configuration gives."""
        return Pace(settings.share_per_day, settings.least_per_day, parse_hours(settings.hours))

    def others_per_day(self, others: int) -> int:
        """Return how many of so many runs are proven in turn in a day: each at most once."""
        return min(others, max(self.least_per_day, math.ceil(self.share_per_day * others)))


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next, and in how many seconds; no track if nothing is to be done."""

    track: Track | None
    run: int
    wait: float


def longest_wait() -> float:
    """Return the seconds after which the facts are looked at anew, whatever the plan: a minute."""
    return proofs.DAY_SECONDS / 1440


def next_step(facts: ScrubFacts, pace: Pace, now: float, hour: float) -> Step:
    """Return the next step at ``now``, epoch seconds, and ``hour`` of the local day; waits are at most a minute."""
    closed = pace.hours.wait(hour)
    if closed:
        return Step(None, 0, min(longest_wait(), closed / HOURS * proofs.DAY_SECONDS))
    due = sorted(_due(facts, pace, now))
    if not due:
        return Step(None, 0, longest_wait())
    at, _, track, run = due[0]
    return Step(track, run, 0.0) if at <= now else Step(None, 0, min(longest_wait(), at - now))


def _due(facts: ScrubFacts, pace: Pace, now: float) -> list[tuple[float, int, Track, int]]:
    """Return when each track may make its next step, and with which run."""
    day = proofs.DAY_SECONDS * pace.hours.length / HOURS
    found: list[tuple[float, int, Track, int]] = []
    if facts.next_early is not None:
        gap = day / (EARLY_HURRY * max(1, facts.early))
        found.append((max(facts.next_early.at, _after(facts.early_at, gap, now)), 0, "early", facts.next_early.run))
    if facts.next_other is not None and (number := pace.others_per_day(facts.others)):
        once_a_day = facts.next_other.at + proofs.DAY_SECONDS
        found.append((max(once_a_day, _after(facts.others_at, day / number, now)), 1, "others", facts.next_other.run))
    if facts.verified:
        gap = LOOK_UP_DAYS * day / math.ceil(facts.verified / LOOKED_UP_AT_ONCE)
        found.append((_after(facts.looked_up_at, gap, now), 2, "look_ups", 0))
    return found


def _after(last: float, gap: float, now: float) -> float:
    """Return when a step may follow the one at ``last``; one in the future was noted by a clock that was ahead."""
    return 0.0 if last > now else last + gap
