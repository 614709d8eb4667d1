"""Run directories that are missing: gone one by one, or all at once because their file system is not mounted."""

from __future__ import annotations

from typing import Final

FEW: Final = 10
"""Most directories that may go between two scans whatever their share."""
SHARE: Final = 0.01
"""Greatest share of the known directories that may go between two scans."""
BELIEVED_SECONDS: Final = 86_400.0
"""Seconds after which many missing directories are believed to be gone, if others are there."""

LOOKS_UNMOUNTED: Final = "cannot tell what became of them: the run-records directory looks unmounted"


def looks_unmounted(known: int, vanished: int, *, another_directory: bool) -> bool:
    """Return whether the run-records directory looks unmounted: ``vanished`` of the ``known`` run directories are gone.

    ``another_directory``: at its path stands another directory, or one of another file system, than at the last scan.
    """
    return vanished > 0 and (another_directory or (vanished > FEW and vanished > SHARE * known))


def is_believed(seconds: float, left: int) -> bool:
    """Return whether directories that have been missing for ``seconds`` are gone, ``left`` others being there."""
    return seconds >= BELIEVED_SECONDS and left > 0
