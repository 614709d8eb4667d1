"""Reads a configuration file, TOML or by its ending YAML, into tables; references are not expanded."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1 << 20
"""Most bytes of a configuration."""


def is_yaml(path: Path) -> bool:
    """Return whether a configuration is YAML, by its name."""
    return path.suffix.lower() in {".yaml", ".yml"}


def read_tables(path: Path) -> dict[str, Any]:
    """Return the tables of the configuration at ``path``; plain values of YAML are text as written, or None.

    Raise ConfigurationError with file, line and column for text that is not what the file's ending says.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"Cannot read configuration {path}: {error.strerror}",
            remedy=f"let the user that archiverd runs as read it (`ls -l {path}`)",
        ) from error
    if len(data) > LIMIT:
        raise ConfigurationError(f"Configuration {path} is longer than {LIMIT} bytes")
    if is_yaml(path):
        from archiverd.config import yaml_text  # noqa: PLC0415 - only the older tool's users need it

        try:
            return yaml_text.parse(data)
        except yaml_text.YamlTextError as error:
            raise ConfigurationError(
                f"Configuration {path} is not YAML: {error}",
                remedy="mend the line named; indent with blanks, and quote values that hold : or #",
            ) from error
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"Configuration {path} is not TOML: {error}",
            remedy="mend the line named; strings need quotes; a YAML file's name ends in .yaml or .yml",
        ) from error
