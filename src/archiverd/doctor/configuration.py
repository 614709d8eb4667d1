"""The configuration: can it be read, is it right, and what does it take from the environment?"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from archiverd import expansion
from archiverd.config import ucondb
from archiverd.config.loader import read_written
from archiverd.config.models import ENVIRONMENT_PREFIX, SECRETS, Settings
from archiverd.config.provenance import origins
from archiverd.core.errors import ConfigurationError
from archiverd.detached import run_detached
from archiverd.doctor.examination import Examination
from archiverd.doctor.finding import Finding, failed, ok, skipped, warning
from archiverd.doctor.redaction import is_secret

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping
    from pathlib import Path

    from archiverd.doctor.subject import Subject

SYNTAX, VALUES = "config syntax", "config values"
VARIABLES, NAMES, SECRECY = "environment variables", "ARCHIVERD_ variables", "config secrets"

REQUIRED = frozenset(
    {
        "app.work_dir",
        "source_files.run_records_dir",
        "artdaq_db.database_uri",
        *(f"ucon_db.{key}" for key in ucondb.REQUIRED),
    }
)
"""Keys that may not be empty: an unset variable in one of them is a failure, elsewhere a warning."""

UNDER_SYSTEMD = (
    "under systemd the unit has it as a credential: `systemd-run` gives it to a command (docs/operations.md)"
)


def examinations(subject: Subject) -> list[Examination]:
    """Return the examinations of this module, in the order of the report."""

    async def run() -> AsyncGenerator[Finding]:
        path = subject.path
        if path is None:
            yield failed(SYNTAX, str(subject.error), "" if subject.error is None else subject.error.remedy)
            return
        written = await run_detached(lambda: read_written(path))
        yield ok(SYNTAX, str(path))
        yield _values(subject)
        yield _variables(written)
        yield _names()
        yield await run_detached(lambda: _secrecy(subject, path))

    return [Examination((SYNTAX, VALUES, VARIABLES, NAMES, SECRECY), run)]


def _values(subject: Subject) -> Finding:
    """Are the required keys there, and is every value possible?"""
    error = subject.error
    if error is None:
        return ok(VALUES, "every required key is set, every value is possible")
    remedy = error.remedy
    if subject.settings is not None and ucondb.missing_for_migration(subject.settings.ucon_db) == ["writer_password"]:
        remedy += f"; {UNDER_SYSTEMD}"
    return failed(VALUES, str(error), remedy)


def _variables(written: Mapping[str, object]) -> Finding:
    """Is every environment variable set that the configuration refers to?"""
    missing: dict[str, str] = {}
    referred = set()
    for key, text in _texts((), written):
        for variable, has_default in expansion.variables(text):
            referred.add(variable)
            if not has_default and not os.environ.get(variable):
                missing[variable] = key
    if not missing:
        listed = ", ".join(sorted(referred))
        return ok(VARIABLES, f"set: {listed}" if listed else "the configuration refers to none")
    message = "unset or empty: " + ", ".join(f"{variable} (in {key})" for variable, key in sorted(missing.items()))
    remedy = (
        "set it where archiverd is started (systemd: Environment= or EnvironmentFile=) or in a file that --env-file "
        "names, or write ${NAME:-default}"
    )
    return (failed if REQUIRED & set(missing.values()) else warning)(VARIABLES, message, remedy)


def _texts(above: tuple[str, ...], written: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield key and text of every string in the configuration."""
    for key, value in written.items():
        name = (*above, str(key))
        if isinstance(value, dict):
            yield from _texts(name, value)
        else:
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    yield ".".join(name), text


def _names() -> Finding:
    """Check that every ARCHIVERD_SECTION__KEY names a section; one that does not is ignored in silence."""
    sections = {name.upper() for name in Settings.model_fields}
    given = [name for name in os.environ if name.upper().startswith(ENVIRONMENT_PREFIX) and "__" in name]
    astray = [
        name for name in given if name.upper().removeprefix(ENVIRONMENT_PREFIX).partition("__")[0] not in sections
    ]
    if astray:
        known = ", ".join(sorted(sections))
        return warning(NAMES, f"not taken by any section: {', '.join(sorted(astray))}", f"sections are {known}")
    return ok(NAMES, ", ".join(sorted(given)) or "none is set")


def _secrecy(subject: Subject, path: Path) -> Finding:
    """May others read a password that is in the file?"""
    if subject.settings is None:
        return skipped(SECRECY, f"only when {VALUES} is right")
    try:
        kept = sorted(_kept_in_file(subject.settings, path))
    except ConfigurationError as error:
        return failed(SECRECY, str(error), error.remedy)
    places = {path: kept}
    if subject.environment is not None:
        places[subject.environment.path] = sorted(filter(is_secret, subject.environment.names))
    messages = []
    for place, names in places.items():
        mode = place.stat().st_mode
        if names and mode & stat.S_IROTH:
            return warning(
                SECRECY,
                f"{place} holds {', '.join(names)} and may be read by everybody ({stat.filemode(mode)})",
                f"chmod o-r {place}, or keep it in a systemd credential or ARCHIVERD_SECTION__KEY",
            )
        messages += [f"{', '.join(names)} in {place} ({stat.filemode(mode)})"] if names else []
    return ok(SECRECY, "; ".join(messages) or "none stands in a file")


def _kept_in_file(settings: Settings, path: Path) -> Iterator[str]:
    """Yield the keys whose secrets are in the file itself; a reference leads to one that is elsewhere."""
    written = read_written(path)
    secrets = {".".join(names) for names in SECRETS}
    for one in origins(settings, path):
        name = f"{one.section}.{one.key}"
        if one.source != str(path) or not (name in secrets or (one.key.endswith("_uri") and "********@" in one.value)):
            continue
        text = dict(_texts((), written)).get(name, "")
        if text and not any(True for _ in expansion.variables(text)):
            yield name
