"""The operation `reconcile`: every run of run records, artdaqDB and UconDB in one named state."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from archiverd.app.operations.passes import ASKING
from archiverd.audit import reconcile as comparison
from archiverd.audit.directory_audit import make_audit
from archiverd.audit.elsewhere import MOST_A_PASS
from archiverd.audit.reconcile import ComparedSources
from archiverd.core import runset
from archiverd.core.errors import ConfigurationError
from archiverd.core.machine import State
from archiverd.detached import run_detached
from archiverd.watch.directory_scan import scan_records
from archiverd.watch.missing import find_doubtful

if TYPE_CHECKING:
    from archiverd.app.operations.requests import ReconcileRequest
    from archiverd.app.wiring import Parts
    from archiverd.audit.partition import Partition
    from archiverd.journal.journal import Journal
    from archiverd.process.progress import Progress


async def reconcile(parts: Parts, request: ReconcileRequest, on_progress: Progress) -> Partition:
    """Compare the three sources and the journal.

    Raise ConfigurationError without UconDB, ArchiverError when the run-records directory cannot be read, UconDBError or
    ArtdaqDBError when a database does not answer.
    """
    if parts.migration is None:
        raise ConfigurationError(
            "[ucon_db] is not configured: there is nothing to compare with",
            remedy="set server_url, folder_name and object_name",
        )
    on_progress(0, 0, ASKING)
    records = parts.settings.source_files.run_records_dir
    found = await run_detached(lambda: scan_records(parts.settings))
    missing = await _find_missing(parts.journal, found.runs)
    verified = [] if missing else await parts.journal.in_state(State.VERIFIED)
    await make_audit(parts.journal, records).compare([row for row in verified if row.run in found.runs])
    if parts.migration.gate.shut:
        await parts.migration.gate.probe()
    most = None if request.deep else MOST_A_PASS
    await parts.elsewhere.look(None, before=time.time(), most=most, on_progress=on_progress)
    sources = ComparedSources(parts.journal, parts.artdaqdb, parts.migration.ucondb, records, found.runs)
    partition = await comparison.reconcile(sources, deep=request.deep, on_progress=on_progress)
    return replace(partition, odd=found.odd, missing=tuple(sorted(missing)))


async def _find_missing(journal: Journal, found: frozenset[int]) -> frozenset[int]:
    """Return the runs whose directories are missing, perhaps because they are not mounted."""
    noted = await journal.missing_since()
    doubted = frozenset() if noted is None else frozenset(runset.numbers(runset.unpack(noted.runs)))
    return find_doubtful((await journal.known()).keys(), await journal.gone(), found, doubted)
