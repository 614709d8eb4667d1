"""Examines one key: whether what is wrong is wrong with this key alone (ucondb_protocol.md sections 5, 8 and 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.core.errors import Blame, UconDBError
from archiverd.ucondb.errors import reading_back
from archiverd.ucondb.http import BrokenExchangeError
from archiverd.ucondb.lookup import look_up
from archiverd.ucondb.port import Examination, Finding
from archiverd.ucondb.readback import receive
from archiverd.ucondb.server_info import check_server

if TYPE_CHECKING:
    from archiverd.ucondb.session import Session

_BUSY = (408, 429, 502, 503, 504)
"""Statuses of a server, or of a front end before it, that has no time now."""


async def examine(session: Session, key: str) -> Examination:
    """Read the blob under ``key`` back (see ``port.UconDB.examine``). Raise UconDBError."""
    purpose = reading_back(key)
    try:
        found = await look_up(session, key, purpose)
        if found is None:
            return Examination(Finding.ABSENT)
        received = await receive(session, key, found.data_size, purpose, keep=False)
    except UconDBError as error:
        finding = _blames_key(error)
        if finding is None:
            raise
        await check_server(session, purpose)
        return Examination(finding, error.message)
    if received.intact:
        return Examination(Finding.SOUND, "", received.summary)
    return Examination(Finding.UNSOUND, f"{purpose.text}: the bytes do not fit the checksum UconDB keeps of them")


def _blames_key(error: UconDBError) -> Finding | None:
    """Return what a failed request says of its key, provided that the server answers others; None if nothing.

    Nothing, if our request was refused or a cache answered.
    """
    if error.blame is Blame.LOGIN or "cache" in error.context:
        return None
    if isinstance(error.__cause__, BrokenExchangeError):
        return Finding.UNREADABLE if error.__cause__.cut else Finding.SILENT
    status = error.context.get("status")
    if status in _BUSY:
        return Finding.SILENT
    if not isinstance(status, int) or status >= 500:
        return Finding.UNREADABLE
    # A version that is listed and whose blob is not: the key was looked up before.
    return Finding.UNREADABLE if status == 404 and "Data not found" in error.message else None
