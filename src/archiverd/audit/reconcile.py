"""The comparison of run records, artdaqDB and UconDB: every run in one named state (I2), the verified ones checked.

A deep comparison reads every blob back (I1, I5), packs artdaqDB's export anew and compares, run by run, whatever the
journal says of the run, and notes what it proves. A blob that is not what it was, or cannot be read, is named, and the
next one is read: it ends early only when UconDB itself does not answer. It follows each verified run's story along the
state machine (I3), with an intent before its put (I4) and a proof at its end (I8); and accounts for every file of its
directory (I7).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd.audit.anomalies import Anomaly, Discrepancy, find_faulty
from archiverd.audit.partition import NO_DISORDER, Partition
from archiverd.audit.proving import SILENT_KEYS, Prover, no_reply
from archiverd.audit.reused import describe_other, find_starts
from archiverd.core.errors import ArtdaqDBError, Blame, BlobCreationError, Retry
from archiverd.core.machine import Event, State, find_forbidden_step
from archiverd.core.proofs import BlobFault
from archiverd.detached import run_detached
from archiverd.journal.destinations import Found, Side
from archiverd.journal.rows import legible
from archiverd.journal.schema import EVENTS_KEPT
from archiverd.pipeline.migrator import rebuild_found
from archiverd.runrecord.record import parse_run_number
from archiverd.ucondb.port import Finding, Fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from archiverd.artdaqdb.port import ArtdaqDB
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow, StoryLine
    from archiverd.process.progress import Progress
    from archiverd.ucondb.port import BlobSummary, Examination, StoredVersion, UconDB

RACY = 5.0
"""A file changed less than this many seconds before the end of its run's import may have come too late for it."""

_OTHER_CONTENT = "artdaqDB holds other content than UconDB"

READINGS = 3
"""Most readings of a blob that is replaced while it is read."""

AT_ONCE = 4
"""Blobs that a deep comparison reads back at a time."""

_OF_BLOBS = (State.VERIFIED, Discrepancy.DAMAGED, Discrepancy.DIFFERS)
"""States of verified runs that the bytes in UconDB decide."""


@dataclass(frozen=True, slots=True)
class ComparedSources:
    """What a comparison reads."""

    journal: Journal
    artdaqdb: ArtdaqDB
    ucondb: UconDB
    records: Path
    directories: frozenset[int]
    """The runs that have a directory now."""


async def reconcile(sources: ComparedSources, *, deep: bool, on_progress: Progress) -> Partition:
    """Compare the sources run by run; ``deep`` reads every blob back.

    ``on_progress`` gets how many blobs of how many were compared. Raise UconDBError or ArtdaqDBError when a source
    does not answer: then nothing is believed to be missing (I8).
    """
    rows = {row.run: row for row in await sources.journal.in_state(*State)}
    archived = await sources.artdaqdb.list_runs()
    held = await _held(sources.ucondb, rows.keys() | archived.keys() | sources.directories)
    everything = rows.keys() | archived.keys() | held.keys() | sources.directories
    elsewhere = {side: await sources.journal.elsewhere(side) for side in Side}
    states = {
        run: _classify(run, rows.get(run), archived.keys(), held, sources.directories, elsewhere) for run in everything
    }
    prover = Prover(sources.journal, sources.ucondb, time.time)
    await prover.note_missing([run for run in states if states[run] == Discrepancy.MISSING_UCONDB])
    starts = {run: rows[run].start_line for run in sources.directories if states[run] == State.VERIFIED}
    there = await run_detached(lambda: find_starts(sources.records, starts))
    found = [
        Anomaly(run, Discrepancy.REUSED, describe_other(started, starts[run]))
        for run, started in there.items()
        if started != starts[run]
    ]
    states |= {one.run: one.kind for one in found}
    changed = [row for row in rows.values() if row.changed and states[row.run] == State.VERIFIED]
    states |= {row.run: Discrepancy.CHANGED for row in changed}
    found += [Anomaly(row.run, Discrepancy.CHANGED, str(row.changed)) for row in changed]
    both = sorted(archived.keys() & held.keys()) if deep else []
    if deep:
        accepted = {run for run, there in elsewhere[Side.ARTDAQDB].items() if there is Found.ACCEPTED}
        compared = _Comparison(sources, states, elsewhere[Side.UCONDB].keys(), accepted, prover)
        await compared.compare_all(both, on_progress)
        found += compared.found
        states = compared.states
        differing = tuple(sorted(compared.unlike))
    else:
        faulty = (find_faulty(rows[run]) for run in states if states[run] in _OF_BLOBS)
        found += [one for one in faulty if one is not None and one.kind == states[one.run]]
        differing = ()
    found += await _describe_elsewhere(sources.journal, states, {one.run for one in found})
    return Partition(
        {name: tuple(sorted(run for run in states if states[run] == name)) for name in sorted(set(states.values()))},
        tuple(sorted(archived.keys() - held.keys())),
        tuple(sorted(held.keys() - archived.keys())),
        differing,
        len(both),
        tuple(sorted(found, key=lambda one: one.run)),
        flags=_flagged([row for row in rows.values() if row.state is State.VERIFIED]),
    )


