"""Decisions of a process that has the work directory to itself, with a journal that is sick."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd.app.alone import OwnOperations
from archiverd.app.operations.requests import WaiveRequest
from archiverd.config.loader import load
from archiverd.config.paths import journal_path
from archiverd.core.errors import ArchiverError
from archiverd.core.priority import Lane
from archiverd.journal.journal import Journal
from archiverd.process.progress import silent

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.config.models import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A site without UconDB."""
    (tmp_path / "work").mkdir()
    (tmp_path / "records").mkdir()
    config = tmp_path / "archiverd.toml"
    config.write_text(
        f'[app]\nwork_dir = "{tmp_path}/work"\n[source_files]\nrun_records_dir = "{tmp_path}/records"\n'
        f'[artdaq_db]\ndatabase_uri = "filesystemdb://{tmp_path}/artdaqdb"\n'
    )
    return load(config, migrating=False)


async def test_a_decision_on_a_file_that_is_no_journal_is_refused(settings: Settings) -> None:
    """With a remedy, not as a mistake in archiverd."""
    journal_path(settings).write_text("no journal\n" * 500)
    with pytest.raises(ArchiverError, match="The journal is damaged: file is not a database"):
        await OwnOperations(settings, silent).waive(WaiveRequest(7, "x"))


async def test_a_decision_leaves_the_files_of_a_new_journal_alone(settings: Settings, tmp_path: Path) -> None:
    """They say what the journal before it knew: the next pass takes them over."""
    state = tmp_path / "work" / "importer_state.json"
    state.write_text('{"last_contiguous_run": 7, "last_attempted_run": 9}\n')
    (tmp_path / "work" / "import_failures.log").write_text("8\n")
    journal = Journal(journal_path(settings), clock=lambda: 1.0)
    await journal.open()
    await journal.see([7], Lane.BACKLOG)
    await journal.close()
    await OwnOperations(settings, silent).waive(WaiveRequest(7, "x"))
    assert '"last_contiguous_run": 7' in state.read_text()
    assert (tmp_path / "work" / "import_failures.log").read_text() == "8\n"
