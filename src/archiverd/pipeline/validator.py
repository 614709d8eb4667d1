"""Validation of blobs: of each that is proven, and later of those that were proven without it (I8)."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd import log
from archiverd.core.errors import ArchiverError, Retry, UconDBError
from archiverd.core.runset import LAST_RUN
from archiverd.runrecord.validation import validate

if TYPE_CHECKING:
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow
    from archiverd.pipeline.gate import Gate
    from archiverd.process.shutdown import Shutdown
    from archiverd.runrecord.validation import BlobValidation
    from archiverd.ucondb.port import UconDB

_log = log.get("Validation")

PAUSE_SECONDS: Final = 10.0
"""Seconds between two blobs that a daemon reads back to validate them."""
AGAIN_SECONDS: Final = 5.0
"""Seconds before a look that was cut short is begun again."""
ROUND_SECONDS: Final = 600.0
"""Seconds between two looks for blobs that were not validated."""


def report_validation(found: BlobValidation, run: int) -> str:
    """Log what is wrong with a run's blob; return that as one text, empty if nothing is."""
    for problem in found.problems:
        _log.error(problem, run=run)
    for warning in found.warnings:
        _log.warning(warning, run=run)
    return "; ".join((*found.problems, *found.warnings))


@dataclass(frozen=True, slots=True)
class Validator:
    """Makes up for validations that were not done when runs were proven."""

    journal: Journal
    ucondb: UconDB
    gate: Gate
    required: tuple[str, ...]
    """Keys that metadata.fcl must have."""

    async def watch(self, shutdown: Shutdown) -> None:
        """Look for blobs that were not validated, again and again, until a drain.

        Raise ArchiverError if the journal is damaged.
        """
        while not shutdown.asked:
            done = False
            try:
                done = await self.make_up(shutdown, pause=PAUSE_SECONDS)
            except ArchiverError as error:
                if error.retry is not Retry.TRANSIENT:
                    raise
                log.failure(_log, error)
            await shutdown.rest(ROUND_SECONDS if done else AGAIN_SECONDS)

    async def make_up(self, shutdown: Shutdown, *, pause: float = 0.0) -> bool:
        """Validate every verified run that was not, the newest first; return whether each had its turn.

        A drain, and UconDB that is away, cut it short.
        """
        below = LAST_RUN
        while not shutdown.asked and not self.gate.shut:
            row = await self.journal.next_unvalidated(below)
            if row is None:
                return True
            below = row.run
            try:
                await self._validate(row)
            except UconDBError as error:
                log.failure(_log, error, row.run)
            if pause:
                await shutdown.rest(pause)
        return False

    async def _validate(self, row: RunRow) -> None:
        """Read a run's blob back and validate it. Raise UconDBError."""
        blob = await self.ucondb.read(str(row.run))
        if await asyncio.to_thread(_sha256, blob) != row.blob_sha256:
            _log.error(
                "not validated: UconDB gives other bytes than were proven (`archiverd reconcile --deep`)", run=row.run
            )
            return
        found = await asyncio.to_thread(validate, blob, self.required)
        await self.journal.note_validated(row.run, report_validation(found, row.run))


def _sha256(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
