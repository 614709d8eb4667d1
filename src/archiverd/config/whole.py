"""Settings: what can be set, where each value came from, and what is wrong with it.

Sources, strongest first: ``ARCHIVERD_SECTION__KEY`` in the environment, a systemd credential (secrets only),
the TOML file, the default. Strings of the file expand ``${VAR}``, ``${VAR:-default}`` (environment, upper-case
names), ``${key}`` (same section) and ``${section.key}``.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from archiverd.core.errors import ConfigurationError
from archiverd.expansion import expand

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Fraction = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=1, le=64)]

ENVIRONMENT_PREFIX = "ARCHIVERD_"
SEARCHED = ("./archiverd.toml", "/etc/archiverd/archiverd.toml")
"""Where a configuration is looked for when none is named."""

CONVERTED = (
    "boot",
    "metadata",
    "known_boardreaders_list",
    "settings",
    "setup",
    "environment",
    "ranks",
    "RunHistory",
    "RunHistory2",
    "config",
    "rc_info_start",
    "rc_info_stop",
)
"""The default of ``fhiclize_generate``: text files converted to FHiCL, and files generated."""


class Section(BaseModel):
    """A section of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class App(Section):
    """``[app]``: where archiverd keeps its own things, and how hard it tries."""

    work_dir: Path
    import_state_file: Path | None = None
    import_failure_log: Path | None = None
    migrate_state_file: Path | None = None
    migrate_failure_log: Path | None = None
    lock_file: Path | None = None
    parallel_workers: Count = 2
    batch_size: Count = 5
    run_process_retries: Annotated[int, Field(ge=0, le=100)] = 2
    retry_delay_seconds: Fraction = 3.0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    umask: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] = "0022"
    drain_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0


class SourceFiles(Section):
    """``[source_files]``: where the run records are."""

    run_records_dir: Path


class Watch(Section):
    """``[watch]``: how runs are noticed and when they count as ended. Times in seconds."""

    mode: Literal["auto", "inotify", "poll"] = "auto"
    settle_seconds: Annotated[float, Field(ge=0.1)] = 1.0
    rescan_seconds: Annotated[float, Field(ge=1)] = 60.0
    poll_seconds: Annotated[float, Field(ge=0.5)] = 5.0
    final_wait_seconds: Fraction = 600.0
    abandon_after_seconds: Fraction = 1_209_600.0
    backfill: Literal["all", "none"] | Annotated[int, Field(ge=1)] = "all"


class ArtdaqDb(Section):
    """``[artdaq_db]``: where runs are imported to."""

    database_uri: str
    fcl_conf_dir: Path | None = None
    backend: Literal["auto", "builtin", "tools"] = "auto"
    conftoolp_dir: Path | None = None
    use_tools: bool = False
    remote_host: str = ""
    call_timeout_seconds: Annotated[float, Field(gt=0)] = 300.0
    unmatched: Literal["archive", "report", "fail"] = "archive"


class UconDb(Section):
    """``[ucon_db]``: where blobs are uploaded to. The first five are required to migrate."""

    server_url: str = ""
    folder_name: str = ""
    object_name: str = ""
    writer_user: str = ""
    writer_password: SecretStr = SecretStr("")
    pending_folder_name: str = ""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    verify_tls: bool = True
    ca_file: Path | None = None
    max_concurrent_uploads: Count = 2


class AppFuzz(Section):
    """``[app_fuzz]``: failures made up for drills. Shares in percent; not with ``--incremental``, not for updates."""

    random_skip_percent: Percent = 0.0
    random_skip_retry: bool = False
    """A run that is skipped is not tried again."""
    random_error_percent: Percent = 0.0
    random_error_retry: bool = False
    """A run that is made to fail is not tried again."""


class Validation(Section):
    """``[validation]``: what must stand in a blob's metadata.fcl."""

    required: tuple[str, ...] = ("components", "config_name")


