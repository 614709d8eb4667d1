"""Differences between run-records directory, artdaqDB and UconDB, the journal and the state files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.config.paths import stage_files
from archiverd.core import runset
from archiverd.core.machine import LEFT_OUT, Stage, State
from archiverd.journal import scheduling
from archiverd.journal.summaries import ARTDAQDB, FILESYSTEM, UCONDB

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from archiverd.config.models import Settings
    from archiverd.journal.summaries import Ranges
    from archiverd.status.probe import ProbeResult

STATE_FILE_BYTES = 4096
"""Most bytes that are read of a state file; a real one has less than a hundred."""


@dataclass(frozen=True, slots=True)
class Differences:
    """Differences between run-records directory, artdaqDB, UconDB and journal, as ascending run numbers."""

    not_imported: Sequence[int]
    """In the run-records directory, ended, and not in artdaqDB."""
    not_migrated: Sequence[int]
    """In artdaqDB and not in UconDB."""
    lost_artdaqdb: Sequence[int]
    """Imported, and not in artdaqDB any more."""
    lost_ucondb: Sequence[int]
    """Verified, and not in UconDB any more."""
    orphan_artdaqdb: Sequence[int]
    """In artdaqDB only, and not in the journal."""
    orphan_ucondb: Sequence[int]
    """In UconDB only, and not in the journal."""


@dataclass(frozen=True, slots=True)
class StateFile:
    """A state file and what it should say."""

    stage: Stage
    name: str
    recorded: tuple[int, int] | None
    """``last_contiguous_run`` and ``last_attempted_run``; None if the file is missing or cannot be read."""
    problem: str
    """Why it cannot be read; empty if it can."""
    contiguous: int
    """Run up to which every run is through the stage: by its database if that was probed, else by the journal."""

    @property
    def in_step(self) -> bool:
        """Whether the file says what it should."""
        return self.recorded is not None and self.recorded[0] == self.contiguous

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        return {
            "stage": str(self.stage),
            "name": self.name,
            "last_contiguous_run": None if self.recorded is None else self.recorded[0],
            "last_attempted_run": None if self.recorded is None else self.recorded[1],
            "problem": self.problem,
            "contiguous": self.contiguous,
            "in_step": self.in_step,
        }


def compare(
    probes: Sequence[ProbeResult],
    states: Mapping[State, Ranges],
    imported: Sequence[int],
    elsewhere: Collection[int] = (),
) -> Differences:
    """Return where the sources do not agree; a source that could not be read is in no difference (I8).

    Runs that were proven ``elsewhere`` are no loss of this UconDB.
    """
    seen = {probe.name: None if probe.ranges is None else runset.numbers(probe.ranges) for probe in probes}
    directories, archived, held = (seen.get(name) for name in (FILESYSTEM, ARTDAQDB, UCONDB))
    known = {state: runset.numbers(spans) for state, spans in states.items()}
    verified = known.get(State.VERIFIED, set())
    excused = set().union(*(known.get(state, set()) for state in (State.OPEN, *LEFT_OUT)))
    everything = set().union(*known.values())

    def only(runs: set[int] | None, *others: set[int] | None) -> list[int]:
        """Return the runs that no other source has; none if any of the sources could not be read."""
        if runs is None or any(other is None for other in others):
            return []
        return sorted(runs.difference(*(other for other in others if other is not None)))

    return Differences(
        not_imported=only(directories, archived, excused, verified, set(imported)),
        not_migrated=only(archived, held, excused, verified),
        lost_artdaqdb=only(set(imported), archived),
        lost_ucondb=only(verified.difference(elsewhere), held),
        orphan_artdaqdb=only(archived, directories or set(), everything),
        orphan_ucondb=only(held, archived, directories, everything),
    )


def read_state_file(
    settings: Settings,
    stage: Stage,
    db: sqlite3.Connection | None,
    probes: Sequence[ProbeResult] | None,
    states: Mapping[State, Ranges],
    elsewhere: Collection[int] = (),
) -> StateFile:
    """Read the state file of a stage, and find what it should say: by the stage's database if that was probed.

    Runs that were proven ``elsewhere`` are through the migration.
    """
    (path,) = (files.state for files in stage_files(settings) if files.stage is stage)
    recorded, problem = _read_recorded(path)
    contiguous = 0 if db is None else scheduling.select_progress(db, stage).last_contiguous_run
    place = ARTDAQDB if stage is Stage.IMPORT else UCONDB
    probe = next((one for one in probes or () if one.name == place), None)
    if probe is not None and probe.ranges is not None:
        excused = [span for state in LEFT_OUT for span in states.get(state, [])]
        existing = [span for spans in states.values() for span in spans]
        done = runset.numbers([*probe.ranges, *excused]).union(elsewhere if stage is Stage.MIGRATE else ())
        contiguous = runset.contiguous(runset.numbers(existing), done)
    return StateFile(stage, path.name, recorded, problem, contiguous)


def _read_recorded(path: Path) -> tuple[tuple[int, int] | None, str]:
    """Return ``last_contiguous_run`` and ``last_attempted_run`` of a state file, or why it cannot be read."""
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(STATE_FILE_BYTES))
        return (int(fields["last_contiguous_run"]), int(fields["last_attempted_run"])), ""
    except FileNotFoundError:
        return None, "is missing"
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"
    except (ValueError, TypeError, KeyError, RecursionError):
        return None, "cannot be read: it is no state file"
