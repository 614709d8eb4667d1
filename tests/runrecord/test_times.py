"""The spellings of `date --utc`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.runrecord.times import epoch

WHEN = 1728593239.0  # 2024-10-10 20:47:19 UTC


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu Oct 10 20:47:19 UTC 2024", WHEN),
        ("Thu Oct 10 08:47:19 PM UTC 2024", WHEN),
        ("Thu 10 Oct 2024 08:47:19 PM UTC", WHEN),
        ("  Thu Oct 10 20:47:19 UTC 2024 ", WHEN),
        ("Sun Dec  1 00:00:00 UTC 2024", 1733011200.0),
        ("Sun Dec  1 12:00:00 AM UTC 2024", 1733011200.0),
        ("Sun Dec  1 12:00:00 PM UTC 2024", 1733054400.0),
        ("Thu Oct 10 20:47:19 CDT 2024", None),
        ("Thu Okt 10 20:47:19 UTC 2024", None),
        ("Thu Oct 32 20:47:19 UTC 2024", None),
        ("Thu Oct 10 13:47:19 PM UTC 2024", None),
        ("Thu Oct 10 00:47:19 PM UTC 2024", None),
        ("Thu Oct 10 20:47:61 UTC 2024", None),
        ("Thu Oct \u0661\u0660 20:47:19 UTC 2024", None),
        ("", None),
    ],
)
def test_spellings(text: str, seconds: float | None) -> None:
    """The three spellings are read to the second; anything else is no time."""
    assert epoch(text) == seconds


@given(st.text())
def test_any_text(text: str) -> None:
    """No text raises."""
    epoch(text)
