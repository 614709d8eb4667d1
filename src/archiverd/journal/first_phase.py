"""The steps of a run's first phase as the journal records them: one constructor per step.

The run itself stays ``open``: a first phase is no event of its state machine. Times are epoch seconds (UTC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class FirstPhaseChanges(TypedDict, total=False):
    """Columns of ``pending`` that a step may set, with the types of `FirstPhaseRow`."""

    done: bool
    packed_on: str
    blob_sha256: str
    puts: int
    attempts: int
    due: float | None
    error: str


@dataclass(frozen=True, slots=True)
class FirstPhaseStep:
    """One step of one run's first phase, the columns it changes, and its line in the run's story."""

    run: int
    changes: FirstPhaseChanges
    event: str = ""
    """Empty for a step that the story leaves out."""
    note: str = ""


def import_begins(run: int) -> FirstPhaseStep:
    """Describe the intent of storing the record as it is now."""
    return FirstPhaseStep(run, {})


def postponed(run: int, *, due: float) -> FirstPhaseStep:
    """Describe a wait: UconDB takes nothing for now, and nothing is counted against the run."""
    return FirstPhaseStep(run, {"due": due})


def upload_begins(run: int, *, packed_on: str, blob_sha256: str, puts: int) -> FirstPhaseStep:
    """Describe the intent of put number ``puts`` to the pending folder."""
    changes: FirstPhaseChanges = {"packed_on": packed_on, "blob_sha256": blob_sha256, "puts": puts}
    return FirstPhaseStep(run, changes, "first_phase_begins", f"sha256 {blob_sha256}")


def proven(run: int, *, length: int) -> FirstPhaseStep:
    """Describe the proof: the blob of ``length`` bytes was read back from the pending folder."""
    changes: FirstPhaseChanges = {"done": True, "due": None, "error": "", "attempts": 0}
    return FirstPhaseStep(run, changes, "first_phase_done", f"{length} bytes read back")


def failed_for_now(run: int, *, error: str, attempts: int, due: float) -> FirstPhaseStep:
    """Describe failed attempt number ``attempts``; tried again when ``due``."""
    return FirstPhaseStep(run, {"attempts": attempts, "error": error, "due": due}, "first_phase_failed", error)


def given_up(run: int, *, error: str, attempts: int) -> FirstPhaseStep:
    """Describe the end of a phase that waiting cannot repair; the run's end archives it anyway."""
    changes: FirstPhaseChanges = {"attempts": attempts, "error": error, "due": None, "done": True}
    return FirstPhaseStep(run, changes, "first_phase_failed", error)
