"""How many uploads at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.core.upload_limit import ROUND_TRIP_BYTES, UploadLimit, after_failure, after_success

MB = 1_000_000


def after(limit: UploadLimit, seconds: float, times: int, size: int = MB) -> UploadLimit:
    """Return the limit after so many like uploads."""
    for _ in range(times):
        limit = after_success(limit, seconds, size)
    return limit


def test_it_begins_with_one_and_grows_to_the_most_while_nothing_gets_slower() -> None:
    """A server that answers ten at once as fast as one gets ten, not at once and never more."""
    assert UploadLimit(10).allowed == 1
    assert after(UploadLimit(10), 0.1, 3).allowed == 2
    assert after(UploadLimit(10), 0.1, 500).allowed == 10


def test_a_server_that_gets_slower_is_asked_for_less() -> None:
    """Uploads that take many times as long take places away, down to one."""
    limit = after(UploadLimit(8), 0.1, 200)
    slower = after(limit, 0.5, 3)
    assert slower.allowed == limit.allowed - 3
    assert after(limit, 0.5, 20).allowed >= 1


def test_a_little_slower_changes_nothing() -> None:
    """Between flat and slow the number stays."""
    limit = after(UploadLimit(8), 0.1, 8)
    assert after(limit, 0.2, 5).allowed == limit.allowed


def test_large_and_small_blobs_are_measured_alike() -> None:
    """A blob that is ten times as large and takes as much longer is no slower."""
    limit = UploadLimit(8)
    for _ in range(50):
        for size in (ROUND_TRIP_BYTES, 9 * ROUND_TRIP_BYTES):
            limit = after_success(limit, 1e-8 * (size + ROUND_TRIP_BYTES), size)
    assert limit.allowed == 8


def test_a_server_that_stays_slower_is_the_new_measure() -> None:
    """What was best long ago is forgotten in time."""
    limit = after(UploadLimit(4), 0.1, 50)
    assert after(limit, 0.35, 600).allowed == 4


def test_trouble_halves() -> None:
    """A failure of the server halves the number."""
    assert after_failure(after(UploadLimit(8), 0.1, 500)).allowed == 4


@pytest.mark.parametrize("most", [1, 2, 64])
@given(st.lists(st.tuples(st.floats(0.0001, 100), st.integers(0, 255 * MB)), max_size=60))
def test_it_stays_between_one_and_the_most(most: int, uploads: list[tuple[float, int]]) -> None:
    """Whatever uploads take, the number is sane."""
    limit = UploadLimit(most)
    for seconds, size in uploads:
        limit = after_success(limit, seconds, size)
        assert 1 <= limit.allowed <= most
