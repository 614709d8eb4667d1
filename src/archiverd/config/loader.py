"""From a file to settings: read, expanded, validated. Errors name file and key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from archiverd.config.older_tool import new_path, to_current_form
from archiverd.config.secrecy import HIDDEN, is_secret, without_login
from archiverd.config.sources import SettingSources
from archiverd.config.tables import is_yaml, read_tables
from archiverd.config.validation import validate
from archiverd.expansion import expand

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archiverd.config.environment_file import EnvironmentFile
    from archiverd.config.models import Settings
    from archiverd.expansion import Expanded

    Report = Callable[[str, str], None]

LOG_FILE_NAME = "archiver.log"


def ignore(_level: str, _text: str) -> None:
    """Discard a note on the configuration."""


def load(
    path: Path,
    *,
    migrating: bool = True,
    log_file: bool = False,
    environment: EnvironmentFile | None = None,
    report: Report = ignore,
) -> Settings:
    """Read, expand and validate the configuration at ``path``.

    ``report`` is called with severity and text of each note on it that belongs in the log.

    ``migrating`` demands what the migration stage needs. ``log_file``: app.log_file is archiver.log in the work
    directory unless it is set, as for every YAML configuration. ``environment`` is the file whose variables were added
    to the process's environment. Raise ConfigurationError that names file or variable, key, cause.
    """
    values, references = read_traced(path, report)
    settings = validate(values, SettingSources(path, references, environment), migrating=migrating)
    return _with_log_file(settings) if log_file or is_yaml(path) else settings


def read_file(path: Path) -> dict[str, Any]:
    """Return the file's sections, references expanded. Raise ConfigurationError as ``read_traced``."""
    return read_traced(path)[0]


def read_written(path: Path) -> dict[str, Any]:
    """Return the file's sections with references unexpanded. Raise ConfigurationError as ``read_traced``."""
    tables = read_tables(path)
    return to_current_form(tables, lambda _: None) if is_yaml(path) else tables


def read_traced(path: Path, report: Report = ignore) -> tuple[dict[str, Any], dict[tuple[str, ...], Expanded]]:
    """Return the file's sections, expanded and in the current form, and the values with references by setting.

    Raise ConfigurationError with file, line and column for text that is not TOML, or not YAML.
    """
    expanded: list[Expanded] = []
    values = expand(read_tables(path), os.environ, expanded.append)
    for one in expanded:
        shown = HIDDEN if is_secret(one) else without_login(f"{one.written} → {one.text}")
        report("debug", f"{path}: {'.'.join(one.path)}: {shown}")
    if is_yaml(path):
        values = to_current_form(values, lambda text: report("warning", f"{path}: {text}"))
    return values, {new_path(one.path): one for one in expanded}


def _with_log_file(settings: Settings) -> Settings:
    """Make archiver.log in the work directory the log file unless one is set."""
    app = settings.app
    if "log_file" in app.model_fields_set:
        return settings
    return settings.model_copy(update={"app": app.model_copy(update={"log_file": app.work_dir / LOG_FILE_NAME})})
