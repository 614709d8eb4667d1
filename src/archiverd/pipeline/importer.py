"""The import stage: a run record → FHiCL → artdaqDB."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArtdaqDBError, Retry
from archiverd.core.machine import State
from archiverd.detached import run_detached
from archiverd.journal import transitions
from archiverd.pipeline.failure_policy import FailurePolicy, as_known_error
from archiverd.pipeline.import_plan import Plan, changed, lacks_its_end, plan_import, prove, same_run
from archiverd.runrecord.preparation import ConversionCache, prepare
from archiverd.runrecord.record import read_run_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Literal

    from archiverd.artdaqdb.port import ArtdaqDB
    from archiverd.artdaqdb.schema import Schema
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow

_log = log.get("Import")


def no_fault() -> None:
    """Inject no fault."""


@dataclass(frozen=True, slots=True)
class Importer:
    """Carries one run at a time through the import stage."""

    journal: Journal
    artdaqdb: ArtdaqDB
    policy: FailurePolicy
    schema: Schema
    records: Path
    converted: tuple[str, ...]
    unmatched: Literal["archive", "report", "fail"]
    cache: ConversionCache
    """Files converted before; they repeat exactly from run to run of one configuration."""
    inject_fault: Callable[[], None] = no_fault
    """Raises ArchiverError for a fault injected on purpose."""

    async def __call__(self, run: int) -> None:
        """Import ``run``; a failure becomes an event of the run, not an exception.

        Raise ArchiverError only if the journal cannot be written.
        """
        row = await self.journal.get(run)
        if row is None or row.state is not State.QUEUED:
            return
        (row,) = await self.journal.record(transitions.import_begins(run))
        try:
            if not row.superseded:
                self.inject_fault()
            plan = await run_detached(lambda: self.plan(run))
            ours = row.imported_at is not None or await self.journal.begun_before(run)
            note = await self._store(run, plan, ours=ours)
            await self._done(row, plan, note)
        except Exception as error:  # noqa: BLE001 - every failure of a run becomes an event of that run
            await self._fail(row, error)

    def plan(self, run: int) -> Plan:
        """Read the run's record and plan its import. Blocking, for a worker thread.

        Raise FclPreperationError if it cannot be converted, OSError if it cannot be read.
        """
        record = read_run_record(self.records / str(run), run)
        _log.debug(f"read: {self.records / str(run)}", run=run, files=len(record.files))
        return plan_import(prepare(record, self.converted, self.cache), self.schema, self.unmatched)

    async def _store(self, run: int, plan: Plan, *, ours: bool) -> str:
        """Store a run and prove that artdaqDB has it; return what was done, in words.

        A run that we archived before (``ours``: in a first phase, or as dead) is updated where its record differs now.
        So is one that only lacks its end: after the loss of a journal nobody knows that it was ours. A run that another
        program archived in another form is left as it is if its start time shows that it is the same run. A reused run
        number is refused.
        """
        update = plan.update
        configuration = plan.configuration
        try:
            stored = await self.artdaqdb.insert(run, configuration, plan.entities)
        except ArtdaqDBError as error:
            if error.retry is not Retry.CONFLICT:
                raise  # it may be stored all the same: the next attempt finds that out
            found = await self.artdaqdb.find(run)
            if found is None:
                raise
            held = await self.artdaqdb.export(run)
            if not same_run(plan, held):
                raise _reused(run, error) from error
            if not ours and not await asyncio.to_thread(lacks_its_end, plan, held):
                return f"found in artdaqDB as {found.configuration}, archived by another program and left as it is"
            stored, configuration = False, found.configuration.partition("/")[2]
            update = (*await asyncio.to_thread(changed, plan, held), *plan.update)
        version = await self.artdaqdb.update(run, configuration, update) if update else ""
        held = await self.artdaqdb.export(run)
        await asyncio.to_thread(prove, run, plan, held)
        how = "stored" if stored else "found as it should be" if update is plan.update else "brought up to date"
        return f"{len(plan.entities)} entities {how}" + (f", updated to {version}" if version else "")

    async def _done(self, row: RunRow, plan: Plan, note: str) -> None:
        """Record the import and log the files that were left out."""
        left_out = [fate for fate in plan.fates if not fate.entity]
        now = self.policy.clock()
        done = (
            transitions.update_done(row.run, note, configuration=plan.configuration, imported_at=now, files=plan.fates)
            if row.superseded
            else transitions.import_done(
                row.run,
                note,
                configuration=plan.configuration,
                imported_at=now,
                stopped=bool(plan.update),
                files=plan.fates,
            )
        )
        await self.journal.record(done)
        _log.info(f"imported as {row.run}/{plan.configuration}: {note}", run=row.run)
        for fate in left_out:
            _log.warning(f"left out: {fate.name}: {fate.reason}", run=row.run)

    async def _fail(self, row: RunRow, error: Exception) -> None:
        """Record a failure and log it."""
        known = as_known_error(error, row.run, _log)
        await self.journal.record(self.policy.transition(row, known))
        log.failure(_log, known, row.run)


def _reused(run: int, error: ArtdaqDBError) -> ArtdaqDBError:
    """Return ``error`` as a conflict: artdaqDB has another run under this number."""
    return ArtdaqDBError(
        error.message,
        retry=Retry.CONFLICT,
        remedy=f"artdaqDB holds another run under this number; after it was moved away `archiverd release {run} "
        f"--override`, or `archiverd waive {run} --reason …`",
        run=run,
        context=error.context,
    )
