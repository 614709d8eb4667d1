"""Sets of run numbers as people read them: ranges, gaps, and how far everything is done without a hole."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def ranges(runs: Iterable[int]) -> list[tuple[int, int]]:
    """Return the contiguous ranges of ``runs`` as (first, last), ascending."""
    found: list[tuple[int, int]] = []
    for run in sorted(set(runs)):
        if found and run == found[-1][1] + 1:
            found[-1] = (found[-1][0], run)
        else:
            found.append((run, run))
    return found


def show(runs: Iterable[int], most: int = 8) -> str:
    """Return ``runs`` as text, e.g. ``12000-12004, 12007``; at most ``most`` ranges, then how many more."""
    spans = ranges(runs)
    parts = [str(first) if first == last else f"{first}-{last}" for first, last in spans[:most]]
    if len(spans) > most:
        parts.append(f"and {len(spans) - most} more ranges")
    return ", ".join(parts) or "none"


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
