"""Opening the journal's file: it is checked, brought up to date, and set aside if it is damaged."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError
from archiverd.disk import RealDisk
from archiverd.journal.errors import is_damage
from archiverd.journal.schema import connect, upgrade

if TYPE_CHECKING:
    from pathlib import Path


def open_sound(path: Path) -> sqlite3.Connection:
    """Open or make the journal at ``path``.

    A damaged one is set aside and a new one made. Raise sqlite3.Error if it cannot be used, ArchiverError if
    a newer program wrote it or it cannot be set aside; then nothing is left open.
    """
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        _set_aside(path, error)
    return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    """Open the journal, checked and up to date."""
    connection = connect(str(path))
    try:
        _check(connection)
        upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError, as damage, if tables or indexes are not sound."""
    problems = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    if problems != ["ok"]:
        damage = sqlite3.DatabaseError("; ".join(problems))
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage


def _set_aside(path: Path, error: sqlite3.DatabaseError) -> None:
    """Rename a damaged journal with its files, and log what that means. Raise ArchiverError if that fails."""
    number = next(n for n in itertools.count(1) if not path.with_name(f"{path.name}.corrupted-{n}").exists())
    kept = path.with_name(f"{path.name}.corrupted-{number}")
    disk = RealDisk()
    try:
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                disk.move(path.with_name(path.name + ending), kept.with_name(kept.name + ending))
    except OSError as refused:
        raise ArchiverError(
            f"The journal is damaged and cannot be set aside: {refused}",
            remedy=f"move {path} away and start again: directories and databases tell what was archived",
        ) from refused
    log.get().error(
        f"The journal is damaged: {error}; kept as {kept.name} and made anew: what is archived is looked up and proven "
        "again; runs that were waived or quarantined are tried again"
    )
