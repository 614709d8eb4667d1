"""Numbers and times from parameter texts, with the real server's error texts (ucondb_protocol.md section 5)."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from archiverd.ucondb_server.replies import failure

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Seconds per unit of a time given as "ago"."""
_INT8 = 1 << 63


def number(text: str) -> float:
    """Return ``text`` as a float; ``nan`` and ``inf`` are accepted. Raise the 500 of section 4."""
    try:
        return float(text)
    except ValueError as error:
        raise failure(str(error)) from None


def integer(text: str) -> int:
    """Return ``text`` as an id or data key. Raise the 500 of section 5."""
    try:
        value = int(text)
    except ValueError as error:
        raise failure(str(error)) from None
    if not -_INT8 <= value < _INT8:
        raise failure("bigint out of range")
    return value


def validity_limit(text: str | None, now: float) -> float:
    """Return the greatest ``tv`` of the selection, in epoch seconds; ``now`` if none is given.

    ``inf`` and ``nan``, which a put accepts, are a 500 here (section 6).
    """
    if not text:
        return now
    value = number(text)
    if not math.isfinite(value):
        raise failure(f'column "{abs(value)}" does not exist')
    return value


def record_time(text: str | None, now: float) -> float | None:
    """Return ``tr`` or ``tr_since`` in epoch seconds, or None if not given.

    Accepts epoch seconds, ``YYYY-MM-DDTHH:MM:SS[.f]`` and ``MM/DD/YYYY HH:MM:SS`` in UTC, and a negative number with
    the unit d, h, m or s, counted back from ``now``. Raise the 500 for anything else.
    """
    if not text:
        return None
    if text[0] == "-" and text[-1] in _UNITS:
        return now + number(text[:-1]) * _UNITS[text[-1]]
    if "T" not in text and "/" not in text:
        return number(text)
    form = "%m/%d/%Y %H:%M:%S" if "/" in text else "%Y-%m-%dT%H:%M:%S.%f" if "." in text else "%Y-%m-%dT%H:%M:%S"
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise failure(str(error)) from None
