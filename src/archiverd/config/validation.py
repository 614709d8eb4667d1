"""Validates a configuration: no unknown key, every required one, possible values. Errors name file, key, cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from archiverd.config.environment_variables import refuse_unknown_variables
from archiverd.config.models import Settings
from archiverd.config.reporting import OptionalSection
from archiverd.config.secrecy import without_login
from archiverd.config.section import Section
from archiverd.config.ucondb import demand_usable, missing_for_migration
from archiverd.config.unknown_keys import refuse_unknown
from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archiverd.config.sources import SettingSources


def validate(values: Mapping[str, Any], sources: SettingSources, *, migrating: bool = True) -> Settings:
    """Return the settings by ``values``, expanded, and the environment; errors name the one of ``sources``.

    ``migrating`` demands what the migration stage needs. Raise ConfigurationError.
    """
    refuse_unknown(values, sources.path)
    refuse_unknown_variables(sources)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems = list(_problems(error, sources))
        places = " and ".join(dict.fromkeys(place for _, place in problems))
        raise ConfigurationError(
            f"Configuration validation failed: {'; '.join(text for text, _ in problems)}",
            remedy=f"correct {places}; `archiverd config check` tells when it is right",
            context={"file": str(sources.path)},
        ) from None
    if migrating:
        _demand_ucondb(settings, sources)
    _demand_reporting(settings, sources)
    _refuse_impossible(settings, sources)
    return settings


def _problems(error: ValidationError, sources: SettingSources) -> Iterator[tuple[str, str]]:
    """Yield each problem in one short clause (a missing key reads ``work_dir is required``), and what to correct."""
    for problem in error.errors():
        names = _setting(problem["loc"])
        place = sources.place(names)
        if problem["type"] == "missing":
            model = Settings.model_fields[names[0]].annotation
            if len(names) > 1:
                yield f"{names[-1]} is required", place
            elif isinstance(model, type) and issubclass(model, Section):  # the whole section: name its required keys
                yield from ((f"{key} is required", place) for key, f in model.model_fields.items() if f.is_required())
        else:
            given = "given" if sources.is_secret(names) else f"given: {without_login(repr(problem['input']))}"
            where = "" if place == str(sources.path) else f" in {place}"
            shown = f" ({given}{where})" if where or given != "given" else ""
            yield f"{'.'.join(names)}: {problem['msg']}{shown}", place


def _setting(location: Sequence[object]) -> tuple[str, ...]:
    """Return the section and key that a problem is about; what follows is a place in the value, or a kind of it."""
    names: list[str] = []
    model: object = Settings
    for part in location:
        if not (isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields):
            break
        names.append(str(part))
        model = model.model_fields[str(part)].annotation
    return tuple(names)


def _demand_ucondb(settings: Settings, sources: SettingSources) -> None:
    """Raise ConfigurationError if a key that migration needs is not set, or has a value that can never work."""
    missing = missing_for_migration(settings.ucon_db)
    if missing:
        raise ConfigurationError(
            "Configuration validation failed: " + "; ".join(f"{key} is required" for key in missing),
            remedy=f"set {', '.join(missing)} in [ucon_db] of {sources.path}, or import only",
        )
    demand_usable(settings.ucon_db, lambda key: sources.place(("ucon_db", key)))


def _demand_reporting(settings: Settings, sources: SettingSources) -> None:
    """Raise ConfigurationError if a notifier, or Carbon, is enabled and lacks a key, or has one that is malformed."""
    enabled = [(names, section) for names, section in optional_sections(settings) if section.enabled]
    for names, section in enabled:
        missing = section.missing()
        if missing:
            raise ConfigurationError(
                "Configuration validation failed: " + "; ".join(f"{key} is required" for key in missing),
                remedy=f"set {', '.join(missing)} in [{'.'.join(names)}] of {sources.path}, or enabled = false",
            )
    for names, section in enabled:
        malformed = section.malformed()
        if malformed is not None:
            places = dict.fromkeys(sources.place((*names, key)) for key in malformed.keys)
            raise ConfigurationError(
                f"Configuration validation failed: {malformed.problem}",
                remedy=f"correct {' and '.join(places)}: {malformed.form}",
            )


def optional_sections(
    model: Section | Settings, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], OptionalSection]]:
    """Yield the sections in ``model`` that can be enabled, with their names."""
    for name, value in model:
        if isinstance(value, OptionalSection):
            yield (*above, name), value
        elif isinstance(value, Section):
            yield from optional_sections(value, (*above, name))


def _refuse_impossible(settings: Settings, sources: SettingSources) -> None:
    """Raise ConfigurationError for settings that exclude each other, or that this version does not support."""
    work, records = settings.app.work_dir.absolute(), settings.source_files.run_records_dir.absolute()
    if work == records or records in work.parents:
        place = sources.place(("app", "work_dir"))
        raise ConfigurationError(
            f"Configuration validation failed: work_dir {work} lies below run_records_dir {records}",
            remedy=f"archiverd never writes below the run records; choose another app.work_dir in {place}",
        )
    if settings.web.listen.strip():
        raise ConfigurationError(
            "Configuration validation failed: web.listen is set, but this version has no web page yet: nothing listens",
            remedy=f"take web.listen out of {sources.place(('web', 'listen'))}, or let it be empty",
        )
