"""Run directories that are missing: gone one by one, or all at once because their file system is not mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archiverd.core import runset

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Set as AbstractSet

FEW: Final = 10
"""Most directories that may go between two scans whatever their share."""
SHARE: Final = 0.01
"""Greatest share of the known directories that may go between two scans."""
BELIEVED_SECONDS: Final = 86_400.0
"""Seconds after which many missing directories are believed to be gone, if others are there."""

LOOKS_UNMOUNTED: Final = "cannot tell what became of them: the run-records directory looks unmounted"
REMEDY: Final = (
    "mount it, or put them back; if they were moved away on purpose, `archiverd waive --missing --reason TEXT`"
)


def looks_unmounted(known: int, vanished: int, *, another_directory: bool) -> bool:
    """Return whether the run-records directory looks unmounted: ``vanished`` of the ``known`` run directories are gone.

    ``another_directory``: at its path stands another directory, or one of another file system, than at the last scan.
    """
    return vanished > 0 and (another_directory or (vanished > FEW and vanished > SHARE * known))


def find_doubtful(
    known: AbstractSet[int], gone: AbstractSet[int], found: AbstractSet[int], doubted: AbstractSet[int]
) -> frozenset[int]:
    """Return the runs of which one scan, without another before it, cannot tell what became of their directories.

    Of the ``known`` runs those in ``gone`` have no directory any more, and the scan ``found`` some; the last process
    could not tell it of those in ``doubted``. A place without a single run directory may be an empty mount point.
    """
    vanished = frozenset(known - gone - found)
    another = not found or not doubted.isdisjoint(vanished)
    return vanished if looks_unmounted(len(known - gone), len(vanished), another_directory=another) else frozenset()


def describe_missing(runs: Collection[int]) -> str:
    """Say which run directories are missing all at once, and what to do."""
    return f"{runset.show(runs)}: {LOOKS_UNMOUNTED} ({REMEDY})"


def is_believed(seconds: float, left: int) -> bool:
    """Return whether directories that have been missing for ``seconds`` are gone, ``left`` others being there."""
    return seconds >= BELIEVED_SECONDS and left > 0
