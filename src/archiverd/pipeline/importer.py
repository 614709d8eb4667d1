"""The import stage: a run record → FHiCL → artdaqDB."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, ArtdaqDBError, Retry
from archiverd.core.machine import State
from archiverd.core.wording import pluralise
from archiverd.detached import run_detached
from archiverd.journal import transitions
from archiverd.journal.transitions import ReadRecord
from archiverd.pipeline.failure_policy import FailurePolicy, as_known_error
from archiverd.pipeline.import_plan import (
    LEFT_OUT_BY_ANOTHER,
    Plan,
    differing,
    ends_in,
    fates_of_found,
    lacks_its_end,
    plan_import,
    prove,
    same_run,
    with_standing,
)
from archiverd.process import mounts
from archiverd.runrecord.completeness import Completeness, CompletionWaits, Stillness, judge
from archiverd.runrecord.look import Look, compare
from archiverd.runrecord.preparation import ConversionCache, prepare
from archiverd.runrecord.record import RecordChangedError, changed, read_run_record
from archiverd.runrecord.snapshot import RecordSnapshot, take_snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path
    from typing import Literal

    from archiverd.artdaqdb.port import ArtdaqDB, ExportedEntity
    from archiverd.artdaqdb.schema import Schema
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import FileFate, RunRow
    from archiverd.runrecord.record import LeftOut, RunRecord

_log = log.get("Import")

_MARGIN = 0.01
"""Seconds added to the wait between two looks: a timer may be early by the resolution of its clock."""
_NAMED = 20
"""Most file names in an error."""


def no_fault() -> None:
    """Inject no fault."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What an import came to: in words, with the fate of every file."""

    note: str
    fates: tuple[FileFate, ...]
    no_end: bool = False
    """Another program archived the run without its end, and that stays so."""


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
    waits: CompletionWaits
    """How long a record must stand still, and how long what it lacks is waited for."""
    rest: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits some seconds."""
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
            plan = await self._plan_ended(row)
            ours = row.imported_at is not None or await self.journal.begun_before(run)
            stored = await self._store(run, plan, ours=ours, again=row.imported_at is not None)
            await self._done(row, plan, stored)
        except Exception as error:  # noqa: BLE001 - every failure of a run becomes an event of that run
            await self._fail(row, error)

    async def _plan_ended(self, row: RunRow) -> Plan:
        """Return the plan for the record of a run that has ended.

        Raise RecordChangedError if it is not the record that was judged so, or is not final any more; ArchiverError if
        a file that would be archived cannot be read.
        """
        record = await run_detached(lambda: self._read(row.run))
        if record.listing != row.listing:
            await self._judge_again(row, record.listing)
        plan = await run_detached(lambda: self._plan(record, without=row.without))
        known = row.start_line or (row.listing and row.imported_at is None)
        if known and (plan.started or "") != row.start_line:
            raise changed(row.run, f"it was started {plan.started or 'never'}, and it was {row.start_line or 'never'}")
        if plan.unreadable:
            raise self._unreadable(row, plan.unreadable)
        return plan if row.imported_at is None else with_standing(plan, await self.journal.files(row.run))

    async def plan_running(self, run: int) -> Plan:
        """Return the plan for the record of a run as it is now. Raise ArchiverError as ``_plan_ended`` does."""
        plan = await run_detached(lambda: self._plan(self._read(run)))
        if plan.unreadable:
            raise unreadable(run, plan.unreadable, Retry.TRANSIENT)
        return plan

    def _read(self, run: int) -> RunRecord:
        """Read the run's record. Blocking, for a worker thread. Raise ArchiverError."""
        directory = self.records / str(run)
        record = read_run_record(directory, run, network=mounts.is_network(directory))
        _log.debug(f"read: {directory}", run=run, files=len(record.files))
        return record

    def _plan(self, record: RunRecord, without: Sequence[str] = ()) -> Plan:
        """Plan the import of a record. CPU work, for a worker thread. Raise FclPreperationError."""
        promised = self.waits.promised
        prepared = prepare(record, self.converted, self.cache, without=without, promised=promised)
        return replace(plan_import(prepared, self.schema, self.unmatched), listing=record.listing)

    async def _judge_again(self, row: RunRow, listing: str) -> None:
        """Look at a record twice that changed since it was judged: return if it has still ended, as it was read.

        Raise RecordChangedError if not.
        """
        directory = self.records / str(row.run)
        first = await self._look(directory, None)
        await self.rest(self.waits.settle + _MARGIN)
        second = await self._look(directory, first)
        snapshot, look = second
        age = max(0.0, self.policy.clock() - snapshot.changed)
        still = Stillness(look.at - look.copied_since, look.at - look.appended_since, age)
        verdict = judge(snapshot, still, self.waits, later_started=row.dead)
        if snapshot.digest != listing or verdict not in (Completeness.FINAL, Completeness.DEAD):
            raise changed(row.run, "it is not the one that had ended")

    async def _look(self, directory: Path, before: tuple[RecordSnapshot, Look] | None) -> tuple[RecordSnapshot, Look]:
        """Look at a record, after the look ``before`` if there was one."""
        snapshot = await run_detached(lambda: take_snapshot(directory, network=mounts.is_network(directory)))
        now = asyncio.get_running_loop().time()
        return snapshot, compare(snapshot, None if before is None else before[1], wall=self.policy.clock(), now=now)

    def _unreadable(self, row: RunRow, files: Sequence[LeftOut]) -> ArchiverError:
        """Return the error for files that cannot be read: it passes until they were waited for long enough."""
        waited = self.policy.clock() - (row.ended_at if row.ended_at is not None else row.seen_at)
        return unreadable(row.run, files, Retry.TRANSIENT if waited < self.waits.final_wait else Retry.PERMANENT)

    async def _store(self, run: int, plan: Plan, *, ours: bool, again: bool = False) -> Stored:
        """Store a run and prove that artdaqDB has it; return what was done.

        A run that we archived before (``ours``: in a first phase, or as dead) is updated where its record differs now.
        So is one that only lacks its end: after the loss of a journal nobody knows that it was ours. A run that another
        program archived in another form is left as it is if its start time shows that it is the same run. A reused run
        number is refused. Of a run that was archived before (``again``) stands what artdaqDB has beside its record.
        """
        before: Sequence[ExportedEntity] = ()
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
                return await asyncio.to_thread(_left_as_found, found.configuration, plan, held)
            before = held if again else ()
            stored, configuration = False, found.configuration.partition("/")[2]
            update = (*await asyncio.to_thread(differing, plan, held), *plan.update)
        version = await self.artdaqdb.update(run, configuration, update) if update else ""
        held = await self.artdaqdb.export(run)
        await asyncio.to_thread(prove, run, plan, held, before)
        how = "stored" if stored else "found as it should be" if update is plan.update else "brought up to date"
        note = f"{len(plan.entities)} entities {how}" + (f", updated to {version}" if version else "")
        return Stored(note, plan.fates)

    async def _done(self, row: RunRow, plan: Plan, stored: Stored) -> None:
        """Record the import and log the files that were left out."""
        note, fates = stored.note, stored.fates
        left_out = [fate for fate in fates if not fate.entity]
        now = self.policy.clock()
        removed = tuple(sorted({fate.name for fate in plan.standing}))
        read = ReadRecord((*fates, *plan.standing), plan.listing, removed, self.journal.here.artdaqdb)
        done = (
            transitions.update_done(
                row.run,
                note,
                configuration=plan.configuration,
                imported_at=now,
                incomplete=row.incomplete and bool(plan.missing),
                read=read,
            )
            if row.superseded
            else transitions.import_done(
                row.run,
                note,
                configuration=plan.configuration,
                imported_at=now,
                stopped=bool(plan.update),
                incomplete=bool(plan.missing),
                no_end=stored.no_end,
                read=read,
            )
        )
        await self.journal.record(done)
        _log.info(f"imported as {row.run}/{plan.configuration}: {note}", run=row.run)
        for fate in left_out:
            _log.warning(f"left out: {fate.name}: {fate.reason}", run=row.run)

    async def _fail(self, row: RunRow, error: Exception) -> None:
        """Record a failure and log it; a record that changed is judged anew, unless it was archived before."""
        known = as_known_error(error, row.run, _log)
        if isinstance(known, RecordChangedError) and row.imported_at is None:
            await self.journal.record(transitions.unsettled(row.run, str(known)))
            _log.warning(f"{known} ({known.remedy})", run=row.run)
            return
        await self.journal.record(self.policy.transition(row, known))
        log.failure(_log, known, row.run)


