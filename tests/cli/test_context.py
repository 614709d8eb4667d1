"""What commands get from the global options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd import log
from archiverd.cli.context import GlobalOptions, take_in_environment
from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMPORTING = """
fhiclize_generate = ["boot", "metadata"]
[app]
work_dir = "{work_dir}"
log_level = "ERROR"
[source_files]
run_records_dir = "{work_dir}/records"
[artdaq_db]
database_uri = "filesystemdb://{work_dir}/db"
"""
"""A configuration of everything that the import needs, and of nothing that only the migration needs."""


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Leave no log behind."""
    yield
    log.close()


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "archiverd.toml"
    path.write_text(IMPORTING.format(work_dir=tmp_path))
    return path


def options(path: Path, *, verbose: bool = False, quiet: bool = False) -> GlobalOptions:
    """Return the global options that name a configuration file."""
    return GlobalOptions(str(path), verbose, quiet, log_format="auto")


def test_settings_come_with_their_path(configuration: Path) -> None:
    """And the log is set up by them, so that what follows is logged as configured."""
    settings, path = options(configuration).settings(migrating=False)
    assert (settings.app.work_dir, path) == (configuration.parent, configuration)
    assert log.is_configured()


def test_a_quick_command_sets_up_no_log(configuration: Path) -> None:
    """A command that only reads leaves the log alone."""
    options(configuration).settings(migrating=False, logging=False)
    assert not log.is_configured()


def test_the_log_is_there_even_if_the_settings_are_wrong(configuration: Path) -> None:
    """The error and the notes on the configuration are logged as the command line asks for."""
    with pytest.raises(ConfigurationError):
        options(configuration).settings(migrating=True)
    assert log.is_configured()


def test_what_the_migration_needs_is_demanded_where_the_work_is_done(configuration: Path) -> None:
    """A command that has a daemon do the work reads settings without it; one that migrates itself is refused."""
    given = options(configuration)
    given.settings(migrating=False, logging=False)
    with pytest.raises(ConfigurationError, match="server_url is required"):
        given.demand_migration()


def test_the_work_directory_is_read_without_the_rest(configuration: Path) -> None:
    """A quick `status` works whatever else is wrong with the configuration."""
    configuration.write_text(configuration.read_text() + "nonsense = 1\n")
    assert options(configuration).work_dir() == configuration.parent
    with pytest.raises(ConfigurationError):
        options(configuration).settings(migrating=False, logging=False)


@pytest.mark.parametrize(
    ("verbose", "quiet", "level"), [(False, False, None), (True, False, "DEBUG"), (False, True, "WARNING")]
)
def test_the_level_asked_for(configuration: Path, verbose: bool, quiet: bool, level: str | None) -> None:
    """Only -v and -q ask for one; else the configuration says."""
    assert options(configuration, verbose=verbose, quiet=quiet).level == level


@pytest.mark.parametrize(
    ("named", "beside", "taken"),
    [
        ("own.env", "archiverd.yaml", "own.env"),
        ("own.env", None, "own.env"),
        (None, "archiverd.yaml", "archiver.env"),
        (None, "archiverd.toml", None),
        (None, None, None),
    ],
)
def test_which_environment_file_is_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, beside: str | None, taken: str | None
) -> None:
    """The one named; else archiver.env beside a YAML configuration, as the older tool's launcher did."""
    monkeypatch.setenv("ARCHIVERD_CONFIG", "")
    monkeypatch.setenv("FOUND_IN", "")
    for name in ("own.env", "archiver.env"):
        (tmp_path / name).write_text(f"FOUND_IN={name}\n")
    found = take_in_environment(named and str(tmp_path / named), beside and str(tmp_path / beside))
    assert (found and found.path) == (taken and tmp_path / taken)
