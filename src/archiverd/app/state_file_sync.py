"""State files and failure logs in step with the journal, in a daemon and in a pass."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.audit.recovery import adopt_archived
from archiverd.core.errors import ArchiverError, Retry

if TYPE_CHECKING:
    from archiverd.app.wiring import Parts
    from archiverd.journal.state_files import StateFiles

_log = log.get()

SYNC_SECONDS = 1.0
"""Seconds between comparisons of the files with the journal, and checks for an operator's edits."""


async def begin(parts: Parts) -> frozenset[int]:
    """Take in what files and databases say that the journal does not know yet; return the runs noted from artdaqDB.

    To be called after a scan of the run-records directory and before the stages. A new journal learns from artdaqDB
    of runs whose directories are gone: the one before may have been lost. A start that is cut short before that leaves
    it to the next. Raise ArchiverError.
    """
    adopted: frozenset[int] = frozenset()
    if not await parts.journal.has_taken_over():
        try:
            await parts.state_files.take_over()
        except OSError as error:
            _say(error)
        adopted = await adopt_archived(parts.journal, parts.artdaqdb)
        await parts.journal.note_taken_over()
    await sync(parts.state_files)
    return adopted


async def keep_in_sync(state_files: StateFiles) -> None:
    """Keep the files in step with the journal until cancelled. Trouble that passes is logged once, and tried again.

    Raise ArchiverError when the journal is damaged: only a new start repairs that.
    """
    troubled = False
    while True:
        await asyncio.sleep(SYNC_SECONDS)
        troubled = not await sync(state_files, quiet=troubled)


async def sync(state_files: StateFiles, *, quiet: bool = False) -> bool:
    """Take in an operator's edits and write the files as the journal has it; return whether that could be done.

    Trouble that passes is logged, unless ``quiet``. Raise ArchiverError when the journal is damaged.
    """
    try:
        await state_files.synchronise()
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
