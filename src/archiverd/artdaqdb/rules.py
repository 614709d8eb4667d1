"""What holds for runs in every artdaqDB, whichever backend: names, versions, and what an insert or update has to do.

A run is archived when its configuration ``<run>/<name>`` is a version in SystemLayout (artdaqdb_format.md section E.2);
its updates are the versions ``<run>/<name>v1``, ``v2``, … A name may end in digits, and run 1001 is no prefix of 10010,
so versions are compared whole, with the configurations that are known.

The functions are pure: a backend reads what it holds, asks here what to do, and does it.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from archiverd import fhicl
from archiverd.artdaqdb.port import ArchivedRun, ExportedEntity
from archiverd.core.errors import ArtdaqDBError, Retry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from archiverd.artdaqdb.port import Entity

SYSTEM_LAYOUT = "SystemLayout"
"""The collection of schemas. Its versions say which runs are archived, so a run's document in it is stored last."""
SYSTEM_METADATA = "SystemMetadata"
"""The collection that describes the database; it holds no documents of runs (A.3)."""
RUN_HISTORY = "RunHistory"
"""The collection of all entities but the schema."""
SCHEMA_ENTITY = "schema"
"""The entity of SystemLayout that holds the text of schema.fcl."""
SCHEMA_FILE = "schema.fcl"
"""The name of its file, in the experiment's directories and in exports."""

VERSION, CONFIGURATION, ENTITY, RUN = "version", "configurations.name", "entities.name", "runs.name"
ALIAS, ASSIGNED = "aliases.active.name", "configurations.assigned"
"""The fields that documents are indexed and searched by (A.5, B.2, D.2)."""

LAST_UPDATE_IN_ORDER = 9
"""The last update the library counts right: it orders versions as texts, and takes ``v9`` for newer than ``v10``."""

Key: TypeAlias = tuple[str, str]
"""Collection and entity name."""

_RUN = re.compile(r"([1-9][0-9]{0,17})/.")
_UPDATES = re.compile(r"(?:v[0-9]{1,9})+")
_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_NAME = re.compile(r"[^\x00-\x1f\x7f/\ud800-\udfff]{1,1000}")


class InsertState(enum.Enum):
    """How what is archived relates to the run that is to be inserted."""

    NEW = "nothing of the run is there"
    HALF_STORED = "documents of the run are there and agree with it, but it does not count as archived"
    ARCHIVED = "the same run is archived"
    OTHER_NAME = "the run is archived under another configuration"
    OTHER_CONTENT = "the configuration is there with another entity, or another text of one"
    INCOMPLETE = "the run is archived without one of its entities"


@dataclass(frozen=True, slots=True)
class InsertDecision:
    """What an insert has to do: store ``missing``, or refuse because of ``conflict``."""

    state: InsertState
    configuration: str
    """The configuration that is there or is going to be, ``<run>/<name>``."""
    missing: tuple[Entity, ...] = ()
    conflict: str = ""
    """Why nothing may be stored, for an operator; empty if something may."""

    def to_store(self, run: int) -> tuple[Entity, ...]:
        """Return the entities to store, none if all are there.

        Raise ArtdaqDBError (``Retry.CONFLICT``) if something else is archived under the run's number.
        """
        if not self.conflict:
            return self.missing
        raise ArtdaqDBError(
            f"Configuration {self.configuration} is already archived.",
            retry=Retry.CONFLICT,
            remedy=f"{self.conflict}: a reused run number? nothing was changed; compare, then `archiverd waive {run} "
            "--reason …`",
            run=run,
            context={"difference": self.conflict},
        )


@dataclass(frozen=True, slots=True)
class UpdateDecision:
    """What an update has to do: store ``missing``, if any, under ``version``."""

    version: str
    missing: tuple[Entity, ...]


def has_other_name(found: ArchivedRun | None, full: str) -> TypeGuard[ArchivedRun]:
    """Return whether a run is archived, but not as the configuration ``full``: what ``full`` holds need not be read."""
    return found is not None and found.configuration != full


