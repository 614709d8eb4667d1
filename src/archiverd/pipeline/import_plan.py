"""The plan of an import: which file of a run record becomes which entity, and how artdaqDB's content compares with it.

Pure but for FHiCL conversion; nothing here reads a file or a database.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archiverd import fhicl
from archiverd.artdaqdb.port import Entity
from archiverd.artdaqdb.rules import RUN_HISTORY, SCHEMA_ENTITY, SYSTEM_LAYOUT
from archiverd.core.errors import ArtdaqDBError, FclPreperationError, FhiclError
from archiverd.journal.rows import FileFate
from archiverd.runrecord.converters.metadata import METADATA
from archiverd.runrecord.converters.registry import COME_WITH_END
from archiverd.runrecord.converters.run_history import RUN_HISTORY_UPDATE
from archiverd.runrecord.hashes import hashes_fcl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from archiverd.artdaqdb.port import ExportedEntity
    from archiverd.artdaqdb.schema import Schema
    from archiverd.runrecord.preparation import FclFile, PreparedRun
    from archiverd.runrecord.record import LeftOut

HASHES = "hashes"
HOLD_THE_START = (METADATA.name, RUN_HISTORY_UPDATE.name)
"""Entities with a run's start time, in archives of the older tool too (run_records.md section 5)."""
CHANGED_BY_THE_END = COME_WITH_END | {HASHES}
"""Entities that a run's end brings or changes (run_records.md section 2.3)."""

_KINDS: dict[type[FclPreperationError], str] = {FhiclError: "not FHiCL"}
_OTHER = "not archivable"

NEVER_CAME = "promised by the record itself; it never came"
"""Why a file is missing that other files of the record name."""

LEFT_OUT_BY_ANOTHER = "left out by the other program that archived this run"
"""Why a file is not in a run that was found in artdaqDB."""

GENERATED = "(generated)"
"""The source, in a run's files, of an entity that was made from no file of the record."""


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
    unreadable: tuple[LeftOut, ...] = ()
    """Files that would be archived and cannot be read now."""
    listing: str = ""
    """Digest of the listing that was read."""
    standing: tuple[FileFate, ...] = ()
    """Files that were archived earlier and of which nothing can be archived now: their entities stand."""
    missing: tuple[str, ...] = ()
    """Names of files that the record promises and that never came, or came empty."""


def plan_import(prepared: PreparedRun, schema: Schema, unmatched: Literal["archive", "report", "fail"]) -> Plan:
    """Return which file becomes which entity of which collection, every file accounted for (I7).

    Raise FclPreperationError if ``unmatched`` is ``fail`` and a file has no place in artdaqDB.
    """
    fates = [FileFate(one.name, "", one.reason) for one in (*prepared.left_out, *prepared.unreadable)]
    fates += [FileFate(name, "", NEVER_CAME) for name in prepared.missing if name not in prepared.contents]
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
        fates=tuple(_with_content(fate, prepared) for fate in fates),
        missing=prepared.missing,
        unreadable=tuple(file for file in prepared.unreadable if _has_place(file.name, schema, unmatched)),
    )


def _with_content(fate: FileFate, prepared: PreparedRun) -> FileFate:
    """Return a file's fate with what was read of it."""
    content = prepared.contents.get(fate.name)
    return fate if content is None else replace(fate, size=content.size, sha256=content.sha256)


def _has_place(name: str, schema: Schema, unmatched: str) -> bool:
    """Return whether a file of this name is archived if it can be read."""
    return unmatched != "report" or bool(schema.assign([f"{name.removesuffix('.txt').removesuffix('.fcl')}.fcl"])[0])


