"""The operation `rearchive`: archive a verified run again whose directory has changed, or accept that it has."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from archiverd.app.operations.results import PassScope
from archiverd.app.state_file_sync import begin
from archiverd.artdaqdb.backends import choose_backend
from archiverd.artdaqdb.rules import LAST_UPDATE_IN_ORDER
from archiverd.audit.anomalies import Discrepancy
from archiverd.audit.directory import Verdict, accepted, compare_directory
from archiverd.audit.reused import describe_other
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import State
from archiverd.detached import run_detached
from archiverd.journal import transitions
from archiverd.journal.destinations import Side
from archiverd.pipeline.operator_actions import SkippedRun
from archiverd.process import mounts
from archiverd.runrecord.completeness import time_lines
from archiverd.runrecord.record import read_run_record
from archiverd.runrecord.snapshot import take_snapshot

if TYPE_CHECKING:
    from archiverd.app.operations.passes import PassDriver
    from archiverd.app.operations.requests import RearchiveRequest
    from archiverd.app.wiring import Parts
    from archiverd.audit.directory import Comparison
    from archiverd.journal.rows import RunRow
    from archiverd.journal.transitions import Transition
    from archiverd.process.progress import Progress


async def prepare_rearchive(driver: PassDriver, request: RearchiveRequest, _: Progress) -> PassScope:
    """Send the requested runs through the import again, with ``override`` on to UconDB too; return the pass.

    With ``accept`` nothing is imported: what was archived stands. Raise ArchiverError.
    """
    parts = driver.parts
    adopted = await begin(parts)
    skipped = [await _take_up(parts, request, run) for run in sorted(request.runs)]
    refused = [one for one in skipped if one is not None]
    return PassScope(runs=request.runs - {one.run for one in refused}, skipped=refused, adopted=adopted)


async def _take_up(parts: Parts, request: RearchiveRequest, run: int) -> SkippedRun | None:
    """Take up one run; return why that cannot be done, None if it is done."""
    row = await parts.journal.get(run)
    if row is None or row.state is not State.VERIFIED:
        what = "not known" if row is None else str(row.state)
        return SkippedRun(run, f"it is {what}, and only a verified run can be archived again", failed=True)
    found = await _compare(parts, row)
    if found.verdict is Verdict.REUSED:
        other = describe_other(found.started, row.start_line)
        return SkippedRun(run, f"{other}; {Discrepancy.REUSED.remedy([run])}", failed=True)
    if request.accept:
        return await _accept(parts, row)
    if request.override and row.superseded and found.verdict is Verdict.SAME:  # only UconDB's version is older
        again = transitions.released_to_replace(run)
    elif (problem := await _problem(parts, row, found)) is not None:
        return problem
    else:
        again = await _read_again(parts, row, override=request.override)
    if await parts.journal.record_allowed(again):
        return None
    return SkippedRun(run, "it has moved on meanwhile", failed=True)


async def _read_again(parts: Parts, row: RunRow, *, override: bool) -> Transition:
    """Return the event of a run whose directory is to be imported as it is now."""
    records = parts.settings.source_files.run_records_dir
    snapshot = await run_detached(partial(take_snapshot, records / str(row.run)))
    lines = time_lines(snapshot.metadata)
    return transitions.rearchived(
        row.run,
        override=override,
        stop_line=lines.stopped or row.stop_line,
        stopped_at=snapshot.metadata_mtime,
        listing=snapshot.digest,
    )


async def _accept(parts: Parts, row: RunRow) -> SkippedRun | None:
    """Let stand what was archived of a run; return why that cannot be done, None if it is done.

    A directory that is gone, or cannot be read, hinders only the acceptance of how it has changed.
    """
    run = row.run
    directory = parts.settings.source_files.run_records_dir / str(run)
    elsewhere = await parts.journal.accept_elsewhere(run)
    if not elsewhere and run in await parts.journal.differing(Side.UCONDB):
        why = "UconDB has other content under its key, and it was not noted where it was proven"
        how = f"compare both (`archiverd export`), then `archiverd release {run} --override` replaces that"
        return SkippedRun(run, f"{why}: {how}", failed=True)
    try:
        record = await run_detached(partial(read_run_record, directory, run))
    except ArchiverError as error:
        flagged = (row.incomplete or row.no_end) and not row.changed
        if not elsewhere and not flagged:
            return SkippedRun(run, f"{error} ({error.remedy})", failed=True)
        if flagged:
            await parts.journal.accept(run, await parts.journal.files(run), row.listing)
        return None
    await parts.journal.accept(run, accepted(await parts.journal.files(run), record), record.listing)
    return None


async def _compare(parts: Parts, row: RunRow) -> Comparison:
    """Compare a run's directory with what was archived of it."""
    directory = parts.settings.source_files.run_records_dir / str(row.run)
    manifest = await parts.journal.files(row.run)
    network = await run_detached(partial(mounts.is_network, directory.parent))
    return await run_detached(partial(compare_directory, directory, row, manifest, network=network))


async def _problem(parts: Parts, row: RunRow, found: Comparison) -> SkippedRun | None:
    """Return why a run cannot, or need not, be archived again; None if it can."""
    run, differences = row.run, found.differences
    stands = f"`archiverd rearchive {run} --accept` lets what was archived stand"
    if found.verdict is Verdict.UNKNOWN and not found.listing:
        return SkippedRun(run, "its directory cannot be read", failed=True)
    if found.verdict is Verdict.SAME:
        return SkippedRun(run, _describe_unchanged(row))
    if found.verdict is Verdict.CHANGED and not (differences.added or differences.edited):
        why = f"{', '.join(differences.removed)} removed, and nothing is taken out of an archive"
        return SkippedRun(run, f"{why}: {stands}", failed=True)
    if choose_backend(parts.settings.artdaq_db) == "tools":
        why = "artdaqDB's tools store no next version of what they have"
        return SkippedRun(run, f"{why}: set artdaq_db.use_tools to false, or {stands}", failed=True)
    held = await parts.artdaqdb.find(run)
    if held is not None and held.update >= LAST_UPDATE_IN_ORDER:
        why = f"artdaqDB has update {held.update} of it, and its library takes v9 for the newest whatever comes after"
        return SkippedRun(run, f"{why}; {stands}", failed=True)
    return None


def _describe_unchanged(row: RunRow) -> str:
    """Return why there is nothing to import of a run whose directory is unchanged, and what there is to do."""
    if row.superseded:
        why = "artdaqDB has what its directory holds, and UconDB an older version"
        return f"{why}: `archiverd release {row.run} --override` replaces that"
    return "its directory holds what was archived: there is nothing to archive again"
