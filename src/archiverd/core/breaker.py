"""The circuit breaker of one backend: when it is left alone, when it is probed, when runs are sent to it again.

Pure: events go in, the new state comes out; the caller has the clock (seconds, any origin) and the randomness.

    WORKING ──TRIPS_AFTER failures in a row──▶ AWAY ──probe passed──▶ TRIAL ──a run passed──▶ WORKING
       └──the login was refused──▶ REFUSED ──probe passed──▶ TRIAL     └──it failed──▶ AWAY

While the backend is AWAY or REFUSED only probes are sent, so an outage of hours costs probes and no run's retries. On
TRIAL one run at a time is let through, for a probe may pass where a put does not.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archiverd.core.errors import Blame

if TYPE_CHECKING:
    from collections.abc import Callable

TRIPS_AFTER = 3
"""Failures in a row that blame the backend after which it is left alone."""

FIRST_PROBE_SECONDS = 1.0
PROBE_CAP_SECONDS = 30.0
"""Longest wait between two probes, in seconds; the waits are 1, 2, 4, … up to this."""


class Health(enum.StrEnum):
    """The health of a backend."""

    WORKING = "working"
    TRIAL = "trial"
    AWAY = "away"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of a backend's breaker. A new one is AWAY with a probe due at once: it has to show that it works."""

    health: Health = Health.AWAY
    failures: int = 0
    """Failures in a row while WORKING; probes and trials that failed in a row otherwise."""
    since: float | None = None
    """When it stopped working; None while it works, or before the first probe."""
    probe_at: float = 0.0
    """When the next probe is due, while AWAY or REFUSED."""

    @property
    def lets_through(self) -> bool:
        """Whether runs may be sent."""
        return self.health in (Health.WORKING, Health.TRIAL)


def passed(breaker: Breaker) -> Breaker:
    """Return the breaker after a run's exchange with the backend went well."""
    if not breaker.lets_through:  # it began before others failed: the next probe decides
        return breaker
    return Breaker(Health.WORKING)


def failed(breaker: Breaker, blame: Blame, now: float, uniform: Callable[[float, float], float]) -> Breaker:
    """Return the breaker after a run's exchange failed for a reason that is not the run's."""
    if blame is Blame.RUN:
        return passed(breaker)
    if not breaker.lets_through:
        return breaker
    failures = breaker.failures + 1
    if blame is Blame.LOGIN:
        return _shut(breaker, Health.REFUSED, 1, now, uniform)
    if breaker.health is Health.TRIAL:
        return _shut(breaker, Health.AWAY, failures, now, uniform)
    if failures >= TRIPS_AFTER:
        return _shut(breaker, Health.AWAY, 1, now, uniform)
    return replace(breaker, failures=failures)


def probed(breaker: Breaker, blame: Blame | None, now: float, uniform: Callable[[float, float], float]) -> Breaker:
    """Return the breaker after a probe that failed for ``blame``, or passed (None)."""
    if blame is None:
        return replace(breaker, health=Health.TRIAL, probe_at=0.0)
    health = Health.REFUSED if blame is Blame.LOGIN else Health.AWAY
    return _shut(breaker, health, breaker.failures + 1, now, uniform)


def _shut(
    breaker: Breaker, health: Health, failures: int, now: float, uniform: Callable[[float, float], float]
) -> Breaker:
    """Return a breaker that lets nothing through until a probe passes."""
    nominal = min(PROBE_CAP_SECONDS, FIRST_PROBE_SECONDS * 2.0 ** min(failures - 1, 32))
    since = now if breaker.since is None else breaker.since
    return Breaker(health, failures, since, now + nominal * uniform(0.5, 1.0))
