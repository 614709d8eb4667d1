"""Where the configuration and the work directory are, which is all that a quick command beside a daemon needs.

Light to import: nothing is validated here.
"""

from __future__ import annotations

import os
from pathlib import Path

from archiverd.config.older_tool import to_current_form
from archiverd.config.tables import is_yaml, read_tables
from archiverd.core.errors import ConfigurationError
from archiverd.expansion import expand

SEARCHED = ("./archiverd.toml", "/etc/archiverd/archiverd.toml")
"""Default paths of the configuration; the first that exists is used."""

_VARIABLE = "ARCHIVERD_APP__WORK_DIR"


def find_config(named: str | None) -> Path:
    """Return the configuration file: the one named, ``$ARCHIVERD_CONFIG``, or the first that exists of SEARCHED.

    Raise ConfigurationError if there is none.
    """
    chosen = named or os.environ.get("ARCHIVERD_CONFIG")
    if chosen:
        if not Path(chosen).is_file():
            raise ConfigurationError(
                f"Configuration file {chosen} does not exist", remedy="name an existing file with --config FILE"
            )
        return Path(chosen)
    for candidate in SEARCHED:
        if Path(candidate).is_file():
            return Path(candidate)
    raise ConfigurationError(
        f"No configuration file: looked for {' and '.join(SEARCHED)}",
        remedy="name one with --config FILE or $ARCHIVERD_CONFIG; archiverd.toml.example is a start",
    )


def read_work_dir(path: Path) -> Path | None:
    """Return ``app.work_dir`` by environment and file; None if that takes validating the configuration."""
    given = [value for name, value in os.environ.items() if name.upper() == _VARIABLE]
    if given:
        return Path(given[-1])
    try:
        values = expand(read_tables(path), os.environ)
        if is_yaml(path):
            values = to_current_form(values, lambda _: None)
        found = values["app"]["work_dir"]
    except (ConfigurationError, LookupError, TypeError):
        return None
    return Path(found) if isinstance(found, str) and found else None
