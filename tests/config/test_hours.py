"""Hours of the day in a setting."""

from __future__ import annotations

import pytest

from archiverd.config.hours import Hours, parse_hours
from archiverd.config.models import Scrub


@pytest.mark.parametrize(
    ("text", "hours", "length"),
    [
        ("", Hours(0, 24), 24),
        ("  ", Hours(0, 24), 24),
        ("0-24", Hours(0, 24), 24),
        ("22-6", Hours(22, 6), 8),
        (" 1 - 5 ", Hours(1, 5), 4),
        ("18-24", Hours(18, 24), 6),
        ("24-6", Hours(24, 6), 6),
    ],
)
def test_hours_that_are_understood(text: str, hours: Hours, length: float) -> None:
    """They may go over midnight; an empty text is the whole day."""
    assert parse_hours(text) == hours
    assert hours.length == length
    assert Scrub(hours=text).hours == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("night", "two hours of the day such as"),
        ("22", "two hours"),
        ("22:00-6:00", "two hours"),
        ("-1-6", "two hours"),
        ("22-25", "0 to 24"),
        ("6-6", "begins when it ends"),
        ("²-6", "two hours"),
    ],
)
def test_hours_that_are_not(text: str, why: str) -> None:
    """The error says what they should look like."""
    with pytest.raises(ValueError, match=why):
        Scrub(hours=text)


@pytest.mark.parametrize(
    ("text", "hour", "wait"),
    [("22-6", 23.5, 0), ("22-6", 0, 0), ("22-6", 5.9, 0), ("22-6", 6, 16), ("22-6", 12, 10), ("1-5", 0.5, 0.5)],
)
def test_the_wait_until_they_begin(text: str, hour: float, wait: float) -> None:
    """Within them there is none; their end does not belong to them."""
    assert parse_hours(text).wait(hour) == pytest.approx(wait)


def test_any_hour_needs_no_wait() -> None:
    """Whatever the clock shows."""
    assert {parse_hours("").wait(quarter / 4) for quarter in range(96)} == {0.0}
