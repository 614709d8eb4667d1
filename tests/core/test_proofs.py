"""When a proof is made again, and what many absences mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.core.proofs import DAY_SECONDS, TOO_MANY_ABSENT, find_absent_in_a_row, next_proof_at

DAY = DAY_SECONDS


@pytest.mark.parametrize(
    ("last", "due"),
    [(0.0, 1.0), (0.5, 1.0), (1.0, 7.0), (3.0, 7.0), (6.9, 7.0), (7.0, None), (400.0, None)],
)
def test_a_run_is_due_one_and_seven_days_after_its_first_proof(last: float, due: float | None) -> None:
    """A late proof counts for the time that has passed; after the second one it waits for its turn."""
    first = 1_000_000.0
    assert next_proof_at(first, first + last * DAY) == (None if due is None else first + due * DAY)


@pytest.mark.parametrize(
    ("absent", "row"),
    [
        ((), ()),
        ((3,), ()),
        ((3, 4), ()),
        ((1, 2, 4, 5, 7), ()),
        ((3, 4, 5), (3, 4, 5)),
        ((5, 6, 7), (5, 6, 7)),
        ((1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 6, 7)),
        ((1, 3, 4, 5, 7), (3, 4, 5)),
    ],
)
def test_three_in_a_row_are_too_many(absent: tuple[int, ...], row: tuple[int, ...]) -> None:
    """One or two lost versions are losses; three neighbours are another database, or one restored from a backup."""
    assert find_absent_in_a_row(range(1, 8), absent) == row


@given(st.lists(st.integers(1, 50), unique=True), st.sets(st.integers(1, 50)))
def test_a_row_is_absent_and_without_a_gap(order: list[int], absent: set[int]) -> None:
    """What is returned stands together in the order and is absent; if nothing is, no three neighbours are absent."""
    row = find_absent_in_a_row(order, absent)
    if row:
        start = order.index(row[0])
        assert list(row) == order[start : start + len(row)]
        assert set(row) <= absent
        assert len(row) >= TOO_MANY_ABSENT
    else:
        threes = zip(order, order[1:], order[2:], strict=False)
        assert not any(set(three) <= absent for three in threes)
