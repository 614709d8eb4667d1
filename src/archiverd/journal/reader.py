"""Reading the journal from another process, while a daemon has it open or not."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError
from archiverd.journal.errors import is_mistake, journal_error
from archiverd.journal.schema import VERSION, connect, refuse_foreign, select_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def is_there(path: Path) -> bool:
    """Return whether there is a journal at ``path``; one without tables yet is not there.

    Raise ArchiverError if there is one and it cannot be read.
    """
    with reading_if_there(path) as connection:
        return connection is not None


def no_journal(path: Path) -> ArchiverError:
    """Return the error for a journal that is not there yet."""
    return ArchiverError(
        f"There is no journal at {path} yet",
        remedy="it is made by the first `archiverd run` or `archiverd once`; check app.work_dir",
    )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the journal at ``path`` read-only.

    Raise ArchiverError if there is none yet or it cannot be read.
    """
    with reading_if_there(path) as connection:
        if connection is None:
            raise no_journal(path)
        yield connection


@contextlib.contextmanager
def reading_if_there(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open the journal at ``path`` read-only; None if there is none yet, as in a new installation.

    Raise ArchiverError if there is one and it cannot be read. A mistake in a query stays an sqlite3.Error, unless the
    journal has another schema version than this program's.
    """
    version = VERSION
    try:
        if not path.exists():
            yield None
            return
        with contextlib.closing(connect(str(path), read_only=True)) as connection:
            connection.execute("BEGIN")  # version and tables of one moment: it may be made just now
            version = select_version(connection)
            refuse_foreign(connection, version)
            connection.execute("COMMIT")
            yield connection if version else None
    except sqlite3.Error as error:
        if not is_mistake(error):
            raise journal_error(error) from error
        if version != VERSION:
            raise _other_version(version) from error
        raise


def _other_version(version: int) -> ArchiverError:
    """Return the error for a journal that another version of the program keeps."""
    return ArchiverError(
        f"The journal has schema version {version}; this archiverd reads version {VERSION}",
        remedy="restart the daemon, so that it and this command are of one version",
    )
