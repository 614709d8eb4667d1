"""When missing directories are believed to be gone, and when nobody can tell."""

from __future__ import annotations

import pytest

from archiverd.watch.missing import is_believed, looks_unmounted


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