def _flagged(verified: Sequence[RunRow]) -> dict[str, tuple[int, ...]]:
    """Return the verified runs by those of their flags that are no disorder."""
    return {flag: tuple(sorted(row.run for row in verified if getattr(row, flag))) for flag in NO_DISORDER}


async def _held(ucondb: UconDB, runs: Collection[int]) -> dict[int, StoredVersion]:
    """Return what UconDB holds under run numbers; the absence of those in ``runs`` is proven."""
    listed = dict(await ucondb.list_keys())
    unlisted = [str(run) for run in runs if str(run) not in listed]
    listed |= await ucondb.look_up_all(unlisted) if unlisted else {}
    return numbered(listed)


def numbered(listed: Mapping[str, StoredVersion]) -> dict[int, StoredVersion]:
    """Return what UconDB lists under run numbers as archiverd writes them; other keys are left out."""
    return {run: found for key, found in listed.items() if (run := parse_run_number(key)) is not None}


def _classify(
    run: int,
    row: RunRow | None,
    archived: Collection[int],
    held: Mapping[int, StoredVersion],
    directories: frozenset[int],
    elsewhere: Mapping[Side, Mapping[int, Found | None]],
) -> str:
    """Return the one state that a run is in; ``elsewhere`` are those not known to be in a configured database."""
    if row is None:
        if run in directories:
            return Discrepancy.UNSEEN
        return Discrepancy.ORPHAN_ARTDAQDB if run in archived else Discrepancy.ORPHAN_UCONDB
    if row.state is not State.VERIFIED:
        return str(row.state)
    imported = elsewhere[Side.ARTDAQDB].get(run)
    if wrong := _describe_loss(row, held.get(run), elsewhere[Side.UCONDB]):
        return wrong
    if imported is Found.DIFFERS:
        return Discrepancy.DIFFERS_ARTDAQDB
    return str(State.VERIFIED) if run in archived or imported is Found.ACCEPTED else Discrepancy.MISSING_ARTDAQDB


def _describe_loss(row: RunRow, held: StoredVersion | None, elsewhere: Mapping[int, Found | None]) -> str:
    """Return what is wrong with what the configured UconDB holds of a verified run; empty if nothing is."""
    if row.run in elsewhere:
        found = elsewhere[row.run]
        if found is None and held is not None:  # by its description only: to read all would take hours after an upgrade
            return _find_fault(row, held) or Discrepancy.NOT_COMPARED
        wrong = Discrepancy.DIFFERS if found is Found.DIFFERS else Discrepancy.ELSEWHERE
        return "" if found is Found.ACCEPTED else wrong
    if held is None:
        return Discrepancy.MISSING_UCONDB
    return _find_fault(row, held)


async def _describe_elsewhere(journal: Journal, states: Mapping[int, str], told: Collection[int]) -> list[Anomaly]:
    """Return how runs that were archived elsewhere differ from what the configured databases have, unless ``told``."""
    kinds = {Side.UCONDB: Discrepancy.DIFFERS, Side.ARTDAQDB: Discrepancy.DIFFERS_ARTDAQDB}
    return [
        Anomaly(run, kind, note)
        for side, kind in kinds.items()
        for run, note in (await journal.differing(side)).items()
        if states.get(run) == kind and run not in told
    ]


def _find_fault(row: RunRow, version: StoredVersion) -> str:
    """Return what is wrong with a verified run's version, by its description and the last proof; empty if nothing."""
    if row.blob_fault in (BlobFault.DAMAGED, BlobFault.DIFFERS):
        return str(row.blob_fault)
    known = [(row.blob_length, version.data_size), (row.blob_adler32, version.adler32)]
    return Discrepancy.DIFFERS if any(ours not in (None, theirs) for ours, theirs in known) else ""