def _left_as_found(version: str, plan: Plan, held: Sequence[ExportedEntity]) -> Stored:
    """Return what is so of a run that another program archived, which is left as it is."""
    fates = fates_of_found(plan, held)
    missing = sum(fate.reason == LEFT_OUT_BY_ANOTHER for fate in fates)
    no_end = not ends_in(plan, held)
    note = f"found in artdaqDB as {version}, archived by another program and left as it is"
    note += f"; {pluralise(missing, 'file')} of its record not in it" if missing else ""
    return Stored(note + ("; it has no stop time" if no_end else ""), fates, no_end)


def unreadable(run: int, files: Sequence[LeftOut], retry: Retry) -> ArchiverError:
    """Return the error for files of a record that would be archived and cannot be read."""
    names = ", ".join(f"{file.name} ({file.reason.removeprefix('unreadable: ')})" for file in files[:_NAMED])
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    again = "it is tried again by itself" if retry is Retry.TRANSIENT else f"then `archiverd release {run}`"
    return ArchiverError(
        f"Files of run {run} cannot be read: {names}{more}",
        retry=retry,
        remedy=f"let the user archiverd runs as read them; {again}; "
        f"`archiverd release {run} --without FILE` archives the run without a file",
        run=run,
        context={"unreadable": [file.name for file in files]},
    )


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
