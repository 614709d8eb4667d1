"""Where each setting came from, for people to read: secrets hidden."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from archiverd.config.loading import read_traced
from archiverd.config.models import ENVIRONMENT_PREFIX, SECRETS, Section, Settings, credential
from archiverd.config.older_tool import new_path
from archiverd.config.secrecy import HIDDEN, without_login

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from archiverd.config.environment_file import EnvironmentFile


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting's value as shown to people (secrets hidden) and where it came from."""

    section: str
    key: str
    value: str
    source: str


def origins(settings: Settings, path: Path, environment: EnvironmentFile | None = None) -> Iterator[Origin]:
    """Yield every setting with its value (secrets hidden) and its source.

    ``environment`` is the file whose variables stand in the process's environment.
    """
    values, expanded = read_traced(path)
    variables = {new_path(one.path): one.variables for one in expanded}
    yield from _origins((), settings, values, _Sources(path, variables, environment))


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where values may have come from."""

    path: Path
    variables: Mapping[tuple[str, ...], tuple[str, ...]]
    """The environment variables that a value of the file refers to."""
    environment: EnvironmentFile | None

    def of(self, names: tuple[str, ...], *, written: bool) -> str:
        """Tell where the setting ``names`` came from; ``written``: it stands in the file."""
        overriding = (ENVIRONMENT_PREFIX + "__".join(names)).upper()
        set_by = next((name for name in os.environ if name.upper() == overriding), None)
        if set_by is not None:
            return self._variable(set_by)
        if names in SECRETS and credential("_".join(names)) is not None:
            return "systemd credential"
        if not written:
            return "default"
        through = ", ".join(self._variable(name) for name in self.variables.get(names, ()) if name in os.environ)
        return f"{self.path}, {through}" if through else str(self.path)

    def _variable(self, name: str) -> str:
        """Name an environment variable, and the file that set it."""
        known = self.environment is not None and name in self.environment.names
        return f"${name} of {self.environment.path}" if known and self.environment else f"${name}"


def _origins(
    section: tuple[str, ...], model: Section | Settings, written: Mapping[str, Any], sources: _Sources
) -> Iterator[Origin]:
    """Yield the settings of a section and of those within it; ``written`` is what the file says of it."""
    for key, value in model:
        if isinstance(value, Section):
            inner = written.get(key)
            yield from _origins((*section, key), value, inner if isinstance(inner, dict) else {}, sources)
        else:
            yield Origin(".".join(section), key, _shown(value), sources.of((*section, key), written=key in written))


def _shown(value: object) -> str:
    """Return a setting's value as people may see it: without secrets, also those inside a URL."""
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else without_login(str(value))
