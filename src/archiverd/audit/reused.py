"""Run numbers that were used twice: the directory of an archived run holds another run's record now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.runrecord.completeness import start_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def find_starts(records: Path, starts: Mapping[int, str]) -> dict[int, str]:
    """Return the start line that the directory of each run has now; a run is left out where none is found. Blocking.

    ``starts`` has the start line of each as it was archived; where that is empty nothing can be compared.
    """
    found = ((run, start_line(records / str(run))) for run, archived in sorted(starts.items()) if archived)
    return {run: started for run, started in found if started}


def describe_other(started: str, archived: str) -> str:
    """Say that a directory holds the run that ``started`` then, where the one with the line ``archived`` was."""
    which = f"the one started {archived}" if archived else "one without a start line"
    return f"the directory holds another run: started {started}, archived is {which}"


def describe_other_run(directory: Path, archived: str) -> str:
    """Describe the run whose record ``directory`` holds instead of the one with the start line ``archived``. Blocking.

    Return an empty string if it holds that one, is gone, or has no start line.
    """
    if not archived or (found := start_line(directory)) in (None, archived):
        return ""
    return describe_other(found or "", archived)
