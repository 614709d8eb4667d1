"""The global options, and what commands get from them: settings, work directory, log.

What `archiverd --help` and a quick `status` do without is imported when it is needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from archiverd.cli.terminal import STANDARD_ERROR

if TYPE_CHECKING:
    from archiverd.config import EnvironmentFile, Settings


@dataclass(frozen=True, slots=True)
class Globals:
    """The global options."""

    config: str | None
    verbose: bool
    quiet: bool
    log_format: str
    work_dir_log: bool = False
    """archiver.log in the work directory is the default of app.log_file."""
    environment: EnvironmentFile | None = None
    """The file whose variables were put into the environment."""

    def settings(self, *, migrating: bool = True, logging: bool = True) -> tuple[Settings, Path]:
        """Read the configuration, set up logging by it, and return it with its path.

        Without ``logging`` for commands that only read and are to be quick.
        """
        from archiverd import config  # noqa: PLC0415 - lazily: see above

        told: list[tuple[str, str]] = []
        level = "INFO"
        try:
            path = config.find_config(self.config)
            settings = config.load(
                path,
                migrating=migrating,
                log_file=self.work_dir_log,
                environment=self.environment,
                tell=lambda severity, text: told.append((severity, text)),
            )
            level = settings.app.log_level
        finally:  # what was found out about a configuration that is wrong may tell why
            if logging:
                self._begin_log(level, told)
        return settings, path

    def demand_migration(self) -> None:
        """Raise ConfigurationError unless what the migration needs is set here.

        For a command that does the work itself: one that has a daemon do it needs no password.
        """
        from archiverd import config  # noqa: PLC0415 - lazily: see above

        config.load(config.find_config(self.config), migrating=True, environment=self.environment)

    def work_dir(self) -> Path:
        """Return ``app.work_dir`` of the configuration without looking at the rest of it: for a quick `status`."""
        from archiverd import config  # noqa: PLC0415 - lazily: see above

        found = config.read_work_dir(config.find_config(self.config))
        return found or self.settings(migrating=False, logging=False)[0].app.work_dir

    @property
    def level(self) -> str | None:
        """The level asked for on the command line, if any."""
        return "DEBUG" if self.verbose else "WARNING" if self.quiet else None

    def _begin_log(self, level: str, told: list[tuple[str, str]]) -> None:
        """Set up logging, and say what was found out about the configuration."""
        from archiverd import log  # noqa: PLC0415 - lazily: see above

        log.configure(
            "DEBUG" if self.verbose else level,
            self.log_format,  # type: ignore[arg-type]
            cast("TextIO", STANDARD_ERROR),
            quiet=self.quiet,
        )
        for severity, text in told:
            getattr(log.get(), severity)(text)


def take_in_environment(named: str | None, config: str | None) -> EnvironmentFile | None:
    """Put the variables of the environment file into the environment: one named, or archiver.env beside a YAML file."""
    config = config or os.environ.get("ARCHIVERD_CONFIG")
    if named is None and config is None:
        return None
    from archiverd.config import ENVIRONMENT_FILE, is_yaml, take_in  # noqa: PLC0415 - lazily: see above

    if named is not None:
        return take_in(Path(named))
    path = Path(config or "")
    beside = path.with_name(ENVIRONMENT_FILE)
    return take_in(beside) if is_yaml(path) and beside.is_file() else None
