"""Times as DAQInterface writes them: ``date --utc`` in the DAQ user's locale (run_records.md 1.2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_CLOCK: Final = r"(?P<hour>\d{1,2}):(?P<minute>\d\d):(?P<second>\d\d)(?: (?P<half>AM|PM))?"
_SPELLINGS: Final = (
    re.compile(
        rf"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) +(?P<day>\d{{1,2}}) {_CLOCK} UTC (?P<year>\d{{4}})", re.ASCII
    ),
    re.compile(
        rf"[A-Z][a-z]{{2}} +(?P<day>\d{{1,2}}) (?P<month>[A-Z][a-z]{{2}}) (?P<year>\d{{4}}) {_CLOCK} UTC", re.ASCII
    ),
)
"""``Thu Oct 10 20:47:19 UTC 2024`` or ``Thu Oct 10 08:47:19 PM UTC 2024``; ``Thu 10 Oct 2024 08:47:19 PM UTC``."""


def epoch(text: str) -> float | None:
    """Return the time in ``text`` in seconds since 1970, or None if it has none of the three spellings."""
    for spelling in _SPELLINGS:
        match = spelling.fullmatch(text.strip())
        if match is not None:
            return _epoch_of(match)
    return None


def _epoch_of(match: re.Match[str]) -> float | None:
    """Return the matched time, or None if there is no such day or hour."""
    hour = int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"] == "PM" else 0)
    try:
        moment = datetime(
            int(match["year"]),
            _MONTHS[match["month"]],
            int(match["day"]),
            hour,
            int(match["minute"]),
            int(match["second"]),
            tzinfo=UTC,
        )
    except (KeyError, ValueError):
        return None
    return moment.timestamp()