class _Credentials(PydanticBaseSettingsSource):
    """Secrets that systemd put into ``$CREDENTIALS_DIRECTORY`` as files named ``section_key``."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the base class's form
        """Unused: the source answers whole."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the secrets found, by section and key."""
        password = credential("ucon_db_writer_password")
        return {} if password is None else {"ucon_db": {"writer_password": password}}


class Settings(BaseSettings):
    """Everything that can be set, validated. Immutable."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    app: App
    source_files: SourceFiles
    watch: Watch = Watch()
    artdaq_db: ArtdaqDb
    ucon_db: UconDb = UconDb()
    validation: Validation = Validation()
    app_fuzz: AppFuzz = AppFuzz()
    fhiclize_generate: tuple[str, ...] = CONVERTED

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's form
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's form
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: environment, credentials, file (given as init values)."""
        return env_settings, _Credentials(settings_cls), init_settings


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting's value as shown to people (secrets hidden) and where it came from."""

    section: str
    key: str
    value: str
    source: str


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


def load(path: Path, *, migrating: bool = True) -> Settings:
    """Read, expand and validate the configuration at ``path``.

    ``migrating`` demands what the migration stage needs. Raise ConfigurationError that names file, key and cause.
    """
    values = read_file(path)
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
    _refuse_impossible(settings, path)
    return settings


def read_file(path: Path) -> dict[str, Any]:
    """Return the TOML file's values, references expanded.

    Raise ConfigurationError with file, line and column for text that is not TOML.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"Cannot read configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"Configuration {path} is not TOML: {error}", remedy="mend the line named; strings need quotes"
        ) from error
    return expand(values, os.environ)


def origins(settings: Settings, path: Path) -> Iterator[Origin]:
    """Yield every setting with its value (secrets hidden) and its source."""
    written = read_file(path)
    for section, model in settings:
        if not isinstance(model, Section):
            source = str(path) if section in written else "default"
            yield Origin("", section, " ".join(model), source)
            continue
        for key, value in model:
            yield Origin(section, key, _shown(value), _source(section, key, written, path))


def _shown(value: object) -> str:
    """Return a setting's value as people may see it: without secrets, also those inside a URL."""
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    return "" if value is None else re.sub(r"://[^/\s]*@", "://********@", str(value))


def credential(name: str) -> str | None:
    """Return the systemd credential ``name`` without its final newline, or None if there is none."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    try:
        return (Path(directory) / name).read_text(encoding="utf-8").rstrip("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"Cannot read the credential {name}: {error}") from error


def _source(section: str, key: str, written: Mapping[str, Any], path: Path) -> str:
    """Tell where a setting's value came from."""
    variable = f"{ENVIRONMENT_PREFIX}{section}__{key}".upper()
    if any(name.upper() == variable for name in os.environ):
        return f"${variable}"
    if (section, key) == ("ucon_db", "writer_password") and credential("ucon_db_writer_password") is not None:
        return "systemd credential"
    return str(path) if key in written.get(section, {}) else "default"


def _refuse_unknown(values: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigurationError for a section or key that does not exist, naming the nearest that does."""
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    for section, content in values.items():
        if section not in sections:
            raise _unknown(f"section [{section}]", section, sections, path)
        model = sections[section]
        if isinstance(content, dict) and isinstance(model, type) and issubclass(model, Section):
            for key in content:
                if key not in model.model_fields:
                    raise _unknown(f"key {section}.{key}", key, model.model_fields, path)


def _unknown(what: str, name: str, known: Mapping[str, object], path: Path) -> ConfigurationError:
    near = difflib.get_close_matches(name, known, n=1)
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


def _refuse_impossible(settings: Settings, path: Path) -> None:
    """Raise ConfigurationError for settings that are each right but cannot stand together."""
    work, records = settings.app.work_dir.absolute(), settings.source_files.run_records_dir.absolute()
    if work == records or records in work.parents:
        raise ConfigurationError(
            f"Configuration validation failed: work_dir {work} lies below run_records_dir {records}",
            remedy=f"archiverd never writes below the run records; choose another app.work_dir in {path}",
        )
