"""From a file to settings: found, read, expanded, validated; what is wrong is told by file and key."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from archiverd.config.models import Section, Settings
from archiverd.config.older_tool import modernised
from archiverd.config.secrecy import HIDDEN, is_secret, without_login
from archiverd.config.tables import is_yaml, read_tables
from archiverd.core.errors import ConfigurationError
from archiverd.expansion import expand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic import BaseModel

    from archiverd.expansion import Expanded

    Tell = Callable[[str, str], None]

SEARCHED = ("./archiverd.toml", "/etc/archiverd/archiverd.toml")
"""Where a configuration is looked for when none is named."""

_ADDRESS = re.compile(r"[^\s<>@]+@[^\s<>@]+|[\w .'()-]*<[^\s<>@]+@[^\s<>@]+>")
"""``name@host`` or ``Name <name@host>``."""
LOG_FILE_NAME = "archiver.log"


def silent(_level: str, _text: str) -> None:
    """Tell nobody."""


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


def load(path: Path, *, migrating: bool = True, log_file: bool = False, tell: Tell = silent) -> Settings:
    """Read, expand and validate the configuration at ``path``; ``tell`` hears what a log should say about it.

    ``migrating`` demands what the migration stage needs. ``log_file``: app.log_file is archiver.log in the work
    directory unless it is set, as for every YAML configuration. Raise ConfigurationError that names file, key, cause.
    """
    values, _ = read_traced(path, tell)
    _refuse_unknown(values, path)
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
    return _with_log_file(settings) if log_file or is_yaml(path) else settings


def read_file(path: Path) -> dict[str, Any]:
    """Return what the file says, references expanded. Raise ConfigurationError as ``read_traced``."""
    return read_traced(path)[0]


def read_written(path: Path) -> dict[str, Any]:
    """Return what the file says as it is written, references and all. Raise ConfigurationError as ``read_traced``."""
    tables = read_tables(path)
    return modernised(tables, lambda _: None) if is_yaml(path) else tables


def read_traced(path: Path, tell: Tell = silent) -> tuple[dict[str, Any], list[Expanded]]:
    """Return what the file says, the older tool's forms put into ours, and which of it came from references.

    Raise ConfigurationError with file, line and column for text that is not TOML, or not YAML.
    """
    expanded: list[Expanded] = []
    values = expand(read_tables(path), os.environ, expanded.append)
    for one in expanded:
        shown = HIDDEN if is_secret(one) else without_login(f"{one.written} → {one.text}")
        tell("debug", f"{path}: {'.'.join(one.path)}: {shown}")
    if is_yaml(path):
        values = modernised(values, lambda text: tell("warning", f"{path}: {text}"))
    return values, expanded


def _with_log_file(settings: Settings) -> Settings:
    """Let archiver.log in the work directory be the log file, unless something was said about that."""
    app = settings.app
    if "log_file" in app.model_fields_set:
        return settings
    return settings.model_copy(update={"app": app.model_copy(update={"log_file": app.work_dir / LOG_FILE_NAME})})


def _refuse_unknown(values: Mapping[str, Any], path: Path, model: type[BaseModel] = Settings, above: str = "") -> None:
    """Raise ConfigurationError for a section or key that does not exist, naming the nearest that does."""
    for key, content in values.items():
        what = f"key {above}{key}" if above else f"section [{key}]"
        if key not in model.model_fields:
            raise _unknown(what, key, model.model_fields, path)
        inner = model.model_fields[key].annotation
        if isinstance(content, dict) and isinstance(inner, type) and issubclass(inner, Section):
            _refuse_unknown(content, path, inner, f"{above}{key}.")


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