def decide_insert(
    found: ArchivedRun | None,
    full: str,
    held: Mapping[Key, bytes],
    entities: Sequence[Entity],
    *,
    updates: bool = False,
) -> InsertDecision:
    """Decide on the insert of ``entities`` as the configuration ``full``, ``<run>/<name>``.

    ``found`` is the run as it is archived, ``held`` the exported FHiCL of what ``full`` holds. ``updates``: for a
    backend that cannot distinguish versions, entities beyond the run's own are taken for those of its updates.

    Raise FhiclError for an entity that is not FHiCL.
    """
    if has_other_name(found, full):
        name = full.partition("/")[2]
        return InsertDecision(
            InsertState.OTHER_NAME, found.configuration, conflict=f"this record's configuration is {name}"
        )
    if updates and found is not None:
        own = {(entity.collection, entity.name) for entity in entities}
        held = {key: text for key, text in held.items() if key in own}
    if why := difference(held, entities):
        return InsertDecision(InsertState.OTHER_CONTENT, full, conflict=why)
    missing = missing_from(held, entities)
    if found is None:
        return InsertDecision(InsertState.HALF_STORED if held else InsertState.NEW, full, missing)
    if missing:
        return InsertDecision(
            InsertState.INCOMPLETE, full, conflict=f"it lacks what this record holds: {missing[0].name}"
        )
    return InsertDecision(InsertState.ARCHIVED, full)


def decide_update(
    full: str, number: int, newest: str, held: Mapping[Key, bytes], entities: Sequence[Entity], *, whole: bool = True
) -> UpdateDecision:
    """Decide on an update of the archived configuration ``full`` with ``entities``.

    ``number`` and ``newest`` are the newest update's and its version (0: there is none yet), ``held`` the exported
    FHiCL of what it holds. It is completed if it holds a part of ``entities``, nothing else, and is not ``whole``:
    some store of it may have been interrupted.

    Raise FhiclError for an entity that is not FHiCL.
    """
    if number and not difference(held, entities):
        missing = missing_from(held, entities)
        if not missing or not whole:
            return UpdateDecision(newest, missing)
    return UpdateDecision(f"{full}v{number + 1}", tuple(entities))


