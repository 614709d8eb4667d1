"""Settings: what can be set, where each value came from, and what is wrong with it.

Sources, strongest first: ``ARCHIVERD_SECTION__KEY`` in the environment, a systemd credential (secrets only),
the TOML file (or the older tool's YAML), the default. Strings of the file expand ``${VAR}``, ``${VAR:-default}``
(environment, upper-case names), ``${key}`` (same section) and ``${section.key}``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archiverd.config.environment_file import ENVIRONMENT_FILE, EnvironmentFile, take_in
    from archiverd.config.loader import LOG_FILE_NAME, load, read_file, read_written
    from archiverd.config.location import SEARCHED, find_config, read_work_dir
    from archiverd.config.models import (
        App,
        AppFuzz,
        ArtdaqDb,
        Settings,
        credential,
    )
    from archiverd.config.provenance import Origin, origins
    from archiverd.config.section import Section
    from archiverd.config.tables import is_yaml

__all__ = [
    "ENVIRONMENT_FILE",
    "LOG_FILE_NAME",
    "SEARCHED",
    "App",
    "AppFuzz",
    "ArtdaqDb",
    "EnvironmentFile",
    "Origin",
    "Section",
    "Settings",
    "credential",
    "find_config",
    "is_yaml",
    "load",
    "origins",
    "read_file",
    "read_work_dir",
    "read_written",
    "take_in",
]

_HOMES = {
    "ENVIRONMENT_FILE": "environment_file",
    "LOG_FILE_NAME": "loader",
    "SEARCHED": "location",
    "App": "models",
    "AppFuzz": "models",
    "ArtdaqDb": "models",
    "EnvironmentFile": "environment_file",
    "Origin": "provenance",
    "Section": "section",
    "Settings": "models",
    "credential": "models",
    "find_config": "location",
    "is_yaml": "tables",
    "load": "loader",
    "origins": "provenance",
    "read_file": "loader",
    "read_work_dir": "location",
    "read_written": "loader",
    "take_in": "environment_file",
}
"""The module of each name, imported when the name is first used: finding a file must not cost what validating does."""


def __getattr__(name: str) -> Any:
    """Return a name of ``__all__`` from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
