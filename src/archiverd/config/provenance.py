"""The value and source of each setting, for people: secrets hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from archiverd.config.loader import read_traced
from archiverd.config.secrecy import HIDDEN, without_login
from archiverd.config.section import Section
from archiverd.config.sources import SettingSources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from archiverd.config.environment_file import EnvironmentFile
    from archiverd.config.models import Settings


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting's value as shown to people (secrets hidden) and where it came from."""

    section: str
    key: str
    value: str
    source: str


def origins(settings: Settings, path: Path, environment: EnvironmentFile | None = None) -> Iterator[Origin]:
    """Yield every setting with its value (secrets hidden) and its source.

    ``environment`` is the file whose variables were added to the process's environment.
    """
    values, references = read_traced(path)
    yield from _origins((), settings, values, SettingSources(path, references, environment))


def _origins(
    section: tuple[str, ...], model: Section | Settings, written: Mapping[str, Any], sources: SettingSources
) -> Iterator[Origin]:
    """Yield the settings of a section and of those within it; ``written`` is the section in the file."""
    for key, value in model:
        if isinstance(value, Section):
            inner = written.get(key)
            yield from _origins((*section, key), value, inner if isinstance(inner, dict) else {}, sources)
        else:
            yield Origin(".".join(section), key, _shown(value), sources.origin((*section, key), written=key in written))


def _shown(value: object) -> str:
    """Return a setting's value as people may see it: without secrets, also those inside a URL."""
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else without_login(str(value))
