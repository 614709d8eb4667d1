"""What operators do about what they are told, with the functions behind their commands."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from archiverd.app.operations.destination import release_destination
from archiverd.app.operations.rearchive import _take_up as rearchive
from archiverd.app.operations.requests import RearchiveRequest
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import State
from archiverd.core.proofs import BlobFault
from archiverd.journal.destinations import Found, Side
from archiverd.pipeline import operator_actions

if TYPE_CHECKING:
    from archiverd.app.wiring import Parts
    from archiverd.artdaqdb.port import ArtdaqDB
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow
    from tests.simulation.life import Detector

HOURS = 3600.0


async def operate(detector: Detector, journal: Journal, artdaqdb: ArtdaqDB) -> None:
    """Act now and then, some hours after the last time, until cancelled; what a command refuses is left."""
    dice = detector.world.dice
    parts = cast("Parts", SimpleNamespace(journal=journal, artdaqdb=artdaqdb, settings=detector.settings))
    while True:
        await asyncio.sleep(dice.expovariate(1 / (12 * HOURS)))
        told = [row for row in detector.rows().values() if _is_told(row)]
        with contextlib.suppress(ArchiverError):
            if told:
                await _decide(detector, parts, dice.choice(told))
            lacking = Found.MISSING in (await journal.elsewhere(Side.UCONDB)).values()
            if dice.random() < 0.1 and (lacking or await journal.proofs.standstill() is not None):
                detector.world.note("release --destination")
                await release_destination(journal, detector.settings)


def _is_told(row: RunRow) -> bool:
    """Tell whether somebody is told of a run."""
    unreadable = row.state is State.QUARANTINED and "cannot be read" in row.error
    return (row.state is State.VERIFIED and bool(row.blob_fault or row.changed)) or unreadable


async def _decide(detector: Detector, parts: Parts, row: RunRow) -> None:
    """Do what is advised for a run."""
    dice, world = detector.world.dice, detector.world
    if row.state is State.QUARANTINED:
        if not detector.records[row.run].denials:
            world.note("release")
            await operator_actions.release(parts.journal, row.run, override=False)
    elif row.blob_fault is not None:
        world.note("release --override")
        override = row.blob_fault is not BlobFault.MISSING
        await operator_actions.release(parts.journal, row.run, override=override)
    elif dice.random() < 0.3:
        world.note("rearchive --accept")
        detector.records[row.run].let_stand(all_files=True)
        await rearchive(parts, RearchiveRequest(frozenset({row.run}), accept=True), row.run)
    else:
        world.note("rearchive --override")
        detector.records[row.run].let_stand(all_files=False)
        await rearchive(parts, RearchiveRequest(frozenset({row.run}), override=True), row.run)
