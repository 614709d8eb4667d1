"""Where a setting comes from: environment variables by name, systemd's credentials, the file and what it refers to."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd.config.models import ENVIRONMENT_PREFIX, SECRETS, credential
from archiverd.config.secrecy import is_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from archiverd.config.environment_file import EnvironmentFile
    from archiverd.expansion import Expanded

    Names = tuple[str, ...]
    """A setting: its section, or sections, and its key."""


def variables() -> Iterator[tuple[str, Names]]:
    """Yield the environment's variables with our prefix, and the setting that each names, if there is such a one."""
    for name in os.environ:
        if name.upper().startswith(ENVIRONMENT_PREFIX):
            yield name, tuple(name[len(ENVIRONMENT_PREFIX) :].lower().split("__"))


def variable_of(names: Names) -> str:
    """Return the name of the variable that gives a setting."""
    return (ENVIRONMENT_PREFIX + "__".join(names)).upper()


@dataclass(frozen=True, slots=True)
class SettingSources:
    """The sources that values may have come from."""

    path: Path
    references: Mapping[Names, Expanded] = field(default_factory=dict)
    """The values of the file that held references."""
    environment: EnvironmentFile | None = None
    """The file whose variables were added to the process's environment."""

    def origin(self, names: Names, *, written: bool) -> str:
        """Return where the setting ``names`` came from, for people; ``written``: it is in the file."""
        set_by = self.variable(names)
        if set_by is not None:
            return self.named(set_by)
        if _is_credential(names):
            return "systemd credential"
        if not written:
            return "default"
        through = ", ".join(self.named(name) for name in self._referred(names) if name in os.environ)
        return f"{self.path}, {through}" if through else str(self.path)

    def place(self, names: Names) -> str:
        """Return the place to correct when the setting ``names`` is wrong."""
        set_by = self.variable(names)
        if set_by is not None:
            return self.named(set_by)
        if _is_credential(names):
            return f"the systemd credential {'_'.join(names)}"
        through = ", ".join(map(self.named, self._referred(names)))
        return f"{self.path}, which refers to {through}" if through else str(self.path)

    def variable(self, names: Names) -> str | None:
        """Return the environment variable that gives ``names``, a part of it, or its section as JSON; None if none."""
        found = [(path, name) for name, path in variables() if _gives(path, names, os.environ[name])]
        return max(found, key=lambda one: len(one[0]))[1] if found else None

    def named(self, variable: str) -> str:
        """Name an environment variable, and the file that set it."""
        known = self.environment is not None and variable in self.environment.names
        return f"${variable} of {self.environment.path}" if known and self.environment else f"${variable}"

    def is_secret(self, names: Names) -> bool:
        """Return whether the value of ``names`` may be a secret, by its key or by its references."""
        reference = self.references.get(names)
        secret = names in SECRETS or names[-1].endswith(("password", "url", "uri", "token"))
        return secret or (reference is not None and is_secret(reference))

    def _referred(self, names: Names) -> tuple[str, ...]:
        """Return the environment variables that a value of the file refers to."""
        reference = self.references.get(names)
        return () if reference is None else reference.variables


def _is_credential(names: Names) -> bool:
    """Return whether a systemd credential gives a setting."""
    return names in SECRETS and credential("_".join(names)) is not None


def _gives(path: Names, names: Names, value: str) -> bool:
    """Return whether a variable naming ``path`` and holding ``value`` gives the setting ``names``, or a part of it."""
    if len(path) < len(names):
        return names[: len(path)] == path and f'"{names[-1]}"' in value
    return path[: len(names)] == names and (len(names) > 1 or path == names)
