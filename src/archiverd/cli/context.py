"""The global options, and what commands get from them: settings, work directory, log."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from archiverd.cli.terminal import STANDARD_ERROR
from archiverd.config.environment_file import ENVIRONMENT_FILE, load_environment
from archiverd.config.location import find_config, read_work_dir
from archiverd.config.tables import is_yaml

if TYPE_CHECKING:
    from archiverd.config.environment_file import EnvironmentFile
    from archiverd.config.models import Settings
    from archiverd.log import Format


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The options before the command, as every command gets them."""

    config: str | None
    """Path of the configuration file; None for the first of the usual places that has one."""
    verbose: bool
    quiet: bool
    log_format: Format
    work_dir_log: bool = False
    """Whether app.log_file is archiver.log in the work directory by default."""
    environment: EnvironmentFile | None = None
    """The file whose variables were put into the environment."""

    def settings(self, *, migrating: bool = True, logging: bool = True) -> tuple[Settings, Path]:
        """Read the configuration, set up logging by it, and return it with its path.

        ``migrating`` demands what the migration stage needs. A command that only reads and has to be quick goes
        without ``logging``. Raise ConfigurationError.
        """
        notes: list[tuple[str, str]] = []
        level = "INFO"
        try:
            path = find_config(self.config)
            settings = self._load(path, migrating, notes)
            level = settings.app.log_level
        finally:  # the notes on a configuration that is wrong may explain the error
            if logging:
                self._begin_log(level, notes)
        return settings, path

    def demand_migration(self) -> None:
        """Raise ConfigurationError unless what the migration needs is set here.

        For a command that does the work itself: one that has a daemon do it needs no password.
        """
        self._load(find_config(self.config), migrating=True, notes=[])

    def work_dir(self) -> Path:
        """Return ``app.work_dir``; the rest of the configuration is neither read nor validated if that can be avoided.

        Raise ConfigurationError.
        """
        found = read_work_dir(find_config(self.config))
        return found or self.settings(migrating=False, logging=False)[0].app.work_dir

    @property
    def level(self) -> str | None:
        """The level asked for on the command line, if any."""
        return "DEBUG" if self.verbose else "WARNING" if self.quiet else None

    def _load(self, path: Path, migrating: bool, notes: list[tuple[str, str]]) -> Settings:
        """Read and validate the configuration; add what a log should say about it to ``notes``."""
        from archiverd.config.loader import load  # noqa: PLC0415 - pydantic is a heavy import

        return load(
            path,
            migrating=migrating,
            log_file=self.work_dir_log,
            environment=self.environment,
            report=lambda severity, text: notes.append((severity, text)),
        )

    def _begin_log(self, level: str, notes: list[tuple[str, str]]) -> None:
        """Set up logging, and log the notes on the configuration, each a severity and a text."""
        from archiverd import log  # noqa: PLC0415 - a heavy import that `status`, `runs` and `why` do without

        log.configure(
            "DEBUG" if self.verbose else level, self.log_format, cast("TextIO", STANDARD_ERROR), quiet=self.quiet
        )
        for severity, text in notes:
            getattr(log.get(), severity)(text)


def take_in_environment(named: str | None, config_named: str | None) -> EnvironmentFile | None:
    """Put the variables of an environment file into the environment; return what was put there.

    That is the file ``named``, else archiver.env beside a YAML configuration. Raise ConfigurationError.
    """
    if named is not None:
        return load_environment(Path(named))
    config_file = config_named or os.environ.get("ARCHIVERD_CONFIG")
    if not config_file:
        return None
    path = Path(config_file)
    beside = path.with_name(ENVIRONMENT_FILE)
    return load_environment(beside) if is_yaml(path) and beside.is_file() else None
