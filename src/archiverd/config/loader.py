"""From a file to settings: found, read, expanded, validated; what is wrong is told by file and key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from archiverd.config.older_tool import modernised, new_path
from archiverd.config.secrecy import HIDDEN, is_secret, without_login
from archiverd.config.sources import SettingSources
from archiverd.config.tables import is_yaml, read_tables
from archiverd.config.validation import validated
from archiverd.expansion import expand

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archiverd.config.environment_file import EnvironmentFile
    from archiverd.config.models import Settings
    from archiverd.expansion import Expanded

    Tell = Callable[[str, str], None]

LOG_FILE_NAME = "archiver.log"


def silent(_level: str, _text: str) -> None:
    """Tell nobody."""


def load(
    path: Path,
    *,
    migrating: bool = True,
    log_file: bool = False,
    environment: EnvironmentFile | None = None,
    tell: Tell = silent,
) -> Settings:
    """Read, expand and validate the configuration at ``path``; ``tell`` hears what a log should say about it.

    ``migrating`` demands what the migration stage needs. ``log_file``: app.log_file is archiver.log in the work
    directory unless it is set, as for every YAML configuration. ``environment`` is the file whose variables stand in
    the process's environment. Raise ConfigurationError that names file or variable, key, cause.
    """
    values, references = read_traced(path, tell)
    settings = validated(values, SettingSources(path, references, environment), migrating=migrating)
    return _with_log_file(settings) if log_file or is_yaml(path) else settings


def read_file(path: Path) -> dict[str, Any]:
    """Return what the file says, references expanded. Raise ConfigurationError as ``read_traced``."""
    return read_traced(path)[0]


def read_written(path: Path) -> dict[str, Any]:
    """Return what the file says as it is written, references and all. Raise ConfigurationError as ``read_traced``."""
    tables = read_tables(path)
    return modernised(tables, lambda _: None) if is_yaml(path) else tables


def read_traced(path: Path, tell: Tell = silent) -> tuple[dict[str, Any], dict[tuple[str, ...], Expanded]]:
    """Return what the file says, the older tool's forms put into ours, and by setting what came from references.

    Raise ConfigurationError with file, line and column for text that is not TOML, or not YAML.
    """
    expanded: list[Expanded] = []
    values = expand(read_tables(path), os.environ, expanded.append)
    for one in expanded:
        shown = HIDDEN if is_secret(one) else without_login(f"{one.written} → {one.text}")
        tell("debug", f"{path}: {'.'.join(one.path)}: {shown}")
    if is_yaml(path):
        values = modernised(values, lambda text: tell("warning", f"{path}: {text}"))
    return values, {new_path(one.path): one for one in expanded}


def _with_log_file(settings: Settings) -> Settings:
    """Let archiver.log in the work directory be the log file, unless something was said about that."""
    app = settings.app
    if "log_file" in app.model_fields_set:
        return settings
    return settings.model_copy(update={"app": app.model_copy(update={"log_file": app.work_dir / LOG_FILE_NAME})})
