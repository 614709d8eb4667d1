"""Checks of ``ARCHIVERD_`` variables: known keys, and whole sections and lists as JSON."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from archiverd.config.models import Settings, from_environment
from archiverd.config.section import Section
from archiverd.config.sources import variable_of, variables
from archiverd.config.unknown_keys import nearest, unknown, unknown_error
from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from archiverd.config.sources import Names, SettingSources


def refuse_unknown_variables(sources: SettingSources) -> None:
    """Raise ConfigurationError for a variable that names a key, or nearly names a section, and is not right.

    One that resembles no section may be another program's: `archiverd check` warns of it.
    """
    for name, names in variables():
        near = nearest(names[0], tuple(Settings.model_fields))
        if len(names) > 1 and names[0] not in Settings.model_fields and near is not None:
            raise unknown_error(names[:1], sources.named(name), f"${variable_of((near, '…'))}", ())
        _refuse_what_is_not_json(name, names, sources)
    for names, known in unknown(from_environment()):
        name = sources.variable(names) or variable_of(names)
        near, wrong = nearest(names[-1], known), variable_of(names)
        if near is not None and name.upper().startswith(wrong):  # else it is a key within a section's JSON
            near = f"${variable_of((*names[:-1], near))}{name.upper().removeprefix(wrong)}"
        raise unknown_error(names, sources.named(name), near, known)


def _refuse_what_is_not_json(name: str, names: Names, sources: SettingSources) -> None:
    """Raise ConfigurationError for a variable that names a whole section, or a list, and holds no JSON of that form."""
    kind: object = Settings
    for part in names:
        if not (isinstance(kind, type) and issubclass(kind, Section | Settings) and part in kind.model_fields):
            return
        kind = kind.model_fields[part].annotation
    section = isinstance(kind, type) and issubclass(kind, Section)
    if not section and kind != tuple[str, ...]:
        return
    try:
        value = json.loads(os.environ[name])
    except ValueError:
        value = None
    if not isinstance(value, dict if section else list):
        form = "a section as JSON, or ARCHIVERD_SECTION__KEY each key" if section else 'a list as JSON, e.g. ["a", "b"]'
        place = sources.named(name)
        raise ConfigurationError(
            f"Configuration validation failed: {'.'.join(names)}: {place} must hold {form.partition(',')[0]}",
            remedy=f"correct {place}: {form}",
        )