def with_standing(plan: Plan, earlier: Sequence[FileFate]) -> Plan:
    """Return a plan that leaves alone what was archived ``earlier`` of files of which nothing can be archived now.

    They are not in the record any more, though it may still promise them, or cannot be archived as they are.
    """
    archived = {fate.name for fate in plan.fates if fate.entity}
    entities = {one.name for one in (*plan.entities, *plan.update)}
    gone = [one for one in earlier if one.entity and one.name not in archived and one.entity not in entities]
    names = {fate.name for fate in gone}
    fates = tuple(fate for fate in plan.fates if fate.name not in names)
    missing = tuple(name for name in plan.missing if name not in names)
    return replace(plan, standing=tuple(gone), fates=fates, missing=missing)


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
    return not strange and all(one.name in CHANGED_BY_THE_END for one in differing(plan, held))


def ends_in(plan: Plan, held: Sequence[ExportedEntity]) -> bool:
    """Return whether artdaqDB's run has the end of ``plan``, if that has one."""
    return not plan.stopped or _names_time(plan.stopped, (METADATA.name, RUN_HISTORY_UPDATE.name), held)


def fates_of_found(plan: Plan, held: Sequence[ExportedEntity]) -> tuple[FileFate, ...]:
    """Return what became of the files of ``plan`` in a run that another program archived.

    Only a file whose entity artdaqDB gives back as we would have stored it is archived with the content that was read.
    """
    found = {one.name: one.fcl for one in held}
    meant = {one.name: one.fcl for one in (*plan.entities, *plan.update)}
    return tuple(_fate_of_found(fate, meant, found) for fate in plan.fates)


def _fate_of_found(fate: FileFate, meant: Mapping[str, bytes], found: Mapping[str, bytes]) -> FileFate:
    """Return what became of one file in a run that another program archived."""
    if not fate.entity:
        return fate
    if fate.entity not in found:
        return FileFate(fate.name, "", LEFT_OUT_BY_ANOTHER)
    if found[fate.entity] == fhicl.as_exported(meant[fate.entity], fate.entity):
        return fate
    return FileFate(fate.name, fate.entity, "archived by another program, in its own words")


def _names_time(time: str, entities: Sequence[str], held: Sequence[ExportedEntity]) -> bool:
    """Return whether one of these entities has ``time``, spelled as in a record."""
    quoted = f'"{time}"'.encode()
    return any(one.name in entities and quoted in one.fcl for one in held)


def differing(plan: Plan, held: Sequence[ExportedEntity]) -> tuple[Entity, ...]:
    """Return the entities of ``plan`` that artdaqDB does not hold, or holds with another content."""
    found = {(one.collection, one.name): one.fcl for one in held}
    return tuple(
        one
        for one in plan.entities
        if one.name != SCHEMA_ENTITY and found.get((one.collection, one.name)) != fhicl.as_exported(one.fcl, one.name)
    )


def prove(run: int, plan: Plan, held: Sequence[ExportedEntity], before: Sequence[ExportedEntity] = ()) -> None:
    """Compare artdaqDB's export with what was to be stored, entity by entity.

    What a run that was archived earlier had ``before`` it was updated may stand: another program has archived more of
    it than its record holds now. Raise ArtdaqDBError naming the entities that differ, are missing or should not be
    there.
    """
    meant = {(one.collection, one.name): one.fcl for one in (*plan.entities, *plan.update)}
    found = {(one.collection, one.name): one.fcl for one in held}
    wrong = {key for key, fcl in meant.items() if key not in found or found[key] != fhicl.as_exported(fcl, key[1])}
    standing = {fate.entity for fate in plan.standing}
    stood = {(one.collection, one.name): one.fcl for one in before}
    strange = (key for key in found.keys() - meant.keys() if key[1] not in standing)
    wrong |= {key for key in strange if stood.get(key) != found[key]}
    if wrong:
        names = ", ".join(sorted(f"{collection}/{name}" for collection, name in wrong))
        raise ArtdaqDBError(
            f"What artdaqDB gives back of run {run} is not what was stored: {names}",
            remedy=f"nothing was uploaded; see what else writes to artdaqDB, then `archiverd release {run}`",
            run=run,
        )


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
