"""Drills: what goes wrong, how often, and repeatably (``--fault latency=0.2,error=0.1,cut=0.05,freeze=0.01,seed=1``).

latency  seconds that every request waits first
error    share of requests answered with the 500 of a stopped database, nothing done; not /version, and /probe says
         so with status 200 (ucondb_protocol.md section 9)
cut      share of blob downloads that break off in the middle
freeze   share of requests never answered: half of them are carried out all the same, as a frozen database does
drop     share of requests carried out whose connection is then closed without a reply
seed     whole number; what befalls a request hangs only on it, the request and how often it came before, not on
         what other clients do meanwhile
"""

from __future__ import annotations

import enum
import math
import random
from collections import Counter
from dataclasses import dataclass

_SHARES = ("error", "cut", "freeze", "drop")
_REMEMBERED = 1 << 16
"""Different requests whose number of repetitions is kept."""


class Fault(enum.Enum):
    """What befalls one request."""

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
    """Read ``name=value,…``; None and the empty text mean no faults. Raises ``ValueError`` that says what is wrong."""
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
    """Deals out the faults of a plan."""

    def __init__(self, plan: FaultPlan) -> None:
        self.latency = plan.latency
        self._plan = plan
        self._seen: Counter[str] = Counter()

    def next(self, request: str) -> Fault:
        """Return what befalls ``request`` (method and target) this time."""
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
