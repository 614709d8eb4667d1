"""Paths of the files of a work directory, by configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.machine import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.config.models import Settings


@dataclass(frozen=True, slots=True)
class StageFiles:
    """The files of one stage."""

    stage: Stage
    state: Path
    failures: Path


def journal_in(work_dir: Path) -> Path:
    """Return the path of the journal in a work directory."""
    return work_dir / "journal.sqlite"


def journal_path(settings: Settings) -> Path:
    """Return the path of the journal."""
    return journal_in(settings.app.work_dir)


def lock_path(settings: Settings) -> Path:
    """Return the path of the lock file."""
    return settings.app.lock_file or settings.app.work_dir / ".archiver.lock"


def last_exit_path(settings: Settings) -> Path:
    """Return the path of the record of how the last process ended."""
    return settings.app.work_dir / "last_exit.json"


def in_hand_path(settings: Settings) -> Path:
    """Return the directory of what a process has in hand."""
    return settings.app.work_dir / "in_hand"


def stage_files(settings: Settings) -> tuple[StageFiles, StageFiles]:
    """Return the state file and the failure log of each stage."""
    app = settings.app
    importing = StageFiles(
        Stage.IMPORT,
        app.import_state_file or app.work_dir / "importer_state.json",
        app.import_failure_log or app.work_dir / "import_failures.log",
    )
    migrating = StageFiles(
        Stage.MIGRATE,
        app.migrate_state_file or app.work_dir / "migrator_state.json",
        app.migrate_failure_log or app.work_dir / "migrate_failures.log",
    )
    return importing, migrating
