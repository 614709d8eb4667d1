"""The sections of the configuration with types, bounds and defaults; environment and credentials as sources."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from archiverd.config.hours import parse_hours
from archiverd.config.reporting import Carbon, Reporting
from archiverd.config.section import Count, Fraction, Percent, Section
from archiverd.core.errors import ConfigurationError
from archiverd.runrecord.converters.registry import BY_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT_PREFIX = "ARCHIVERD_"


def _valid_hours(text: str) -> str:
    """Return ``text`` if it means hours of the day. Raise ValueError."""
    parse_hours(text)
    return text


class App(Section):
    """``[app]``: archiverd's own files, workers, retries, log."""

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
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        BeforeValidator(lambda given: given.upper() if isinstance(given, str) else given),
    ] = "INFO"
    log_file: Path | None = None
    log_max_bytes: Annotated[int, Field(ge=100_000)] = 500_000_000
    log_max_age_days: Annotated[float, Field(gt=0)] = 14.0
    log_backup_count: Annotated[int, Field(ge=0, le=1000)] = 5
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
    promised_files: bool = True
    """Wait for the files that a record itself names, at most ``final_wait_seconds``."""
    backfill: Literal["all", "none"] | Annotated[int, Field(ge=1)] = "all"


class ArtdaqDb(Section):
    """``[artdaq_db]``: where runs are imported to."""

    database_uri: str
    fcl_conf_dir: Path | None = None
    backend: Literal["auto", "builtin", "conftoolp", "tools"] = "auto"
    conftoolp_dir: Path | None = None
    conftoolp_python: str = ""
    """The Python that conftoolp was built for; empty for the one archiverd runs on."""
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
    """``[validation]``: required keys of a blob's metadata.fcl."""

    required: tuple[str, ...] = ("components", "config_name")


class Scrub(Section):
    """``[scrub]``: how verified runs are read back and compared again."""

    share_per_day: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The share of those whose first proof is more than a week old, the oldest proof first."""
    least_per_day: Annotated[int, Field(ge=0)] = 10
    hours: Annotated[str, AfterValidator(_valid_hours)] = ""
    """Local hours, such as ``22-6``; empty for any."""


class Web(Section):
    """``[web]``: a page for browsers and monitoring, which this version does not have."""

    listen: str = ""
    """Empty for none; anything else is refused."""


class _Credentials(PydanticBaseSettingsSource):
    """Secrets that systemd put into ``$CREDENTIALS_DIRECTORY`` as files named ``section_key``."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the base class's form
        """Unused: the source answers whole."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the secrets found, by section and key."""
        found: dict[str, Any] = {}
        for path in SECRETS:
            value = credential("_".join(path))
            if value is not None:
                section = found
                for name in path[:-1]:
                    section = section.setdefault(name, {})
                section[path[-1]] = value
        return found


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
    reporting: Reporting = Reporting()
    carbon: Carbon = Carbon()
    app_fuzz: AppFuzz = AppFuzz()
    scrub: Scrub = Scrub()
    web: Web = Web()
    fhiclize_generate: tuple[str, ...] = BY_DEFAULT

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


def _secrets(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield section and key of every secret in ``model``."""
    for name, field in model.model_fields.items():
        if field.annotation is SecretStr:
            yield (*above, name)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _secrets(field.annotation, (*above, name))


SECRETS = tuple(_secrets(Settings))
"""The settings that systemd may hold as credentials, named after their sections and key."""


def from_environment() -> dict[str, Any]:
    """Return what the environment's variables give, by section and key, known or not.

    Raise ConfigurationError for a section or list that is not JSON; it shows no value.
    """
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:
        raise ConfigurationError(f"Configuration validation failed: {error}") from None


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
