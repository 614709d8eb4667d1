"""Are values a configuration: no unknown key, every required one, none impossible; errors name file, key and cause."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from archiverd.config.models import Section, Settings
from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic import BaseModel

_ADDRESS = re.compile(r"[^\s<>@]+@[^\s<>@]+|[\w .'()-]*<[^\s<>@]+@[^\s<>@]+>")
"""``name@host`` or ``Name <name@host>``."""


def validated(values: Mapping[str, Any], path: Path, *, migrating: bool = True) -> Settings:
    """Return the settings that ``values``, expanded, stand for; ``path`` is named in errors.

    ``migrating`` demands what the migration stage needs. Raise ConfigurationError.
    """
    refuse_unknown(values, path)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise ConfigurationError(
            f"Configuration validation failed: {'; '.join(_problems(error))}",
            remedy=f"correct {path}; `archiverd config check` tells when it is right",
            context={"file": str(path)},
        ) from None
    if migrating:
        _demand_ucondb(settings, path)
    _demand_reporting(settings, path)
    _refuse_impossible(settings, path)
    return settings


def refuse_unknown(values: Mapping[str, Any], path: Path, model: type[BaseModel] = Settings, above: str = "") -> None:
    """Raise ConfigurationError for a section or key that does not exist, naming the nearest that does."""
    for key, content in values.items():
        what = f"key {above}{key}" if above else f"section [{key}]"
        if key not in model.model_fields:
            raise _unknown(what, key, model.model_fields, path)
        inner = model.model_fields[key].annotation
        if isinstance(content, dict) and isinstance(inner, type) and issubclass(inner, Section):
            refuse_unknown(content, path, inner, f"{above}{key}.")


def _unknown(what: str, name: str, known: Mapping[str, object], path: Path) -> ConfigurationError:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(known)}"
    return ConfigurationError(f"Configuration validation failed: unknown {what} in {path}; {hint}", remedy=hint)


def _problems(error: ValidationError) -> Iterator[str]:
    """Yield each problem in one short clause; a missing key reads ``work_dir is required``."""
    for problem in error.errors():
        names = [str(part) for part in problem["loc"]]
        if problem["type"] == "missing":
            if len(names) == 1:  # the whole section is missing: name its required keys
                model = Settings.model_fields[names[0]].annotation
                if isinstance(model, type) and issubclass(model, Section):
                    yield from (f"{key} is required" for key, f in model.model_fields.items() if f.is_required())
                continue
            yield f"{names[-1]} is required"
        else:
            secret = names[-1].endswith(("password", "url", "uri", "token"))
            given = "" if secret else f" (given: {problem['input']!r})"
            yield f"{'.'.join(names[:2])}: {problem['msg']}{given}"


def missing_for_migration(settings: Settings) -> list[str]:
    """Return the keys of ``[ucon_db]`` that migration needs and that are not set."""
    u = settings.ucon_db
    given = {
        "server_url": u.server_url,
        "folder_name": u.folder_name,
        "object_name": u.object_name,
        "writer_user": u.writer_user,
        "writer_password": u.writer_password.get_secret_value(),
    }
    return [key for key, value in given.items() if not value]


def _demand_ucondb(settings: Settings, path: Path) -> None:
    """Raise ConfigurationError if a key that migration needs is not set."""
    u = settings.ucon_db
    missing = missing_for_migration(settings)
    if missing:
        raise ConfigurationError(
            "Configuration validation failed: " + "; ".join(f"{key} is required" for key in missing),
            remedy=f"set {', '.join(missing)} in [ucon_db] of {path}, or import only",
        )
    url = u.server_url
    if not url.startswith(("http://", "https://")) or "@" in url or not url.rstrip("/").endswith("/app"):
        raise ConfigurationError(
            "Configuration validation failed: ucon_db.server_url must end in /app and name no user",
            remedy="the form is https://host:port/instance/app",
        )


def _demand_reporting(settings: Settings, path: Path) -> None:
    """Raise ConfigurationError if a way to tell people is enabled and lacks what it needs, or names no address."""
    email, slack, carbon = settings.reporting.email, settings.reporting.slack, settings.carbon
    given = {
        "reporting.email": {
            "recipient_email": email.recipient_email,
            "sender_email": email.sender_email,
            "smtp_host": email.smtp_host,
            **({"smtp_password": email.smtp_password.get_secret_value()} if email.smtp_user else {}),
        },
        "reporting.slack": {"bot_token": slack.bot_token.get_secret_value(), "channel": slack.channel},
        "carbon": {"host": carbon.host},
    }
    for section, enabled in zip(given, (email.enabled, slack.enabled, carbon.enabled), strict=True):
        missing = [key for key, value in given[section].items() if enabled and not value.strip()]
        if missing:
            raise ConfigurationError(
                "Configuration validation failed: " + "; ".join(f"{key} is required" for key in missing),
                remedy=f"set {', '.join(missing)} in [{section}] of {path}, or enabled = false",
            )
    addresses = (*filter(str.strip, email.recipient_email.split(",")), email.sender_email)
    if email.enabled and not all(one.isascii() and _ADDRESS.fullmatch(one.strip()) for one in addresses):
        raise ConfigurationError(
            "Configuration validation failed: recipient_email and sender_email must be addresses, with commas between",
            remedy=f"correct [reporting.email] of {path}: name@example.org, other@example.org",
        )


def _refuse_impossible(settings: Settings, path: Path) -> None:
    """Raise ConfigurationError for settings that are each right but cannot stand together."""
    work, records = settings.app.work_dir.absolute(), settings.source_files.run_records_dir.absolute()
    if work == records or records in work.parents:
        raise ConfigurationError(
            f"Configuration validation failed: work_dir {work} lies below run_records_dir {records}",
            remedy=f"archiverd never writes below the run records; choose another app.work_dir in {path}",
        )
