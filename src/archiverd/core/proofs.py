"""When what was proven is proven again, what may be wrong then, and what absence may mean. Pure."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

DAY_SECONDS: float = 86_400.0
"""A day: every time of the scrub is a number of these."""
AGAIN_DAYS: Final = (1, 7)
"""Days after its first proof at which a run is proven again."""
TOO_MANY_ABSENT: Final = 3
"""Absent runs in a row that are no longer believed to be lost one by one."""


class BlobFault(enum.StrEnum):
    """What is wrong with what UconDB holds of a verified run."""

    DAMAGED = "damaged"
    """It cannot be read, or does not fit the checksum that UconDB keeps of it."""
    DIFFERS = "differs"
    """It can be read, and is not what was proven."""
    MISSING = "missing_ucondb"
    """The key is free."""


def next_proof_at(first: float, last: float) -> float | None:
    """Return when a run is due again that was proven first and last at these times; None if only by its turn.

    So too if the first time is after the last one: a clock that was ahead gave it, and nothing can be counted from it.
    """
    if first > last:
        return None
    due = (first + days * DAY_SECONDS for days in AGAIN_DAYS)
    return next((at for at in due if at > last), None)


def find_absent_in_a_row(order: Sequence[int], absent: Collection[int]) -> tuple[int, ...]:
    """Return the first runs of ``order`` that are absent, ``TOO_MANY_ABSENT`` or more in a row; empty if none are.

    So many may be a database restored from a backup, or another one.
    """
    row: list[int] = []
    for run in order:
        if run in absent:
            row.append(run)
        elif len(row) >= TOO_MANY_ABSENT:
            break
        else:
            row.clear()
    return tuple(row) if len(row) >= TOO_MANY_ABSENT else ()
