"""The port to artdaqDB, whichever backend implements it.

Terms (artdaqdb_format.md section 0): an *entity* is one file of a run; it is stored as one *document* in a
*collection*, under a *configuration* ``<run>/<name>`` and a *version* (``<configuration>`` for the first
archiving, ``<configuration>v1``, ``v2``, … for updates).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Entity:
    """One file to be stored: where it goes, its entity name, and its FHiCL text."""

    collection: str
    name: str
    fcl: bytes


@dataclass(frozen=True, slots=True)
class ExportedEntity:
    """One entity read back: the newest version's FHiCL as artdaqDB exports it."""

    collection: str
    name: str
    version: str
    fcl: bytes


@dataclass(frozen=True, slots=True)
class ArchivedRun:
    """What artdaqDB holds of one run: its configuration (``<run>/<name>``) and the number of its last update."""

    run: int
    configuration: str
    update: int
    """0 when never updated, n for version ``<configuration>vn``."""


class ArtdaqDBReader(Protocol):
    """The half of the port that changes nothing, for commands beside a daemon; it raises ``ArtdaqDBError``."""

    async def open(self) -> None:
        """Get ready: connect or lock, recover what an earlier process left unfinished."""

    async def close(self) -> None:
        """Publish whatever is still to be published and let go."""

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """Return every run that artdaqDB counts as archived (it has a version in ``SystemLayout``)."""

    async def export(self, run: int) -> Sequence[ExportedEntity]:
        """Read a run back: every entity's newest version, each checked to be the document asked for."""


class ArtdaqDB(ArtdaqDBReader, Protocol):
    """The port. Every method raises ``ArtdaqDBError`` (or ``FhiclError`` for text that is not FHiCL)."""

    async def find(self, run: int) -> ArchivedRun | None:
        """Return what is archived of ``run``, or None."""

    async def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        """Store a run's entities under ``<run>/<configuration>``, all or none visible, durable on return.

        Return True if it was stored, False if exactly this was there already. Raise ``ArtdaqDBError``
        ``Configuration <run>/<name> is already archived.`` (``Retry.CONFLICT``, and nothing else is) if something else
        is there for that run.
        """

    async def update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        """Store ``entities`` as the next update (``v1``, ``v2``, …, by number); return the version.

        If the newest update already holds exactly these entities nothing is stored and its version is returned.
        Raise ``ArtdaqDBError`` ``Configuration <run>/<name> not found for update`` if the run is not archived.
        """
