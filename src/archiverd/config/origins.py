"""Where each setting came from, for people to read: secrets hidden."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from archiverd.config.loading import read_file
from archiverd.config.models import ENVIRONMENT_PREFIX, SECRETS, Section, Settings, credential

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting's value as shown to people (secrets hidden) and where it came from."""

    section: str
    key: str
    value: str
    source: str


def origins(settings: Settings, path: Path) -> Iterator[Origin]:
    """Yield every setting with its value (secrets hidden) and its source."""
    yield from _origins((), settings, read_file(path), path)


def _origins(
    section: tuple[str, ...], model: Section | Settings, written: Mapping[str, Any], path: Path
) -> Iterator[Origin]:
    """Yield the settings of a section and of those within it; ``written`` is what the file says of it."""
    for key, value in model:
        if isinstance(value, Section):
            inner = written.get(key)
            yield from _origins((*section, key), value, inner if isinstance(inner, dict) else {}, path)
        else:
            source = _source((*section, key), str(path) if key in written else "default")
            yield Origin(".".join(section), key, _shown(value), source)


def _shown(value: object) -> str:
    """Return a setting's value as people may see it: without secrets, also those inside a URL."""
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else re.sub(r"://[^/\s]*@", "://********@", str(value))


def _source(names: tuple[str, ...], otherwise: str) -> str:
    """Tell where a setting's value came from."""
    variable = (ENVIRONMENT_PREFIX + "__".join(names)).upper()
    if any(name.upper() == variable for name in os.environ):
        return f"${variable}"
    if names in SECRETS and credential("_".join(names)) is not None:
        return "systemd credential"
    return otherwise
