"""The import stage: a run record → FHiCL → artdaqDB."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd import fhicl, log
from archiverd.artdaqdb.port import Entity
from archiverd.artdaqdb.rules import RUN_HISTORY, SCHEMA_ENTITY, SYSTEM_LAYOUT
from archiverd.core.errors import ArtdaqDBError, FclPreperationError, FhiclError, Retry
from archiverd.core.machine import State
from archiverd.detached import run_detached
from archiverd.journal import transitions
from archiverd.journal.rows import FileFate
from archiverd.pipeline.failure_policy import FailurePolicy, as_known_error
from archiverd.runrecord.converters.metadata import METADATA
from archiverd.runrecord.converters.registry import COME_WITH_END
from archiverd.runrecord.converters.run_history import RUN_HISTORY_UPDATE
from archiverd.runrecord.hashes import hashes_fcl
from archiverd.runrecord.preparation import ConversionCache, FclFile, PreparedRun, prepare
from archiverd.runrecord.record import read_run_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Literal

    from archiverd.artdaqdb.port import ArtdaqDB, ExportedEntity
    from archiverd.artdaqdb.schema import Schema
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow

_log = log.get("Import")

HASHES = "hashes"
HOLD_THE_START = (METADATA.name, RUN_HISTORY_UPDATE.name)
"""Entities with a run's start time, in archives of the older tool too (run_records.md section 5)."""
CHANGED_BY_THE_END = COME_WITH_END | {HASHES}
"""Entities that a run's end brings or changes (run_records.md section 2.3)."""

_KINDS: dict[type[FclPreperationError], str] = {FhiclError: "not FHiCL"}
_OTHER = "not archivable"

GENERATED = "(generated)"
"""The source, in a run's files, of an entity that was made from no file of the record."""


def no_fault() -> None:
    """Inject no fault."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The entities that a run record becomes."""

    configuration: str
    entities: tuple[Entity, ...]
    update: tuple[Entity, ...]
    """Entities of the first update, stored once the run has stopped; empty before."""
    started: str | None
    """When the run started, in its record's words; None if it has no start line."""
    stopped: str | None
    """When it stopped, in its record's words; None if it has no stop line."""
    fates: tuple[FileFate, ...]
    """The fate of every file of the record (I7)."""


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


def plan_import(prepared: PreparedRun, schema: Schema, unmatched: Literal["archive", "report", "fail"]) -> Plan:
    """Return which file becomes which entity of which collection, every file accounted for (I7).

    Raise FclPreperationError if ``unmatched`` is ``fail`` and a file has no place in artdaqDB.
    """
    fates = [FileFate(one.name, "", one.reason) for one in prepared.left_out]
    for rejected in prepared.rejected:
        if unmatched == "fail":
            rejected.error.remedy = rejected.error.remedy or (
                f'mend {rejected.name}, then `archiverd release` the run; or set artdaq_db.unmatched = "archive", '
                "which leaves such files out by name"
            )
            raise rejected.error
        fates.append(FileFate(rejected.name, "", f"{_KINDS.get(type(rejected.error), _OTHER)}: {rejected.error}"))
    entities: list[Entity] = []
    assigned, without_rule = schema.assign([file.name for file in prepared.files])
    texts = {file.name: file for file in prepared.files}
    for place in assigned:
        file = texts[place.file]
        entities.append(Entity(place.collection, place.entity, file.fcl))
        fates.append(FileFate(file.source or GENERATED, place.entity, file.note))
    fates.extend(_without_rule(texts[name], unmatched, entities) for name in without_rule)
    hashes = hashes_fcl([(entity.name, entity.fcl) for entity in entities])
    schema_entity = Entity(SYSTEM_LAYOUT, SCHEMA_ENTITY, schema.text)
    return Plan(
        configuration=prepared.configuration,
        entities=(*entities, Entity(RUN_HISTORY, HASHES, hashes), schema_entity),
        update=_update(prepared.update, schema_entity),
        started=prepared.started,
        stopped=prepared.stopped,
        fates=tuple(fates),
    )


