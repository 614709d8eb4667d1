"""How far a pass has come, from how many runs are on their way."""

from __future__ import annotations

from archiverd.app.operations import Distance
from archiverd.core.machine import State


def test_each_stage_of_a_run_counts() -> None:
    """A run before the import has two stages before it; what came later makes the way longer, not the done less."""
    distance = Distance()
    assert distance.of({State.IMPORTED: 1, State.QUEUED: 2}) == (0, 5, "2 queued, 1 imported")
    assert distance.of({State.UPLOADING: 1, State.IMPORTING: 1}) == (2, 5, "1 importing, 1 uploading")
    assert distance.of({State.QUEUED: 4}) == (0, 8, "4 queued")
    assert distance.of({}) == (8, 8, "")
