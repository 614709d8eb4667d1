"""What run-records directory, artdaqDB and UconDB say against each other, the journal and the state files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core import runset
from archiverd.core.machine import Stage, State
from archiverd.journal import queries
from archiverd.journal.summaries import ARTDAQDB, FILESYSTEM, UCONDB

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from archiverd.config import Settings
    from archiverd.journal.summaries import Ranges
    from archiverd.status.probe import ProbeResult

STATE_FILE_BYTES = 4096
"""So much of a state file is read; a real one has less than a hundred."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What run-records directory, artdaqDB and UconDB say against each other and the journal; runs, ascending."""

    not_imported: Sequence[int]
    """In the run-records directory, ended, and not in artdaqDB."""
    not_migrated: Sequence[int]
    """In artdaqDB and not in UconDB."""
    lost_artdaqdb: Sequence[int]
    """Imported, and not in artdaqDB any more."""
    lost_ucondb: Sequence[int]
    """Verified, and not in UconDB any more."""
    orphan_artdaqdb: Sequence[int]
    """In artdaqDB only, and not known."""
    orphan_ucondb: Sequence[int]
    """In UconDB only, and not known."""


@dataclass(frozen=True, slots=True)
class StateFile:
    """What a state file says against what is so."""

    stage: Stage
    name: str
    said: tuple[int, int] | None
    """``last_contiguous_run`` and ``last_attempted_run``; None if the file is missing or cannot be read."""
    problem: str
    """Why it cannot be read; empty if it can."""
    contiguous: int
    """The run up to which every run that exists is through the stage, by its database where that was asked."""

    @property
    def in_step(self) -> bool:
        """Whether the file says what is so."""
        return self.said is not None and self.said[0] == self.contiguous

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        return {
            "stage": str(self.stage),
            "name": self.name,
            "last_contiguous_run": None if self.said is None else self.said[0],
            "last_attempted_run": None if self.said is None else self.said[1],
            "problem": self.problem,
            "contiguous": self.contiguous,
            "in_step": self.in_step,
        }


def select_imported(db: sqlite3.Connection) -> list[int]:
    """Return the runs of which the journal says that they were imported once."""
    return [run for (run,) in db.execute("SELECT run FROM runs WHERE imported_at IS NOT NULL ORDER BY run")]


def compare(looks: Sequence[ProbeResult], states: Mapping[State, Ranges], imported: Sequence[int]) -> Differences:
    """Say where the sources do not agree; what one cannot tell is in no difference (I8)."""
    seen = {one.name: None if one.ranges is None else runset.numbers(one.ranges) for one in looks}
    directories, archived, held = (seen.get(name) for name in (FILESYSTEM, ARTDAQDB, UCONDB))
    known = {state: runset.numbers(spans) for state, spans in states.items()}
    verified = known.get(State.VERIFIED, set())
    excused = set().union(*(known.get(state, set()) for state in (State.OPEN, State.IGNORED, State.WAIVED)))
    everything = set().union(*known.values())

    def only(runs: set[int] | None, *others: set[int] | None) -> list[int]:
        """Return the runs that no other place has; none if any of the places could not tell."""
        if runs is None or any(other is None for other in others):
            return []
        return sorted(runs.difference(*(other for other in others if other is not None)))

    return Differences(
        not_imported=only(directories, archived, excused, verified, set(imported)),
        not_migrated=only(archived, held, excused, verified),
        lost_artdaqdb=only(set(imported), archived),
        lost_ucondb=only(verified, held),
        orphan_artdaqdb=only(archived, directories or set(), everything),
        orphan_ucondb=only(held, archived, directories, everything),
    )


def read_state_file(
    settings: Settings,
    stage: Stage,
    db: sqlite3.Connection | None,
    looks: Sequence[ProbeResult] | None,
    states: Mapping[State, Ranges],
) -> StateFile:
    """Read a state file, and say what it should say: by the database of its stage if that could tell."""
    from archiverd.config.paths import stage_files  # noqa: PLC0415 - heavy imports that plain `status` does without

    (path,) = (files.state for files in stage_files(settings) if files.stage is stage)
    said, problem = _said(path)
    contiguous = 0 if db is None else queries.select_progress(db, stage).last_contiguous_run
    place = ARTDAQDB if stage is Stage.IMPORT else UCONDB
    look = next((one for one in looks or () if one.name == place), None)
    if look is not None and look.ranges is not None:
        excused = [span for state in (State.WAIVED, State.IGNORED) for span in states.get(state, [])]
        existing = [span for spans in states.values() for span in spans]
        done = runset.numbers([*look.ranges, *excused])
        contiguous = runset.contiguous(runset.numbers(existing), done)
    return StateFile(stage, path.name, said, problem, contiguous)


def _said(path: Path) -> tuple[tuple[int, int] | None, str]:
    """Return what a state file says, or why that cannot be told."""
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(STATE_FILE_BYTES))
        return (int(told["last_contiguous_run"]), int(told["last_attempted_run"])), ""
    except FileNotFoundError:
        return None, "is missing"
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"
    except (ValueError, TypeError, KeyError, RecursionError):
        return None, "cannot be read: it is no state file"
