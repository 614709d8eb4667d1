"""Lanes and backoff, run-number sets."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from archiverd.core import runset
from archiverd.core.priority import BACKOFF_CAP_SECONDS, RetrySchedule, longest_wait, takes_oldest, wait_before

PATIENCE = RetrySchedule(quick=2, delay=3.0)


def test_one_pick_in_four_is_the_oldest() -> None:
    """Nothing starves: the oldest waiting run has every fourth pick."""
    assert [takes_oldest(n) for n in range(8)] == [False, False, False, True] * 2


def test_quick_retries_come_first() -> None:
    """The first run_process_retries failures wait retry_delay_seconds and no longer."""
    assert [wait_before(n, PATIENCE, random.Random(1).uniform) for n in (1, 2)] == [3.0, 3.0]


@given(st.integers(3, 10_000), st.integers())
def test_later_waits_grow_and_are_bounded(attempt: int, seed: int) -> None:
    """Backoff never exceeds its cap and never falls below half of its nominal value."""
    nominal = min(BACKOFF_CAP_SECONDS, 3.0 * 2.0 ** min(attempt - 2, 32))
    assert nominal / 2 <= wait_before(attempt, PATIENCE, random.Random(seed).uniform) <= nominal


@given(st.integers(1, 200), st.floats(0, 10_000), st.integers())
def test_no_wait_is_longer_than_the_longest(attempt: int, delay: float, seed: int) -> None:
    """Whatever the operator has set, and however often a run failed."""
    patience = RetrySchedule(2, delay)
    assert wait_before(attempt, patience, random.Random(seed).uniform) <= longest_wait(patience)


@given(st.sets(st.integers(1, 200)))
def test_ranges_hold_exactly_the_runs(runs: set[int]) -> None:
    """Ranges partition the set, ascending, with a hole between any two."""
    spans = runset.ranges(runs)
    assert {run for first, last in spans for run in range(first, last + 1)} == runs
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(spans))


def test_ranges_read_as_people_write_them() -> None:
    """Ranges are shown short, and a long list says how much more there is."""
    assert runset.show([3, 1, 2, 7]) == "1-3, 7"
    assert runset.show([]) == "none"
    assert runset.show(range(0, 40, 2), most=2) == "0, 2, and 18 more ranges"
    assert runset.show(range(0, 6, 2), most=2) == "0, 2, and 1 more range"


def test_gaps_do_not_hold_up_the_contiguous_run() -> None:
    """Only runs that exist count: a numbering gap does not stick it, an undone run does."""
    assert runset.contiguous([100, 101, 105, 106], [100, 101, 105]) == 105
    assert runset.contiguous([100, 101], [101]) == 0
    assert runset.contiguous([], []) == 0
