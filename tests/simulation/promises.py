"""What must be so, at any time and in the end of a simulated life."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem.check import check_database
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.core.machine import State
from archiverd.journal.scheduling import select_progress
from archiverd.journal.state_files import parse_failures, state_text
from archiverd.runrecord import blob as blobs
from tests.simulation.doubles import sha256

if TYPE_CHECKING:
    from tests.simulation.life import Detector


def check_verified(detector: Detector) -> None:
    """At any time: what the journal calls verified is in UconDB, byte for byte (I1)."""
    for row in detector.rows().values():
        if row.state is State.VERIFIED:
            found = detector.server.find(str(row.run))
            true = found is not None and sha256(found.data) == row.blob_sha256 and _holds(detector, row.run, found.data)
            detector.demand(f"run {row.run} is called verified and is not", so=true)


def _holds(detector: Detector, run: int, blob: bytes) -> bool:
    """Tell whether a blob holds what the record of the run held, and nothing of another run."""
    text = dict(blobs.unpack(blob).files)["component01.fcl"]
    return f"a: {run} ".encode() in text and f"c: {detector.ended[run]} ".encode() in text


async def _check_artdaqdb(detector: Detector) -> None:
    """In the end: nothing half or twice in artdaqDB, and every run in it."""
    artdaqdb = FileSystemDB(f"filesystemdb://{detector.root}/artdaqdb")
    await artdaqdb.open()
    doubtful = {"half-written": await artdaqdb.half_written(), "unindexed": await artdaqdb.unindexed()}
    missing = detector.ended.keys() - await artdaqdb.list_runs()
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
    detector.demand(
        f"runs {set(detector.ended) ^ set(rows)} are lost or made up", so=detector.ended.keys() == rows.keys()
    )
    garbled = [run for run, row in rows.items() if row.state is State.QUARANTINED]
    detector.demand(
        f"runs {garbled} are quarantined: {[rows[run].error for run in garbled]}",
        so=len(garbled) <= detector.world.faults["document garbled"],
    )
    for run, row in rows.items():
        if run in garbled:
            continue
        copies = sum(one.key == str(run) for one in detector.server.versions)
        detector.demand(f"run {run} is in UconDB {copies} times", so=copies == 1)
        found = detector.server.find(str(run))
        if found is not None and (run in detector.foreign or row.state is State.CONFLICT):
            damaged = run in detector.foreign or sha256(found.data) != row.blob_sha256
            detector.demand(f"run {run} is {row.state}, not in conflict", so=row.state is State.CONFLICT and damaged)
            continue
        detector.demand(f"run {run} ends as {row.state}: {row.error}", so=row.state is State.VERIFIED)
