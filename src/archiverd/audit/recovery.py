"""Recovery: what the databases hold that the journal does not know, and what they have lost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.audit.anomalies import Anomaly, Discrepancy, describe_lost_source
from archiverd.audit.directory_audit import note_compared
from archiverd.audit.proving import Prover
from archiverd.audit.reused import describe_other, describe_other_run, find_starts
from archiverd.core import runset
from archiverd.core.machine import LOSABLE
from archiverd.core.proofs import BlobFault, find_absent_in_a_row
from archiverd.detached import run_detached
from archiverd.journal import transitions
from archiverd.journal.destinations import Found, Side
from archiverd.journal.rows import ComparedRun, Differences
from archiverd.pipeline.operator_actions import SkippedRun
from archiverd.runrecord.completeness import start_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from archiverd.artdaqdb.port import ArchivedRun, ArtdaqDB
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow
    from archiverd.ucondb.port import UconDB

CHUNK = 256
"""Most runs recorded in one commit."""

_stage_log = log.get("Import")
_import_log = log.get("Recovery-Import")
_migration_log = log.get("Recovery-Migration")


async def adopt_archived(journal: Journal, artdaqdb: ArtdaqDB) -> frozenset[int]:
    """Note the runs that artdaqDB has and the journal does not; return them.

    To be called after a scan of the run-records directory: what is unknown then has no directory any more. Raise
    ArtdaqDBError, or ArchiverError from the journal.
    """
    archived = await artdaqdb.list_runs()
    unknown = archived.keys() - (await journal.known()).keys()
    if unknown and await journal.has_imported_elsewhere() and not await journal.is_released(Side.ARTDAQDB):
        _import_log.warning(
            f"not known, and in an artdaqDB that is not the one runs were imported into so far: {runset.show(unknown)} "
            "(left alone; `archiverd release --destination` says that it is the right one)",
            runs=len(unknown),
        )
        return frozenset()
    if unknown:
        configurations = {run: archived[run].configuration.partition("/")[2] for run in sorted(unknown)}
        await journal.adopt(configurations)
        _import_log.info(f"in artdaqDB without a directory: {runset.show(unknown)}", runs=len(unknown))
    return frozenset(unknown)


async def find_anomalies(journal: Journal, artdaqdb: ArtdaqDB, records: Path) -> tuple[Anomaly, ...]:
    """Return the verified runs that are reused, changed, or that artdaqDB has lost; they stay verified.

    Only what is news is logged: the journal remembers what was told, for the next pass of another process too. Raise
    ArtdaqDBError, or ArchiverError from the journal.
    """
    starts = await journal.verified_starts()
    archived = await note_lacking(journal, artdaqdb)
    stay = {run for run, found in (await journal.elsewhere(Side.ARTDAQDB)).items() if found is Found.ACCEPTED}
    lost = sorted(starts.keys() - archived.keys() - stay)
    there = await run_detached(partial(find_starts, records, starts))
    before = {row.run for row in await journal.flagged() if row.reused}
    others = {run: "" if started == starts[run] else started for run, started in there.items()}
    await note_compared(
        journal, [ComparedRun(run, Differences(), other) for run, other in others.items() if other or run in before]
    )
    flagged = [
        Anomaly(row.run, Discrepancy.REUSED, describe_other(row.reused, row.start_line))
        if row.reused
        else Anomaly(row.run, Discrepancy.CHANGED, str(row.changed))
        for row in await journal.flagged()
    ]
    return (*flagged, *(Anomaly(run, Discrepancy.MISSING_ARTDAQDB, "") for run in lost))


async def import_again(journal: Journal, artdaqdb: ArtdaqDB, records: Path, run: int) -> SkippedRun | bool:
    """Let ``run`` be imported again if artdaqDB has lost it; return whether it has, or why that cannot be done.

    UconDB's version is only compared then (I5). Raise ArtdaqDBError when artdaqDB does not answer.
    """
    row = await journal.get(run)
    if row is None or row.state not in LOSABLE or row.imported_at is None or await artdaqdb.find(run) is not None:
        return False
    if why := await run_detached(partial(why_not_imported_again, records, row)):
        return SkippedRun(run, why, failed=True)
    return bool(await journal.record_allowed(transitions.lost(run)))


def why_not_imported_again(records: Path, row: RunRow) -> str:
    """Return why a run that artdaqDB lacks cannot be imported from its directory; empty if it can. Blocking.

    A run that was found in artdaqDB and whose directory was never seen to end has no start line to compare.
    """
    directory = records / str(row.run)
    if not directory.is_dir():
        return describe_lost_source(row.run)
    if row.ended_at is None and not row.start_line:
        return (
            f"artdaqDB has lost it, and its directory was not there while it was archived: nobody can tell whether the "
            f"one that is there now (started {start_line(directory) or 'never'}) is this run's; nothing was imported: "
            f"restore artdaqDB's documents (`archiverd export {row.run} DEST` writes what UconDB has of it)"
        )
    another = describe_other_run(directory, row.start_line)
    if not row.start_line and (found := start_line(directory)):
        another = describe_other(found, "")
    return f"artdaqDB has lost it, and {another}; nothing was imported" if another else ""


@dataclass(frozen=True, slots=True)
class MissingRuns:
    """The verified runs that UconDB no longer has."""

    sent: frozenset[int] = frozenset()
    """On their way to UconDB again."""
    withheld: tuple[Anomaly, ...] = ()
    """Left as they are: too many are missing in a row."""


async def find_missing(journal: Journal, ucondb: UconDB) -> MissingRuns:
    """Let the verified runs that UconDB no longer has be uploaded again, none of them if three in a row are missing.

    Nor if three in a row were, and are not all back.

    UconDB may have been restored from a backup then, or be another one. Those that were proven in another UconDB,
    folder or object are no loss of this one. Raise UconDBError when it does not answer: then nothing is believed to be
    missing.
    """
    verified = await journal.archived_here(Side.UCONDB)
    held = await ucondb.look_up_all([str(run) for run in verified])
    missing = [run for run in verified if str(run) not in held]
    prover = Prover(journal, ucondb, time.time)
    in_a_row = find_absent_in_a_row(verified, frozenset(missing))
    if in_a_row or await prover.find_withheld():
        await prover.note_missing(missing)
        if in_a_row:
            await prover.stop_for_absence(in_a_row, missing=len(missing))
        return MissingRuns(withheld=tuple(Anomaly(run, Discrepancy.MISSING_UCONDB, "") for run in missing))
    standstill = await journal.proofs.standstill()
    if standstill is not None and standstill.fault is BlobFault.MISSING:
        await journal.proofs.resume()
    noted = await journal.proofs.faulty(BlobFault.MISSING)
    await journal.proofs.note_present([run for run in noted if str(run) in held])
    found: set[int] = set()
    for start in range(0, len(missing), CHUNK):
        gone = (transitions.missing(run) for run in missing[start : start + CHUNK])
        found |= {row.run for row in await journal.record_allowed(*gone)}
    if found:
        _migration_log.error(f"{Discrepancy.MISSING_UCONDB.fact}: {runset.show(found)}", runs=len(found))
    return MissingRuns(sent=frozenset(found))


async def note_lacking(journal: Journal, artdaqdb: ArtdaqDB) -> Mapping[int, ArchivedRun]:
    """Note which verified runs artdaqDB lacks, and log those of which that is news; return what it has.

    A run that was not verified before the list was begun may have come after it. Raise ArchiverError.
    """
    verified = await journal.verified()
    archived = await artdaqdb.list_runs()
    news = await journal.note_lacking(verified, archived.keys())
    if news:
        _stage_log.error(f"{Discrepancy.MISSING_ARTDAQDB.remedy(news)}: {runset.show(news)}", runs=len(news))
    return archived
