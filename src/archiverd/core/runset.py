"""Sets of run numbers as people read them: ranges, gaps, and how far everything is done without a hole."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from archiverd.core.wording import pluralise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LAST_RUN = 10**18 - 1
"""Greatest run number, of 18 digits; a number of 19 might not fit an SQLite integer."""


def ranges(runs: Iterable[int]) -> list[tuple[int, int]]:
    """Return the contiguous ranges of ``runs`` as (first, last), ascending."""
    found: list[tuple[int, int]] = []
    for run in sorted(set(runs)):
        if found and run == found[-1][1] + 1:
            found[-1] = (found[-1][0], run)
        else:
            found.append((run, run))
    return found


def gaps(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges of numbers between ``spans``, which are ascending and contiguous each."""
    return [(before[1] + 1, after[0] - 1) for before, after in pairwise(spans)]


def count(spans: Iterable[tuple[int, int]]) -> int:
    """Return how many numbers are in ``spans``, which do not overlap."""
    return sum(last - first + 1 for first, last in spans)


def numbers(spans: Iterable[tuple[int, int]]) -> set[int]:
    """Return the numbers in ``spans``."""
    return {run for first, last in spans for run in range(first, last + 1)}


def show(runs: Iterable[int], most: int = 8) -> str:
    """Return ``runs`` as text, e.g. ``12000-12004, 12007``; at most ``most`` ranges, then how many more."""
    return show_ranges(ranges(runs), most)


def show_ranges(spans: Sequence[tuple[int, int]], most: int = 8) -> str:
    """Return ranges as text, as ``show`` does."""
    parts = [str(first) if first == last else f"{first}-{last}" for first, last in spans[:most]]
    if len(spans) > most:
        parts.append(f"and {pluralise(len(spans) - most, 'more range')}")
    return ", ".join(parts) or "none"


def pack(numbers: Iterable[int]) -> str:
    """Return a set of numbers as text that ``unpack`` reads, all of it: ``12-40,57``."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges(numbers))


def unpack(text: str) -> list[tuple[int, int]]:
    """Return the ranges that ``pack`` made ``text`` of. Raise ValueError if it made none."""
    spans = (span.partition("-") for span in text.split(",") if span)
    return [(int(first), int(last or first)) for first, _, last in spans]


def contiguous(existing: Iterable[int], done: Iterable[int]) -> int:
    """Return the greatest run up to which every run that exists is done; 0 if the first is not.

    Gaps in the numbering do not count: only runs that exist can hold it up.
    """
    finished = set(done)
    last = 0
    for run in sorted(set(existing) | finished):
        if run not in finished:
            break
        last = run
    return last
