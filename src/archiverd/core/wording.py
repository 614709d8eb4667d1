"""Words that messages of every room share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def pluralise(count: int, singular: str, plural: str = "") -> str:
    """Return ``count`` with its noun: ``1 run``, ``2 runs``; ``plural`` where it does not end in a mere s."""
    return f"{count} {singular if count == 1 else plural or f'{singular}s'}"


def printable(text: str) -> str:
    """Return ``text`` with everything escaped that a terminal would not simply show."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def describe_odd_names(count: int, names: Sequence[str]) -> str:
    """Say how many names look like runs and are none, and which the first are."""
    first = ", ".join(printable(name) for name in names[:5]) + (", …" if count > 5 else "")
    looks = "name in run_records_dir looks like a run and is none"
    return f"{pluralise(count, looks, 'names in run_records_dir look like runs and are none')}: {first}"
