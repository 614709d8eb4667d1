"""When missing directories are believed to be gone, and when nobody can tell."""

from __future__ import annotations

import pytest

from archiverd.watch.missing import (
    advise,
    describe_doubt,
    describe_missing,
    find_doubtful,
    is_believed,
    looks_unmounted,
)


@pytest.mark.parametrize(
    ("known", "vanished", "another", "doubtful"),
    [
        (5, 5, False, False),
        (10, 10, False, False),
        (11, 11, False, True),
        (1_100, 11, False, False),
        (1_099, 11, False, True),
        (100_000, 1_001, False, True),
        (100_000, 1_000, False, False),
        (5, 1, True, True),
        (5, 0, True, False),
    ],
)
def test_what_looks_unmounted(known: int, vanished: int, another: bool, doubtful: bool) -> None:
    """More than ten and more than one in a hundred at once, or any where another directory stands in the place."""
    assert looks_unmounted(known, vanished, another_directory=another) is doubtful


@pytest.mark.parametrize(("seconds", "left", "believed"), [(86_399.0, 9, False), (86_400.0, 9, True), (1e9, 0, False)])
def test_what_is_believed(seconds: float, left: int, believed: bool) -> None:
    """After a day, and only where other run directories are there."""
    assert is_believed(seconds, left) is believed


ALL = set(range(1, 21))


@pytest.mark.parametrize(
    ("known", "gone", "found", "doubted", "doubtful"),
    [
        (ALL, set(), ALL, set(), set()),
        (ALL, set(), set(), set(), ALL),
        ({1, 2}, set(), set(), set(), {1, 2}),
        ({1, 2}, {1, 2}, set(), set(), set()),
        (ALL, {1}, {20}, set(), ALL - {1, 20}),
        (ALL, set(), ALL - {3}, set(), set()),
        (ALL, set(), ALL - {3}, {3, 4}, {3}),
        (set(), set(), set(), set(), set()),
    ],
)
def test_of_which_runs_one_scan_cannot_tell(
    known: set[int], gone: set[int], found: set[int], doubted: set[int], doubtful: set[int]
) -> None:
    """Where nothing stands, where many are missing, and where the last process could not tell either."""
    assert find_doubtful(known, gone, found, doubted) == doubtful


def test_missing_directories_are_told_with_a_remedy() -> None:
    """Which, and what to do whatever is true."""
    told = describe_missing({7, 8, 9}, others=False)
    assert told.startswith("7-9: cannot tell what became of them")
    assert "mount what is not mounted, or put them back" in told
    assert "`archiverd waive --missing --reason TEXT`" in told


@pytest.mark.parametrize(
    ("missing", "others", "told"),
    [
        (1, False, "cannot tell what became of it: the run-records directory looks unmounted"),
        (2, False, "cannot tell what became of them: the run-records directory looks unmounted"),
        (1, True, "cannot tell yet whether it is gone or not mounted; others are there"),
        (10, True, "cannot tell yet whether they are gone or not mounted; others are there"),
        (11, True, "cannot tell what became of them: the run-records directory looks unmounted"),
    ],
)
def test_the_words_are_true_for_one_and_for_many(missing: int, others: bool, told: str) -> None:
    """A mount that is back with one directory less does not look unmounted."""
    assert describe_doubt(missing, others=others) == told
    assert ("put it back; if it was" in advise(missing)) is (missing == 1)
