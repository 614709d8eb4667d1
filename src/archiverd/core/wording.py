"""Words that messages of every room share."""

from __future__ import annotations


def pluralise(count: int, singular: str, plural: str = "") -> str:
    """Return ``count`` with its noun: ``1 run``, ``2 runs``; ``plural`` where it does not end in a mere s."""
    return f"{count} {singular if count == 1 else plural or f'{singular}s'}"
