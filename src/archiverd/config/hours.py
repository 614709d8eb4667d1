"""Hours of the day, as settings give them: ``22-6`` is from ten in the evening to six in the morning, local time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

DAY: Final = 24.0
_FORM = re.compile(r"\s*([0-9]{1,2})\s*-\s*([0-9]{1,2})\s*")


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of every day; ``begin`` and ``end`` are hours, equal ones mean the whole day."""

    begin: float = 0.0
    end: float = DAY

    @property
    def length(self) -> float:
        """Hours from ``begin`` to ``end``."""
        return (self.end - self.begin) % DAY or DAY

    def wait(self, hour: float) -> float:
        """Return the hours until ``begin``, at ``hour`` of the day; 0 between ``begin`` and ``end``."""
        return 0.0 if (hour - self.begin) % DAY < self.length else (self.begin - hour) % DAY


def parse_hours(text: str) -> Hours:
    """Return the hours that a setting means; an empty one any. Raise ValueError, in words, for anything else."""
    if not text.strip():
        return Hours()
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError('must be two hours of the day such as "22-6", or "" for any')
    begin, end = int(match[1]), int(match[2])
    if begin > DAY or end > DAY:
        raise ValueError("an hour of the day is 0 to 24")
    if begin % DAY == end % DAY and abs(end - begin) != DAY:
        raise ValueError('begins when it ends; "" means any hour')
    return Hours(float(begin), float(end))
