"""Run numbers that were used twice: the directory of an archived run holds another run's record now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.audit.anomalies import Anomaly, Discrepancy
from archiverd.runrecord.completeness import start_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def find_reused(records: Path, starts: Mapping[int, str]) -> list[Anomaly]:
    """Return those of the archived runs whose directories hold the record of another run now. Blocking.

    ``starts`` has the start line of each as it was archived.
    """
    found = ((run, describe_other_run(records / str(run), archived)) for run, archived in sorted(starts.items()))
    return [Anomaly(run, Discrepancy.REUSED, other) for run, other in found if other]


def describe_other_run(directory: Path, archived: str) -> str:
    """Describe the run whose record ``directory`` holds instead of the one with the start line ``archived``. Blocking.

    Return an empty string if it holds that one, is gone, or has no start line.
    """
    if not archived or (found := start_line(directory)) in (None, archived):
        return ""
    return f"the directory holds another run: started {found}, archived is the one started {archived}"