@dataclass(slots=True)
class _Comparison:
    """A deep comparison under way: the states so far, and what was found of single runs."""

    sources: ComparedSources
    states: dict[int, str]
    elsewhere: Collection[int]
    """Runs not known to be in the configured UconDB: what was found of them there is noted already."""
    accepted: Collection[int]
    """Runs that may stay in the artdaqDB that they were imported into, whatever the configured one has of them."""
    prover: Prover
    found: list[Anomaly] = field(default_factory=list)
    unlike: dict[int, str] = field(default_factory=dict)
    """How each run differs of which artdaqDB and UconDB have different contents."""
    _silent: list[int] = field(default_factory=list)
    """Keys that got no reply, in a row."""

    async def compare_all(self, both: Collection[int], on_progress: Progress) -> None:
        """Compare every run that ``both`` databases hold. Raise UconDBError or ArtdaqDBError if one is away."""
        done = 0
        left = iter(both)

        async def work() -> None:
            nonlocal done
            for run in left:
                await self._compare(run, *await self._examine(run))
                done += 1
                on_progress(done, len(both), "blobs compared")

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())

    async def _examine(self, run: int) -> tuple[RunRow | None, Examination]:
        """Return a run's row and what is under its key; again if an operator had that replaced meanwhile."""
        row = await self.sources.journal.get(run)
        for _ in range(READINGS):
            seen = await self.sources.ucondb.examine(str(run))
            before, row = row, await self.sources.journal.get(run)
            if before is None or row is None or (before.state, before.blob_sha256) == (row.state, row.blob_sha256):
                break
        return row, seen

    async def _compare(self, run: int, row: RunRow | None, seen: Examination) -> None:
        """Compare one run, given its row and what was found under its key."""
        if seen.finding is Finding.SILENT:
            self._silent.append(run)
            if len(self._silent) >= SILENT_KEYS:
                raise no_reply(self._silent, seen.why)
        else:
            self._silent.clear()
        if row is not None and row.state is not State.VERIFIED and self.states[run] in _OF_BLOBS:
            self.states[run] = str(row.state)  # sent on its way meanwhile
        verified = row is not None and row.state is State.VERIFIED and run not in self.elsewhere
        if seen.blob is None:
            if row is not None and verified:
                await self._note(row, seen)
            else:
                self.unlike[run] = seen.why
            return
        unlike = await _describe_difference(self.sources, run, seen.blob)
        if unlike:
            self.unlike[run] = unlike
        if row is not None and verified:
            await self._note(row, seen)
            if self.states[run] in _OF_BLOBS:
                self.states[run] = await _check_verified(
                    self.sources, row, seen, "" if run in self.accepted else unlike
                )
            if self.states[run] == Discrepancy.DIFFERS_ARTDAQDB:
                self.found.append(Anomaly(run, Discrepancy.DIFFERS_ARTDAQDB, unlike))

    async def _note(self, row: RunRow, seen: Examination) -> None:
        """Note what was read of a verified run; what is wrong with that comes before all else that is."""
        anomaly = (await self.prover.note(row, seen)).anomaly if row.blob_sha256 else None
        if anomaly is not None:
            self.states[row.run] = anomaly.kind
            self.found.append(anomaly)


async def _describe_difference(sources: ComparedSources, run: int, found: BlobSummary) -> str:
    """Describe how artdaqDB's export of a run, packed with the blob's ``Packed on`` text, differs from the blob.

    Return an empty string if it does not. Raise ArtdaqDBError when artdaqDB does not answer.
    """
    try:
        exported = await sources.artdaqdb.export(run)
        rebuilt = await rebuild_found(found, run, exported)
    except BlobCreationError as error:
        return f"{error.name}: {error}"
    except ArtdaqDBError as error:
        if error.retry is Retry.TRANSIENT or error.blame is not Blame.RUN:
            raise
        return f"{error.name}: {error}"
    return "" if rebuilt is not None else _OTHER_CONTENT


async def _check_verified(sources: ComparedSources, row: RunRow, seen: Examination, unlike: str) -> str:
    """Return the state of a run that the journal calls verified.

    A superseded one differs by intention. While UconDB has the bytes that were proven, it is artdaqDB that changed.
    """
    proven = bool(row.blob_sha256) and seen.identity == Fingerprint(row.blob_length or 0, row.blob_sha256)
    if row.blob_sha256 and not proven:
        return Discrepancy.DIFFERS
    if unlike and not (row.superseded and unlike == _OTHER_CONTENT):
        return Discrepancy.DIFFERS_ARTDAQDB if proven else Discrepancy.DIFFERS
    if not is_proven(row, await sources.journal.story(row.run)):
        return Discrepancy.UNPROVEN
    if row.run in sources.directories:
        fates = {fate.name for fate in await sources.journal.files(row.run)}
        if await run_detached(lambda: _unaccounted(sources.records / str(row.run), fates, row.imported_at or 0.0)):
            return Discrepancy.UNACCOUNTED
    return str(State.VERIFIED)


def is_proven(row: RunRow, story: Sequence[StoryLine]) -> bool:
    """Return whether a run's story leads to verified as it must: along the table, an intent before the proof."""
    steps = [(line.event, line.state) for line in story]
    if len(steps) >= EVENTS_KEPT:  # there is a gap after the first line
        del steps[0]
    events = [event for event, _ in steps]
    if Event.UPLOAD_PROVEN not in events:
        return Event.UPDATE_DONE in events and row.verified_at is not None
    begun = Event.UPLOAD_BEGINS in events[: events.index(Event.UPLOAD_PROVEN)]
    return begun and not find_forbidden_step(steps) and bool(row.blob_sha256) and row.verified_at is not None


def _unaccounted(directory: Path, fates: Collection[str], imported_at: float) -> list[str]:
    """Return the files that were there when the run was imported and that the journal does not have. Blocking."""
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        return [
            entry.name
            for entry in entries
            if legible(entry.name) not in fates and entry.stat(follow_symlinks=False).st_ctime < imported_at - RACY
        ]
    return []
