"""SQLite's errors: which are the file's or the machine's, in an operator's words, and which are mistakes of ours."""

from __future__ import annotations

import errno
import sqlite3

from archiverd.core.errors import ArchiverError, Retry

_OUTSIDE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_SCHEMA,
    }
)
"""Primary result codes that the file, its disk, the machine or another process is to blame for."""


def is_mistake(error: sqlite3.Error) -> bool:
    """Return whether ``error`` is a mistake in the program: no such column, a syntax error, a constraint, misuse."""
    code = _code(error)
    if code is None:  # the one OperationalError of Python's own: the file has text that is not UTF-8
        return not isinstance(error, sqlite3.OperationalError)
    return code not in _OUTSIDE


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether ``error`` means that the file is no sound database."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_denied(error: sqlite3.Error) -> bool:
    """Return whether ``error`` means that the file, or one of SQLite's files beside it, may not be opened."""
    moved = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_DBMOVED
    return not moved and _code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY)


def _code(error: sqlite3.Error) -> int | None:
    """Return SQLite's primary result code; None where Python made the error itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def journal_error(error: sqlite3.Error) -> ArchiverError:
    """Return the error for operators that says what ``error``, which is no mistake of ours, means."""
    if _code(error) == sqlite3.SQLITE_FULL:
        text = f"OSError: [Errno {errno.ENOSPC}] No space left on device"
        remedy = "free space on the file system of app.work_dir; nothing is lost, work goes on by itself"
        return ArchiverError(f"Cannot write the journal: {text}", retry=Retry.TRANSIENT, remedy=remedy)
    if is_damage(error):
        remedy = "start archiverd again: it sets the file aside, and finds finished runs in artdaqDB and UconDB"
        return ArchiverError(f"The journal is damaged: {error}", remedy=remedy)
    if is_denied(error):
        remedy = "give the files of app.work_dir to the user archiverd runs as: `archiverd check` names the command"
        return ArchiverError(f"Cannot use the journal: {error}", retry=Retry.TRANSIENT, remedy=remedy)
    remedy = "check app.work_dir: permissions, disk, and that no other program has the journal open"
    return ArchiverError(f"Cannot use the journal: {error}", retry=Retry.TRANSIENT, remedy=remedy)