def same_run(plan: Plan, held: Sequence[ExportedEntity]) -> bool:
    """Return whether artdaqDB's run of this number is this run: it has the same start time.

    No two runs start at one time, so a reused run number has another.
    """
    if not plan.started:
        return False
    return _names_time(plan.started, HOLD_THE_START, held)


def lacks_its_end(plan: Plan, held: Sequence[ExportedEntity]) -> bool:
    """Return whether artdaqDB holds a stopped run as we archived it while it was running, or as dead.

    Then none of its entities has a stop time, and it differs from ``plan`` only in what a run's end adds.
    """
    if not plan.update or not plan.stopped:
        return False
    if any(one.name == RUN_HISTORY_UPDATE.name for one in held) or _names_time(plan.stopped, (METADATA.name,), held):
        return False
    meant = {(one.collection, one.name) for one in plan.entities}
    strange = any((one.collection, one.name) not in meant for one in held)
    return not strange and all(one.name in CHANGED_BY_THE_END for one in changed(plan, held))


def _names_time(time: str, entities: Sequence[str], held: Sequence[ExportedEntity]) -> bool:
    """Return whether one of these entities has ``time``, spelled as in a record."""
    quoted = f'"{time}"'.encode()
    return any(one.name in entities and quoted in one.fcl for one in held)


def changed(plan: Plan, held: Sequence[ExportedEntity]) -> tuple[Entity, ...]:
    """Return the entities of ``plan`` that artdaqDB does not hold, or holds with another content."""
    found = {(one.collection, one.name): one.fcl for one in held}
    return tuple(
        one
        for one in plan.entities
        if one.name != SCHEMA_ENTITY and found.get((one.collection, one.name)) != _as_exported(one.fcl, one.name)
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


def prove(run: int, plan: Plan, held: Sequence[ExportedEntity]) -> None:
    """Compare artdaqDB's export with what was to be stored, entity by entity.

    Raise ArtdaqDBError naming the entities that differ, are missing or should not be there.
    """
    meant = {(one.collection, one.name): one.fcl for one in (*plan.entities, *plan.update)}
    found = {(one.collection, one.name): one.fcl for one in held}
    wrong = {key for key, fcl in meant.items() if key not in found or found[key] != _as_exported(fcl, key[1])}
    wrong |= found.keys() - meant.keys()
    if wrong:
        names = ", ".join(sorted(f"{collection}/{name}" for collection, name in wrong))
        raise ArtdaqDBError(
            f"What artdaqDB gives back of run {run} is not what was stored: {names}",
            remedy=f"nothing was uploaded; see what else writes to artdaqDB, then `archiverd release {run}`",
            run=run,
        )


def _as_exported(fcl: bytes, name: str) -> bytes:
    """Return a FHiCL text as artdaqDB exports it: its values written anew."""
    return fhicl.from_json(fhicl.to_json(fcl, name, ""), name)


def _without_rule(file: FclFile, unmatched: str, entities: list[Entity]) -> FileFate:
    """Return the fate of a file that no rule of schema.fcl takes; where it is archived, add its entity."""
    reason = "no rule of schema.fcl takes it"
    if unmatched == "fail":
        raise FclPreperationError(
            f"{file.source}: {reason}",
            remedy='add a rule for it to schema.fcl, or set artdaq_db.unmatched = "archive"',
            context={"file": file.source},
        )
    if unmatched == "report":
        return FileFate(file.source, "", reason)
    entity = file.name.removesuffix(".fcl")
    entities.append(Entity(RUN_HISTORY, entity, file.fcl))
    return FileFate(file.source, entity, "; ".join(filter(None, (f"{reason}, stored under its own name", file.note))))


def _update(files: Sequence[FclFile], schema_entity: Entity) -> tuple[Entity, ...]:
    """Return the entities of an update: RunHistory2, and the schema as the library does."""
    if not files:
        return ()
    return (*(Entity(RUN_HISTORY, file.name.removesuffix(".fcl"), file.fcl) for file in files), schema_entity)
