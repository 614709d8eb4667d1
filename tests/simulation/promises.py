"""What must be so, at any time and in the end of a simulated life."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem.check import check_database
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.core.machine import State
from archiverd.journal.destinations import select_destinations
from archiverd.journal.queries import select_states
from archiverd.journal.scheduling import select_progress
from archiverd.journal.state_files import parse_failures, state_text
from archiverd.runrecord import blob as blobs
from tests.simulation.doubles import sha256
from tests.simulation.records import facts_of
from tests.simulation.server import FOREIGN

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


ABANDONED_SECONDS = 14 * DAY
"""Without a change after which a run without a stop line is dead."""


def check_running(detector: Detector) -> None:
    """At any time: a run that goes on is open, whatever the clocks say."""
    for row in detector.rows().values():
        record = detector.records[row.run]
        goes_on = not record.stopped and detector.world.now - record.quiet_since < ABANDONED_SECONDS
        if goes_on and row.run not in detector.replaced:
            detector.demand(f"run {row.run} goes on and is {row.state}", so=row.state is State.OPEN)


def check_verified(detector: Detector) -> None:
    """At any time: what the journal calls verified is in UconDB, byte for byte, and is what its record was (I1, I8)."""
    verified = select_states(detector.file, [State.VERIFIED])
    (here,) = detector.file.execute("SELECT proven_to FROM site").fetchone() or (None,)
    places = select_destinations(detector.file)
    for row in verified:
        folder = places[row.proven_to or 0].folder
        if row.proven_to == here and detector.configured is not None:
            folder = detector.configured
        elif row.proven_to != here:
            continue  # told as archived elsewhere: nobody says that it can be read there
        found = detector.server.find(str(row.run), folder)
        true = found is not None and sha256(found.data) == row.blob_sha256
        if true:
            detector.shelf.harm.pop((folder, str(row.run)), None)
        else:
            told = row.blob_fault is not None
            overdue = not told and detector.shelf.is_overdue(folder, str(row.run), len(verified))
            detector.demand(f"run {row.run} is called verified in {folder} and is not", so=not overdue)
        if true and found is not None and not row.superseded:
            _check_record(detector, row, _facts_of_blob(found.data))


def _check_record(detector: Detector, row: RunRow, archived: Facts) -> None:
    """What is archived of a run is what its directory held when it was final; what came later is told in time (I8)."""
    record, run = detector.records[row.run], row.run
    origins = detector.replaced.get(run, [])
    states = [state for one in (record, *origins) for state in one.states]
    known = archived in states or (record.rearchived and any(state.items() <= archived.items() for state in states))
    detector.demand(f"run {run} was archived as its directory never was", so=known)
    if origins and archived not in record.states and not record.rearchived:
        overdue = detector.watched - record.begun_at > TOLD_SECONDS and not record.denials
        detector.demand(f"run {run} holds another run and nobody tells", so=bool(row.reused) or not overdue)
        return
    now = record.facts
    names = {name for name in now.keys() | archived.keys() if now.get(name) != archived.get(name)}
    names -= {name for name in names if (name, now.get(name)) in record.stands}
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
    for folder in detector.server.folders:
        keys = [one.key for one in detector.server.versions(folder) if one.key is not None]
        detector.demand(f"a key of {folder} is there twice", so=len(keys) == len(set(keys)))
    rows = detector.rows()
    lost = detector.records.keys() ^ rows.keys()
    detector.demand(f"runs {lost} are lost or made up", so=not lost)
    garbled = detector.world.faults["document garbled"]
    for run, row in rows.items():
        record = detector.records[run]
        if row.state is State.OPEN:
            detector.demand(
                f"run {run} has ended and is open: {row.waits_for}", so=not (record.ended and record.stopped)
            )
            continue
        if row.state is State.QUARANTINED:
            unreadable = "cannot be read" in row.error
            garbled -= not unreadable
            detector.demand(f"run {run} is quarantined: {row.error}", so=garbled >= 0)
            continue
        if row.state is State.VERIFIED:
            continue  # see check_verified
        held = [one for folder in detector.server.folders if (one := detector.server.find(str(run), folder))]
        other = any(one.data == FOREIGN or sha256(one.data) != row.blob_sha256 for one in held)
        so = row.state is State.CONFLICT and (other or not held)  # a restored backup may not have it any more
        detector.demand(f"run {run} ends as {row.state}: {row.error}", so=so)
