"""How far something long is: what is told, and to whom."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Is told how much of how much is done, and what is happening."""


def silent(_done: int, _of: int, _what: str) -> None:
    """Tell nobody."""
