"""Progress of long work: the callback's type, and one that ignores it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with the count done, the total, and what is happening."""


def silent(_done: int, _of: int, _what: str) -> None:
    """Ignore progress."""
