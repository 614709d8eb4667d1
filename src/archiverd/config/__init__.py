"""Settings: what can be set, where each value came from, and what is wrong with it.

Sources, strongest first: ``ARCHIVERD_SECTION__KEY`` in the environment, a systemd credential (secrets only),
the TOML file (or the older tool's YAML), the default. Strings of the file expand ``${VAR}``, ``${VAR:-default}``
(environment, upper-case names), ``${key}`` (same section) and ``${section.key}``.
"""

from archiverd.config.environment_file import ENVIRONMENT_FILE, EnvironmentFile, take_in
from archiverd.config.loading import (
    LOG_FILE_NAME,
    SEARCHED,
    find_config,
    load,
    read_file,
    read_written,
)
from archiverd.config.models import (
    CONVERTED,
    App,
    AppFuzz,
    ArtdaqDb,
    Carbon,
    Email,
    Reporting,
    Section,
    Settings,
    Slack,
    credential,
)
from archiverd.config.origins import Origin, origins
from archiverd.config.tables import is_yaml
from archiverd.config.validating import missing_for_migration

__all__ = [
    "CONVERTED",
    "ENVIRONMENT_FILE",
    "LOG_FILE_NAME",
    "SEARCHED",
    "App",
    "AppFuzz",
    "ArtdaqDb",
    "Carbon",
    "Email",
    "EnvironmentFile",
    "Origin",
    "Reporting",
    "Section",
    "Settings",
    "Slack",
    "credential",
    "find_config",
    "is_yaml",
    "load",
    "missing_for_migration",
    "origins",
    "read_file",
    "read_written",
    "take_in",
]
