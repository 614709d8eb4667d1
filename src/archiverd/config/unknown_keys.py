"""Sections and keys that do not exist, and what they were probably meant to be."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from archiverd.config.models import Settings
from archiverd.config.section import Section
from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pydantic import BaseModel


def refuse_unknown(values: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigurationError for a section or key that does not exist, naming the nearest that does."""
    for names, known in unknown(values):
        near = nearest(names[-1], known)
        raise unknown_error(names, str(path), near, known)


def unknown(
    values: Mapping[str, Any], model: type[BaseModel] = Settings, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Sequence[str]]]:
    """Yield each section or key that does not exist, with those that do where it stands."""
    for key, content in values.items():
        names = (*above, key)
        if key not in model.model_fields:
            yield names, tuple(model.model_fields)
            continue
        inner = model.model_fields[key].annotation
        if isinstance(content, dict) and isinstance(inner, type) and issubclass(inner, Section):
            yield from unknown(content, inner, names)


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the one of ``known`` that ``name`` was probably meant to be, if any."""
    return next(iter(difflib.get_close_matches(name.lower(), known, n=1)), None)


def unknown_error(names: tuple[str, ...], place: str, near: str | None, known: Sequence[str]) -> ConfigurationError:
    """Return the error for a section or key that does not exist; ``near`` is what was probably meant."""
    what = f"key {'.'.join(names)}" if len(names) > 1 else f"section [{names[0]}]"
    hint = f"did you mean {near}?" if near else f"known are: {', '.join(known)}"
    return ConfigurationError(f"Configuration validation failed: unknown {what} in {place}; {hint}", remedy=hint)
