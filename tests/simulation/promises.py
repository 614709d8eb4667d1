"""What must be so, at any time and in the end of a simulated life."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem.check import check_database
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.core.machine import State
from archiverd.journal.scheduling import select_progress
from archiverd.journal.state_files import parse_failures, state_text
from archiverd.runrecord import blob as blobs
from tests.simulation.doubles import sha256
from tests.simulation.records import facts_of

if TYPE_CHECKING:
    from archiverd.journal.rows import RunRow
    from tests.simulation.life import Detector
    from tests.simulation.records import Facts

DAY = 86_400.0
TOLD_SECONDS = DAY + 6 * 7200.0
"""Within which a change of a directory is told: a day, and some rounds of the audit that may have failed."""


GENERATED = {"RunHistory", "RunHistory2", "hashes", "schema", "SystemLayout"}
"""Files of a blob that the record does not hold."""


@lru_cache(maxsize=2048)
def _facts_of_blob(blob: bytes) -> Facts:
    """Return what a blob holds of each file of the record."""
    facts = facts_of(dict(blobs.unpack(blob).files))
    return {name: tokens for name, tokens in facts.items() if name not in GENERATED}


def check_verified(detector: Detector) -> None:
    """At any time: what the journal calls verified is in UconDB, byte for byte, and is what its record was (I1, I8)."""
    for row in detector.rows().values():
        if row.state is not State.VERIFIED:
            continue
        found = detector.server.find(str(row.run))
        true = found is not None and sha256(found.data) == row.blob_sha256
        detector.demand(f"run {row.run} is called verified and is not", so=true)
        if found is not None and not row.superseded:
            _check_record(detector, row, _facts_of_blob(found.data))


def _check_record(detector: Detector, row: RunRow, archived: Facts) -> None:
    """What is archived of a run is what its directory held when it was final; what came later is told in time (I8)."""
    record, run = detector.records[row.run], row.run
    origins = detector.replaced.get(run, [])
    states = [state for one in (record, *origins) for state in one.states]
    detector.demand(f"run {run} was archived as its directory never was", so=archived in states)
    if origins and archived not in record.states:
        overdue = detector.watched - record.begun_at > TOLD_SECONDS and not record.denials
        detector.demand(f"run {run} holds another run and nobody tells", so=bool(row.reused) or not overdue)
        return
    now = record.facts
    names = {name for name in now.keys() | archived.keys() if now.get(name) != archived.get(name)}
    detector.demand(f"run {run} was archived without {names - record.late.keys()}", so=names <= record.late.keys())
    told = {name.rpartition(".")[0] for name in (*row.changed.added, *row.changed.edited, *row.changed.removed)}
    for name in names - told:
        within = TOLD_SECONDS + (DAY if name not in now else 0.0)
        silent = detector.watched - record.late[name] > within and not record.denials
        gone = "" if name in now else ", is gone"
        detector.demand(f"{name} of run {run} has changed{gone} and nobody tells", so=not silent)
    detector.demand(f"run {run} is flagged for nothing: {row.changed}", so=record.disturbed or not row.changed)


async def _check_artdaqdb(detector: Detector) -> None:
    """In the end: nothing half or twice in artdaqDB, and every run in it."""
    artdaqdb = FileSystemDB(f"filesystemdb://{detector.root}/artdaqdb")
    await artdaqdb.open()
    doubtful = {"half-written": await artdaqdb.half_written(), "unindexed": await artdaqdb.unindexed()}
    missing = {run for run, row in detector.rows().items() if row.imported_at} - (await artdaqdb.list_runs()).keys()
    await artdaqdb.close()
    detector.demand(f"artdaqDB lacks {missing} and has left {doubtful}", so=not any((missing, *doubtful.values())))
    damage = list(check_database(detector.root / "artdaqdb"))
    detector.demand(f"artdaqDB is damaged: {damage}", so=not damage or bool(detector.world.faults["document garbled"]))


def _check_books(detector: Detector) -> None:
    """In the end: the files operators read say what the journal says."""
    for stage, files in detector.state_files.items():
        listed = {row.run for row in detector.rows().values() if row.listed and row.stage is stage}
        told = parse_failures(files.failures.read_bytes())
        detector.demand(f"{files.failures.name} says {told}, the journal {listed}", so=told == listed)
        progress = select_progress(detector.file, stage)
        detector.demand(f"{files.state.name} is not kept", so=files.state.read_bytes() == state_text(progress))


def check_end(detector: Detector) -> None:
    """In the end: every run is where it must be."""
    check_verified(detector)
    _check_books(detector)
    asyncio.run(_check_artdaqdb(detector))
    rows = detector.rows()
    lost = detector.records.keys() ^ rows.keys()
    detector.demand(f"runs {lost} are lost or made up", so=not lost)
    garbled = detector.world.faults["document garbled"]
    for run, row in rows.items():
        record = detector.records[run]
        if row.state is State.OPEN:
            detector.demand(f"run {run} has ended and is open: {row.waits_for}", so=not record.ended)
            continue
        if row.state is State.QUARANTINED:
            unreadable = "cannot be read" in row.error
            garbled -= not unreadable
            detector.demand(f"run {run} is quarantined: {row.error}", so=garbled >= 0)
            continue
        copies = sum(one.key == str(run) for one in detector.server.versions)
        detector.demand(f"run {run} is in UconDB {copies} times", so=copies == 1)
        found = detector.server.find(str(run))
        if found is not None and (run in detector.foreign or row.state is State.CONFLICT):
            damaged = run in detector.foreign or sha256(found.data) != row.blob_sha256
            detector.demand(f"run {run} is {row.state}, not in conflict", so=row.state is State.CONFLICT and damaged)
            continue
        detector.demand(f"run {run} ends as {row.state}: {row.error}", so=row.state is State.VERIFIED)
