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


def are_few_of_many(missing: int, *, others: bool) -> bool:
    """Return whether a few directories are missing beside ``others`` that are there: that looks like no mount point.

    So it is when a file system was mounted again, and some that went with it are not back.
    """
    return others and missing <= FEW


def describe_doubt(missing: int, *, others: bool) -> str:
    """Say that nobody can tell what became of so many run directories; ``others`` are there."""
    one = missing == 1
    if are_few_of_many(missing, others=others):
        return f"cannot tell yet whether {'it is' if one else 'they are'} gone or not mounted; others are there"
    return f"cannot tell what became of {'it' if one else 'them'}: the run-records directory looks unmounted"


def advise(missing: int) -> str:
    """Say what to do about so many run directories."""
    them, were = ("it", "it was") if missing == 1 else ("them", "they were")
    purpose = f"if {were} moved away on purpose, `archiverd waive --missing --reason TEXT`"
    return f"mount what is not mounted, or put {them} back; {purpose}"


def describe_missing(runs: Collection[int], *, others: bool) -> str:
    """Say which run directories are missing all at once, and what to do."""
    return f"{runset.show(runs)}: {describe_doubt(len(runs), others=others)} ({advise(len(runs))})"


def is_believed(seconds: float, left: int) -> bool:
    """Return whether directories that have been missing for ``seconds`` are gone, ``left`` others being there."""
    return seconds >= BELIEVED_SECONDS and left > 0
