"""Durations, cut texts and lists, as commands print them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archiverd.audit.anomalies import Anomaly


def ago(seconds: float) -> str:
    """Return a duration in one unit: ``3 hours``."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return "1 second" if 0.5 <= seconds < 1.5 else f"{seconds:.0f} seconds"


def cut(text: str, most: int) -> str:
    """Return ``text``, cut to at most ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def list_single_runs(anomalies: Sequence[Anomaly], most: int = 20) -> Iterator[str]:
    """Yield a line for each of the first ``most`` anomalies, and one that counts the rest."""
    for one in anomalies[:most]:
        yield f"run {one.run}: {one.error}"
    if len(anomalies) > most:
        yield f"and {len(anomalies) - most} more (--json tells all)"
