"""Verified runs that are not as they should be any more: what kinds there are, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.runrecord.identity import start_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REUSED = "reused"
MISSING_ARTDAQDB = "missing_artdaqdb"
DIFFERS_ARTDAQDB = "differs_artdaqdb"

REMEDIES = {
    REUSED: "two runs cannot have one number, and nothing was overwritten: rename the directory to a free run number "
    "and its run is archived under that, or put the archived run's directory back",
    MISSING_ARTDAQDB: "verified before, not in artdaqDB any more: ask who removed it, and restore it, or let "
    "`archiverd retry import RUN` import it again from its directory; UconDB keeps its version",
    DIFFERS_ARTDAQDB: "UconDB has the bytes that were proven, artdaqDB does not give them any more: its document is "
    "damaged or was changed; restore it from a backup (`archiverd artdaqdb check` names what is unsound)",
}
"""What to do about a state of these."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A verified run that is not as it should be any more; UconDB has its proven bytes all the same."""

    run: int
    state: str
    error: str

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        return {"run": self.run, "state": self.state, "error": self.error, "remedy": REMEDIES[self.state]}


def find_reused(records: Path, starts: Mapping[int, str]) -> list[Anomaly]:
    """Return those of the archived runs whose directories hold the record of another run now. Blocking.

    ``starts`` has the start line of each as it was archived.
    """
    found = ((run, holds_another(records / str(run), archived)) for run, archived in sorted(starts.items()))
    return [Anomaly(run, REUSED, another) for run, another in found if another]


def holds_another(directory: Path, archived: str) -> str:
    """Say so if a directory holds another run than the one with the start line ``archived``; else return ''. Blocking.

    A directory that is gone or tells no start shows nothing.
    """
    if not archived or (found := start_line(directory)) in (None, archived):
        return ""
    return f"the directory holds another run: started {found}, archived is the one started {archived}"
