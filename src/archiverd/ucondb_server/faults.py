"""Repeatable faults for drills (``--fault latency=0.2,error=0.1,cut=0.05,freeze=0.01,seed=1``).

latency  seconds of delay before every request
error    share of requests answered with the 500 of a stopped database, nothing done; never /version, and /probe
         reports it with status 200 (ucondb_protocol.md section 9)
cut      share of blob downloads that break off in the middle
freeze   share of requests never answered; half of them are carried out, as by a frozen database
drop     share of requests carried out whose connection is then closed without a reply
seed     integer; a request's fault depends only on it, on the request and on how often that request came before,
         not on other clients
"""

from __future__ import annotations

import enum
import math
import random
from collections import Counter
from dataclasses import dataclass

_SHARES = ("error", "cut", "freeze", "drop")
_REMEMBERED = 1 << 16
"""Number of distinct requests whose repetitions are counted."""


class Fault(enum.Enum):
    """A fault of one request."""

    NONE = enum.auto()
    ERROR = enum.auto()
    CUT = enum.auto()
    FREEZE_FIRST = enum.auto()
    """Frozen before anything is done."""
    FREEZE_LATE = enum.auto()
    """Carried out, then frozen."""
    DROP = enum.auto()


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """A parsed specification; ``latency`` in seconds, the others shares of requests between 0 and 1."""

    latency: float = 0.0
    error: float = 0.0
    cut: float = 0.0
    freeze: float = 0.0
    drop: float = 0.0
    seed: int = 0


def parse_plan(spec: str | None) -> FaultPlan:
    """Parse ``name=value,…``; None and the empty text mean no faults. Raise ValueError naming what is wrong."""
    given: dict[str, float] = {}
    for part in (spec or "").split(","):
        name, _, value = (text.strip() for text in part.partition("="))
        if not part.strip():
            continue
        if name not in ("latency", "seed", *_SHARES):
            raise ValueError(f"fault {name!r} is not one of latency, {', '.join(_SHARES)}, seed")
        if name in given:
            raise ValueError(f"fault {name} is given twice")
        try:
            given[name] = int(value) if name == "seed" else float(value)
        except ValueError:
            raise ValueError(f"fault {name}={value!r} is not a number") from None
        if not math.isfinite(given[name]) or (name != "seed" and given[name] < 0):
            raise ValueError(f"fault {name}={value} must be a finite number, not below 0")
    if sum(given.get(name, 0.0) for name in _SHARES) > 1.0:
        raise ValueError(f"the shares of {', '.join(_SHARES)} must not exceed 1 together")
    return FaultPlan(seed=int(given.pop("seed", 0)), **given)


class FaultDealer:
    """Chooses the fault of each request by a plan."""

    def __init__(self, plan: FaultPlan) -> None:
        self.latency = plan.latency
        self._plan = plan
        self._seen: Counter[str] = Counter()

    def next(self, request: str) -> Fault:
        """Return the fault of ``request`` (method and target), this repetition of it."""
        plan = self._plan
        if not (plan.error or plan.cut or plan.freeze or plan.drop):
            return Fault.NONE
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[request] += 1
        draw = random.Random(f"{plan.seed} {self._seen[request]} {request}").random()  # noqa: S311  # a drill
        half = plan.freeze / 2
        shares = (plan.error, plan.cut, half, half, plan.drop)
        faults = (Fault.ERROR, Fault.CUT, Fault.FREEZE_FIRST, Fault.FREEZE_LATE, Fault.DROP)
        for share, fault in zip(shares, faults, strict=True):
            if draw < share:
                return fault
            draw -= share
        return Fault.NONE
