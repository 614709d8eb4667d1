"""Clocks and randomness as values, so that tests and simulations can replace them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Environment:
    """Clocks and randomness."""

    clock: Callable[[], float]
    """The time in epoch seconds (UTC); an administrator may set it back."""
    monotonic: Callable[[], float]
    """Seconds of a clock that never jumps."""
    uniform: Callable[[float, float], float]
    """A random number between two bounds."""
