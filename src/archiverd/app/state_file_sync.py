"""Keeping state files and failure logs in step with the journal while something runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.audit.recovery import adopt_archived
from archiverd.core.errors import ArchiverError, Retry

if TYPE_CHECKING:
    from archiverd.app.wiring import Parts

_log = log.get()

LOOK_SECONDS = 1.0
"""How often the files are compared with the journal, and looked at for an operator's edits."""


async def begin(parts: Parts) -> None:
    """Take in what stood in files and databases before this start; after the first scan, before the stages.

    To a new journal artdaqDB tells of runs whose directories are gone: the one before may have been lost. A start that
    is cut short before that leaves it to the next. Raise ArchiverError.
    """
    if not await parts.journal.has_taken_over():
        try:
            await parts.state_files.take_over()
        except OSError as error:
            _say(error)
        await adopt_archived(parts.journal, parts.artdaqdb)
        await parts.journal.note_taken_over()
    await _balance(parts)


async def keep_state_files(parts: Parts) -> None:
    """Keep the books until cancelled. Trouble that passes is said once, and tried again.

    Raise ArchiverError when the journal is damaged: only a new start mends that.
    """
    troubled = False
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        troubled = not await _balance(parts, quiet=troubled)


async def finish(parts: Parts) -> None:
    """Write the files a last time."""
    await _balance(parts)


async def _balance(parts: Parts, *, quiet: bool = False) -> bool:
    """Balance the books once; tell whether that could be done."""
    try:
        await parts.state_files.balance()
    except (ArchiverError, OSError) as error:
        if isinstance(error, ArchiverError) and error.retry is not Retry.TRANSIENT:
            raise
        if not quiet:
            _say(error)
        return False
    return True


def _say(error: ArchiverError | OSError) -> None:
    """Log why the files could not be kept; the journal has it all, so nothing is lost."""
    if isinstance(error, ArchiverError):
        log.failure(_log, error)
    else:
        _log.warning(f"cannot keep the state files and failure logs: {error} (the journal has it all; tried again)")
