"""Reading the journal from another process, while a daemon has it open or not."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError
from archiverd.journal.tables import connect
from archiverd.journal.writer import journal_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the journal at ``path`` read-only.

    Raise ArchiverError when there is none yet or it cannot be read.
    """
    if not path.exists():
        raise ArchiverError(
            f"There is no journal at {path} yet",
            remedy="it is made by the first `archiverd run` or `archiverd once`; check app.work_dir",
        )
    try:
        with contextlib.closing(connect(str(path), read_only=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise journal_error(error) from error
