"""What the databases say that the journal does not know: after it was lost, and whenever somebody wants to be sure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core import runset
from archiverd.core.machine import Event, State
from archiverd.journal.rows import Move
from archiverd.stages.amiss import REMEDIES, find_reused

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.artdaqdb.port import ArtdaqDB
    from archiverd.journal.journal import Journal
    from archiverd.stages.amiss import Amiss
    from archiverd.ucondb.port import UconDB

CHUNK = 256
"""So many runs are recorded in one commit."""

_stage_log = log.get("Import")
_import_log = log.get("Recovery-Import")
_migration_log = log.get("Recovery-Migration")


async def adopt_archived(journal: Journal, artdaqdb: ArtdaqDB) -> frozenset[int]:
    """Note the runs that artdaqDB has and the journal does not; return them.

    Call it after the run-records directory was scanned: what is new then has no directory any more. Raise
    ArtdaqDBError, or ArchiverError from the journal.
    """
    archived = await artdaqdb.list_runs()
    unknown = archived.keys() - (await journal.known()).keys()
    if unknown:
        configurations = {run: archived[run].configuration.partition("/")[2] for run in unknown}
        await journal.adopt(sorted(unknown), configurations)
        _import_log.info(f"in artdaqDB without a directory: {runset.show(unknown)}", runs=len(unknown))
    return frozenset(unknown)


async def find_amiss(journal: Journal, records: Path) -> tuple[Amiss, ...]:
    """Say which verified runs are not as they should be any more; they stay verified. Raise ArchiverError."""
    reused = await asyncio.to_thread(find_reused, records, await journal.archived_starts())
    for one in reused:
        _stage_log.error(f"{one.error} ({REMEDIES[one.state]})", run=one.run)
    return tuple(reused)


async def find_missing(journal: Journal, ucondb: UconDB) -> frozenset[int]:
    """Send the verified runs that UconDB no longer has on their way again; return them.

    Raise UconDBError when UconDB cannot tell: then nothing is believed to be missing.
    """
    verified = [row.run for row in await journal.in_state(State.VERIFIED)]
    held = await ucondb.look_up_all([str(run) for run in verified])
    missing = [run for run in verified if str(run) not in held]
    for start in range(0, len(missing), CHUNK):
        note = "UconDB has no version under its key any more"
        changes: dict[str, object] = {"verified_at": None}
        await journal.record(*(Move(run, Event.MISSING, note, changes) for run in missing[start : start + CHUNK]))
    if missing:
        _migration_log.error(f"verified before, and not in UconDB any more: {runset.show(missing)}", runs=len(missing))
    return frozenset(missing)