def missing_from(held: Mapping[Key, bytes], entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """Return those of ``entities`` that are not in ``held``."""
    return tuple(entity for entity in entities if (entity.collection, entity.name) not in held)


def difference(held: Mapping[Key, bytes], entities: Sequence[Entity]) -> str:
    """Return in what ``held`` is no part of ``entities``; empty if it is one.

    ``held`` is exported FHiCL, and compared with what artdaqDB would export. Raise FhiclError as `decide_insert`.
    """
    meant = {(entity.collection, entity.name): entity for entity in entities}
    for key, fcl in held.items():
        if key not in meant:
            return f"it holds what this record does not: {key[1]}"
        if fcl != fhicl.as_exported(meant[key].fcl, f"{key[1]}.fcl"):
            return f"its entity {key[1]} is another"
    return ""


def not_as_stored(held: Mapping[Key, bytes], entities: Sequence[Entity]) -> str:
    """Return in what ``held``, read back, is not what was stored as ``entities``; empty if all is as it was meant."""
    if missing := missing_from(held, entities):
        return f"it lacks {missing[0].name}"
    keys = [(entity.collection, entity.name) for entity in entities]
    return difference({key: held[key] for key in keys}, entities)


def layout_last(entities: Iterable[Entity]) -> tuple[list[Entity], list[Entity]]:
    """Return the entities of all other collections, and those of SystemLayout, which make the run count as archived."""
    before: list[Entity] = []
    last: list[Entity] = []
    for entity in entities:
        (last if entity.collection == SYSTEM_LAYOUT else before).append(entity)
    return before, last


def newest_entities(documents: Iterable[fhicl.Document], configuration: str) -> list[ExportedEntity]:
    """Return the newest version of each entity, ordered by collection and name; of equal versions the first."""
    newest: dict[Key, tuple[int, ExportedEntity]] = {}
    for document in documents:
        number = update_number(document.version, (configuration,))
        one = ExportedEntity(document.collection, document.entities[0], document.version, document.fcl)
        key = (one.collection, one.name)
        if key not in newest or number > newest[key][0]:
            newest[key] = (number, one)
    return [newest[key][1] for key in sorted(newest)]


def misplaced(document: fhicl.Document, collection: str, configuration: str, run: int) -> str:
    """Return why a document is not one entity of this collection, configuration and run; empty if it is."""
    if configuration not in document.configurations:
        return f"is not of configuration {configuration}"
    if len(document.entities) != 1 or document.collection not in ("", collection):
        return f"is not one entity of collection {collection}"
    if document.runs and str(run) not in document.runs:
        return f"is not of run {run}"
    return ""


def run_of(version: str) -> int | None:
    """Return the run that a version or configuration belongs to, None if it is no run's."""
    match = _RUN.match(version)
    return int(match[1]) if match else None


def archived(run: int, versions: Collection[str], assigned: Mapping[str, str]) -> ArchivedRun | None:
    """Return what SystemLayout says of a run, or None.

    ``versions`` are the run's versions there; ``assigned`` gives for each configuration when it was last assigned. Of
    several configurations the last assigned one is taken.
    """
    configurations = [version for version in versions if version in assigned]
    if not configurations:
        return None
    chosen = max(configurations, key=lambda one: assigned[one])
    updates = (update_number(version, configurations) for version in versions if version.startswith(chosen))
    return ArchivedRun(run, chosen, max(updates, default=0))


def update_number(version: str, configurations: Collection[str]) -> int:
    """Return how many updates led to ``version``: 0 for the first archiving, n for ``<configuration>vn``.

    conftool.py appends another ``v1`` each time if the name does not end in five digits (E.2): ``v1v1`` is the second.
    """
    if version in configurations:
        return 0
    for configuration in sorted(configurations, key=len, reverse=True):
        rest = version.removeprefix(configuration)
        if rest != version and _UPDATES.fullmatch(rest):
            return sum(map(int, rest[1:].split("v")))
    return 0


def check_names(run: int, configuration: str, entities: Sequence[Entity]) -> str:
    """Return ``<run>/<configuration>``. Raise ArtdaqDBError for names that a database cannot hold."""
    if not _NAME.fullmatch(configuration):
        raise ArtdaqDBError(f"{configuration!r} cannot be the name of a configuration", run=run)
    names = set()
    for entity in entities:
        if not _COLLECTION.fullmatch(entity.collection) or entity.collection == SYSTEM_METADATA:
            raise ArtdaqDBError(f"{entity.collection!r} cannot be the name of a collection", run=run)
        if not _NAME.fullmatch(entity.name):
            raise ArtdaqDBError(f"{entity.name!r} cannot be the name of an entity", run=run)
        if entity.name in names:
            raise ArtdaqDBError(
                f"Two files of configuration {run}/{configuration} would both become entity {entity.name}",
                remedy="make the rules of schema.fcl tell them apart; nothing was stored",
                run=run,
            )
        names.add(entity.name)
    return f"{run}/{configuration}"


def demand_archived(found: ArchivedRun | None, full: str, run: int) -> None:
    """Raise ArtdaqDBError unless a run that is to be updated is archived as the configuration ``full``."""
    if found is None or found.configuration != full:
        raise ArtdaqDBError(
            f"Configuration {full} not found for update",
            remedy=f"find out what removed it from artdaqDB; `archiverd why {run}` tells when it was imported",
            run=run,
        )


def no_run_to_export(run: int) -> ArtdaqDBError:
    """Return the error for an export of a run that is not archived."""
    return ArtdaqDBError(
        f"Run {run} is not in artdaqDB",
        remedy="it was there when it was imported: find out what removed it; nothing was uploaded",
        run=run,
    )
