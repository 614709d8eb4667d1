"""Every run of run records, artdaqDB and UconDB in one named state (I2), the verified ones held to their word (I1)."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import ArtdaqDBError, BlobCreationError
from archiverd.core.machine import State
from archiverd.runrecord import blob as blobs
from archiverd.stages.migrator import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from archiverd.artdaqdb.port import ArtdaqDB
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow
    from archiverd.ucondb.port import Found, UconDB

FINE = frozenset({State.VERIFIED, State.OPEN, State.IGNORED, State.WAIVED})
"""The states in which a run may stand when everything is in order."""

MISSING_UCONDB = "missing_ucondb"
MISSING_ARTDAQDB = "missing_artdaqdb"
DIFFERS = "differs"
UNSEEN = "unseen"
ORPHAN_ARTDAQDB = "orphan_artdaqdb"
ORPHAN_UCONDB = "orphan_ucondb"

REMEDIES = {
    MISSING_UCONDB: "verified before, not in UconDB any more: `archiverd once` uploads it again",
    MISSING_ARTDAQDB: "verified before, not in artdaqDB any more: ask who removed it; UconDB has its blob",
    DIFFERS: "UconDB's bytes are not those that were proven: compare them (`archiverd export`), ask its administrators",
    UNSEEN: "has a directory and was not looked at yet: `archiverd run` or `archiverd once` does",
    ORPHAN_ARTDAQDB: "in artdaqDB, without a directory and not known: `archiverd recover import` takes it up",
    ORPHAN_UCONDB: "in UconDB only: uploaded by somebody else, or its sources were lost",
}
"""What to do about a state that only a comparison finds."""

AT_ONCE = 4
"""So many blobs are read back at a time by a deep comparison."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Every run there is, in exactly one named state, and how artdaqDB and UconDB compare."""

    states: Mapping[str, tuple[int, ...]]
    only_artdaqdb: tuple[int, ...]
    only_ucondb: tuple[int, ...]
    compared: int
    """How many blobs were read back and compared."""

    @property
    def in_order(self) -> bool:
        """Whether every run is verified, open, ignored or waived."""
        return all(state in FINE for state in self.states)

    def told(self) -> dict[str, object]:
        """Return the partition as JSON has it (`reconcile --json`)."""
        return {
            "version": 1,
            "in_order": self.in_order,
            "states": {name: list(runs) for name, runs in self.states.items()},
            "only_artdaqdb": list(self.only_artdaqdb),
            "only_ucondb": list(self.only_ucondb),
            "compared": self.compared,
        }


@dataclass(frozen=True, slots=True)
class Sources:
    """What is compared."""

    journal: Journal
    artdaqdb: ArtdaqDB
    ucondb: UconDB
    directories: frozenset[int]
    """The runs that have a directory now."""


async def reconcile(sources: Sources, *, deep: bool, on_progress: Callable[[int, int], None]) -> Partition:
    """Compare the sources run by run; ``deep`` reads every blob back.

    ``on_progress`` gets how many blobs of how many were compared. Raise UconDBError or ArtdaqDBError when a source
    cannot tell: then nothing is believed to be missing (I8).
    """
    rows = {row.run: row for row in await sources.journal.in_state(*State)}
    archived = await sources.artdaqdb.list_runs()
    held = await _held(sources.ucondb, rows.keys() | archived.keys() | sources.directories)
    everything = rows.keys() | archived.keys() | held.keys() | sources.directories
    named = {run: _name(run, rows.get(run), archived.keys(), held, sources.directories) for run in everything}
    compared = 0
    if deep:
        to_compare = sorted(run for run, name in named.items() if name == State.VERIFIED)
        named |= await _compare_all(sources, {run: rows[run] for run in to_compare}, on_progress)
        compared = len(to_compare)
    return Partition(
        {name: tuple(sorted(run for run in named if named[run] == name)) for name in sorted(set(named.values()))},
        tuple(sorted(archived.keys() - held.keys())),
        tuple(sorted(held.keys() - archived.keys())),
        compared,
    )


async def _held(ucondb: UconDB, runs: Collection[int]) -> dict[int, Found]:
    """Return what UconDB holds under run numbers; the absence of those in ``runs`` is proven."""
    listed = dict(await ucondb.list_keys())
    unlisted = [str(run) for run in runs if str(run) not in listed]
    listed |= await ucondb.look_up_all(unlisted) if unlisted else {}
    return numbered(listed)


def numbered(listed: Mapping[str, Found]) -> dict[int, Found]:
    """Return what UconDB lists under run numbers; other keys are none of our business."""
    return {int(key): found for key, found in listed.items() if key.isascii() and key.isdecimal() and len(key) < 19}


def _name(
    run: int,
    row: RunRow | None,
    archived: Collection[int],
    held: Mapping[int, Found],
    directories: frozenset[int],
) -> str:
    """Return the one state a run is in."""
    if row is None:
        if run in directories:
            return UNSEEN
        return ORPHAN_ARTDAQDB if run in archived else ORPHAN_UCONDB
    if row.state is not State.VERIFIED:
        return str(row.state)
    if run not in held:
        return MISSING_UCONDB
    if row.blob_length is not None and held[run].data_size != row.blob_length:
        return DIFFERS
    return str(State.VERIFIED) if run in archived else MISSING_ARTDAQDB


async def _compare_all(
    sources: Sources, rows: Mapping[int, RunRow], on_progress: Callable[[int, int], None]
) -> dict[int, str]:
    """Read every blob back; return the state of each run: verified, or that it differs."""
    named: dict[int, str] = {}
    left = iter(rows.values())

    async def work() -> None:
        for row in left:
            same = await _same(sources, row)
            named[row.run] = str(State.VERIFIED) if same else DIFFERS
            on_progress(len(named), len(rows))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return named


async def _same(sources: Sources, row: RunRow) -> bool:
    """Tell whether UconDB has exactly the bytes that were proven, and artdaqDB still gives the same.

    A superseded run's artdaqDB entry is newer than its blob, by intention: only the proven bytes are compared.
    """
    blob = await sources.ucondb.read(str(row.run))
    if row.blob_sha256 and await asyncio.to_thread(_sha256, blob) != row.blob_sha256:
        return False
    if row.superseded:
        return True
    try:
        packed_on = blobs.unpack(blob).packed_on
        exported = await sources.artdaqdb.export(row.run)
        return (await asyncio.to_thread(pack, row.run, packed_on, exported)).blob == blob
    except (BlobCreationError, ArtdaqDBError):
        return False


def _sha256(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
