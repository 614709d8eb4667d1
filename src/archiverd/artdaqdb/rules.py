"""What holds for runs in every database: names, versions, and when a record is already archived.

A run is archived when its configuration ``<run>/<name>`` is a version in SystemLayout (artdaqdb_format.md section E.2);
its updates are the versions ``<run>/<name>v1``, ``v2``, … Names may end in digits, and run 1001 is no prefix of 10010:
versions are compared whole, with the configurations that are known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archiverd import fhicl
from archiverd.artdaqdb.documents import DocumentPlace, stored
from archiverd.artdaqdb.port import ArchivedRun
from archiverd.core.errors import ArtdaqDBError, Retry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from archiverd.artdaqdb.port import Entity

SYSTEM_LAYOUT = "SystemLayout"
"""The collection whose versions tell which runs are archived."""
SYSTEM_METADATA = "SystemMetadata"
"""The collection that describes the database; it holds no documents of runs (A.3)."""

_RUN = re.compile(r"([1-9][0-9]{0,17})/.")
_UPDATES = re.compile(r"(?:v[0-9]{1,9})+")
_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_NAME = re.compile(r"[^\x00-\x1f\x7f/\ud800-\udfff]{1,1000}")


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


def checked(run: int, configuration: str, entities: Sequence[Entity]) -> str:
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


def difference(held: Mapping[tuple[str, str], bytes], entities: Sequence[Entity]) -> str:
    """Return in what ``held`` is no part of ``entities``; empty if it is.

    ``held`` is exported FHiCL by collection and entity name, and compared with what artdaqDB would export.
    """
    meant = {(entity.collection, entity.name): entity for entity in entities}
    for key, fcl in held.items():
        if key not in meant:
            return f"it holds what this record does not: {key[1]}"
        if fcl != _exported(meant[key]):
            return f"its entity {key[1]} is another"
    return ""


def already(configuration: str, run: int, why: str) -> ArtdaqDBError:
    """Return the error for a run under whose number something else is archived."""
    return ArtdaqDBError(
        f"Configuration {configuration} is already archived.",
        retry=Retry.CONFLICT,
        remedy=f"{why}: a reused run number? nothing was changed; compare, then `archiverd waive {run} --reason …`",
        run=run,
        context={"difference": why},
    )


def no_run_to_update(configuration: str, run: int) -> ArtdaqDBError:
    """Return the error for an update of a run that is not archived."""
    return ArtdaqDBError(
        f"Configuration {configuration} not found for update",
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


def _exported(entity: Entity) -> bytes:
    """Return an entity's FHiCL as artdaqDB would export it."""
    document = stored(entity, DocumentPlace("0" * 24, entity.collection, "0/x", "0/x", 0, ""))
    return fhicl.from_json(document, f"{entity.name}.fcl")
