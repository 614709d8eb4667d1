"""The configuration that is examined, as much of it as can be read."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.config.loader import load
from archiverd.config.location import find_config
from archiverd.core.errors import ArchiverError

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.config.environment_file import EnvironmentFile
    from archiverd.config.models import Settings


@dataclass(frozen=True, slots=True)
class Subject:
    """A configuration; ``error`` says what is wrong with it."""

    path: Path | None
    """None if no configuration was found."""
    settings: Settings | None
    """None if nothing of it is usable; incomplete where ``error`` is only about the settings of UconDB."""
    migrating: bool
    """Whether runs are to go to UconDB."""
    error: ArchiverError | None
    environment: EnvironmentFile | None = None
    """The file whose variables were put into the environment, if there is one."""


def read_subject(
    named: str | None, *, migrating: bool, log_file: bool = False, environment: EnvironmentFile | None = None
) -> Subject:
    """Read the configuration named on the command line, or found; never raise what is wrong with it.

    See ``config.loader.load`` for ``log_file``.
    """
    try:
        path = find_config(named)
    except ArchiverError as error:
        return Subject(None, None, migrating, error, environment)
    try:
        settings = load(path, migrating=migrating, log_file=log_file, environment=environment)
        return Subject(path, settings, migrating, None, environment)
    except ArchiverError as error:
        try:
            partial = load(path, migrating=False, log_file=log_file)
        except ArchiverError:
            return Subject(path, None, migrating, error, environment)
        return Subject(path, partial, migrating, error, environment)


def user_name(uid: int | None = None) -> str:
    """Return a user's name (by default ours, as permissions are checked), or their number if they have none."""
    number = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
