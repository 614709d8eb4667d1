"""The first phase of a run (``ucon_db.pending_folder_name``): it is archived while it is running.

File transfer need not wait for the end of a run: as soon as it has started its record is imported and its blob uploaded
to the pending folder. The run stays open; when it is final artdaqDB is updated and the full blob goes to the folder
proper. Every step is in the journal before it is done (I4), so a restart sends the same bytes again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, ArtdaqDBError, Retry, UconDBError
from archiverd.core.machine import State
from archiverd.core.priority import wait_before
from archiverd.journal import first_phase as steps
from archiverd.pipeline.failure_policy import FailurePolicy, as_known_error
from archiverd.pipeline.gate import Gate, GateShutError
from archiverd.pipeline.import_plan import same_run
from archiverd.pipeline.migrator import pack
from archiverd.runrecord import blob as blobs
from archiverd.ucondb.port import StoreOutcome

if TYPE_CHECKING:
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import FirstPhaseRow
    from archiverd.pipeline.importer import Importer
    from archiverd.pipeline.migrator import Packed
    from archiverd.ucondb.port import UconDB

_log = log.get("Migration")


@dataclass(frozen=True, slots=True)
class FirstPhase:
    """Carries one open run at a time through its first phase."""

    journal: Journal
    importer: Importer
    pending: UconDB
    """The pending folder."""
    gate: Gate
    policy: FailurePolicy

    async def __call__(self, run: int) -> None:
        """Archive ``run`` as it is now; a failure is noted and tried again, unless the run ends before.

        Raise ArchiverError only if the journal cannot be written.
        """
        row = await self.journal.first_phase(run)
        try:
            await self._import(run)
            packed = await self._pack(row)
            async with self.gate.slot():
                await self._upload(row, packed)
        except GateShutError:
            due = self.policy.clock() + self.policy.schedule.delay
            await self.journal.note_first_phase(steps.postponed(run, due=due))
        except Exception as error:  # noqa: BLE001 - every failure becomes a note of that run
            await self._fail(row, as_known_error(error, run, _log))

    async def _import(self, run: int) -> None:
        """Store the record as it is now. Raise ArtdaqDBError if artdaqDB has another run under the number."""
        plan = await self.importer.plan_running(run)
        artdaqdb = self.importer.artdaqdb
        await self.journal.note_first_phase(steps.import_begins(run))
        try:
            await artdaqdb.insert(run, plan.configuration, plan.entities)
        except ArtdaqDBError:
            if await artdaqdb.find(run) is None or not same_run(plan, await artdaqdb.export(run)):
                raise

    async def _pack(self, row: FirstPhaseRow) -> Packed:
        """Pack what artdaqDB holds of the run, with the ``Packed on`` text of an earlier attempt if there was one."""
        text = row.packed_on or blobs.packed_on_text(datetime.fromtimestamp(self.policy.clock(), UTC))
        exported = await self.importer.artdaqdb.export(row.run)
        return await asyncio.to_thread(pack, row.run, text, exported)

    async def _upload(self, row: FirstPhaseRow, packed: Packed) -> None:
        """Store and prove the blob in the pending folder, unless the run has ended meanwhile."""
        now = await self.journal.get(row.run)
        if now is None or now.state is not State.OPEN:
            return
        key, identity = str(row.run), packed.identity
        intent = steps.upload_begins(
            row.run, packed_on=packed.packed_on, blob_sha256=identity.sha256, puts=row.puts + 1
        )
        await self.journal.note_first_phase(intent)
        try:
            outcome = await self.pending.store(key, packed.blob, tag=key, look_first=row.puts > 0)
        except UconDBError as error:
            self.gate.failed(error)
            raise
        if outcome is StoreOutcome.CONFLICT:
            raise UconDBError(
                f"the pending folder holds other content under key {key}",
                retry=Retry.CONFLICT,
                remedy="nothing was overwritten; the run goes to the folder proper when it has ended",
                run=row.run,
            )
        await self.journal.note_first_phase(steps.proven(row.run, length=identity.length))
        _log.info("first phase proven in the pending folder", run=row.run, bytes=identity.length)

    async def _fail(self, row: FirstPhaseRow, error: ArchiverError) -> None:
        """Note a failure, and give the phase up if waiting cannot repair it: the run's end archives it anyway."""
        attempts = row.attempts + 1
        text = f"{error.name}: {error}"
        if error.retry in (Retry.TRANSIENT, Retry.UNKNOWN):
            due = self.policy.clock() + wait_before(attempts, self.policy.schedule, self.policy.uniform)
            step = steps.failed_for_now(row.run, error=text, attempts=attempts, due=due)
        else:
            step = steps.given_up(row.run, error=text, attempts=attempts)
        await self.journal.note_first_phase(step)
        log.failure(_log, error, row.run)
