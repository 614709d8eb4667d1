"""Verified runs that were archived in other databases than the configured ones: looked up and compared there (I1, I8).

What is found equal is proven there. What is missing is counted, and goes there only at an operator's word: one mistyped
setting must not send the runs of many years. The work is done beside the stages, a few runs at a time; what was found
is in the journal, so a restart goes on.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from archiverd import log
from archiverd.audit.proving import SILENT_KEYS, no_reply
from archiverd.audit.recovery import CHUNK, note_lacking, why_not_imported_again
from archiverd.core import runset
from archiverd.core.errors import ArchiverError, ArtdaqDBError, Blame, BlobCreationError, Retry, UconDBError
from archiverd.core.machine import State
from archiverd.core.proofs import BlobFault
from archiverd.detached import run_detached
from archiverd.journal import transitions
from archiverd.journal.destinations import Found, Noted, Side
from archiverd.pipeline.migrator import pack, rebuild_found
from archiverd.pipeline.operator_actions import SkippedRun
from archiverd.ucondb.port import Finding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from archiverd.artdaqdb.port import ArchivedRun, ArtdaqDB
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow
    from archiverd.journal.transitions import BlobIdentity
    from archiverd.pipeline.gate import Gate
    from archiverd.process.progress import Progress
    from archiverd.process.shutdown import Shutdown
    from archiverd.ucondb.port import UconDB

_import_log = log.get("Import")
_migration_log = log.get("Migration")

AT_ONCE: Final = 20
"""Runs that are looked up in one go."""
PAUSE_SECONDS: Final = 2.0
"""Seconds between two of them in a daemon."""
ROUND_SECONDS: Final = 600.0
"""Seconds between two checks whether there is anything to look up."""
AGAIN_SECONDS: Final = 5.0
"""Seconds before one that was cut short is begun again, and between checks whether fresh runs are through."""
BEHIND_SECONDS: Final = 60.0
"""Most seconds that runs which are looked up in one go wait behind fresh ones: a long backlog must not starve them."""
LISTING_SECONDS: Final = 86_400.0
"""Seconds between two lists of artdaqDB, and before a run that was missing is looked up again."""
MOST_A_PASS: Final = 1000
"""Most runs that one pass looks up in each database."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """What became of runs that an operator lets go to the configured databases."""

    imported: tuple[int, ...]
    """Imported again from their directories."""
    sent: tuple[int, ...]
    """On their way to UconDB."""
    skipped: tuple[SkippedRun, ...]
    """Not in artdaqDB, and their directories cannot be imported."""


async def let_go(journal: Journal, records: Path, *, asked: bool) -> LetGo:
    """Let runs that the configured databases lack go there.

    ``asked``: an operator says so now; else it is done for those archived elsewhere before an operator said so. Raise
    ArchiverError.
    """
    if not asked and not any([await journal.is_released(side) for side in Side]):
        return LetGo((), (), ())
    lacking = await _missing(journal, Side.ARTDAQDB)
    wanted = lacking if asked else await _released(journal, Side.ARTDAQDB, lacking)
    rows = [row for run in sorted(wanted) if (row := await journal.get(run)) is not None]
    skipped: list[SkippedRun] = []
    imported: list[int] = []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        reasons = await run_detached(partial(_reasons, records, part))
        skipped += [SkippedRun(run, why, failed=True) for run, why in reasons.items() if why]
        ready = [transitions.lost(run) for run, why in reasons.items() if not why]
        imported += [row.run for row in await journal.record_allowed(*ready)]
    missing = await _missing(journal, Side.UCONDB)
    if asked:
        missing |= set(await journal.proofs.faulty(BlobFault.MISSING))
    to_send = sorted((missing if asked else await _released(journal, Side.UCONDB, missing)) - lacking)
    sent: list[int] = []
    for start in range(0, len(to_send), CHUNK):
        ready = [transitions.sent_on(run) for run in to_send[start : start + CHUNK]]
        sent += [row.run for row in await journal.record_allowed(*ready)]
    if imported:
        _import_log.warning(f"imported again at an operator's word: {runset.show(imported)}", runs=len(imported))
    if sent:
        _migration_log.warning(
            f"on their way to this UconDB at an operator's word: {runset.show(sent)}", runs=len(sent)
        )
    return LetGo(tuple(imported), tuple(sent), tuple(skipped))


async def _missing(journal: Journal, side: Side) -> set[int]:
    """Return the verified runs that the configured database of ``side`` lacks."""
    return {run for run, found in (await journal.elsewhere(side)).items() if found is Found.MISSING}


async def _released(journal: Journal, side: Side, runs: set[int]) -> set[int]:
    """Return those of ``runs`` that were archived elsewhere before an operator let such runs go to ``side``."""
    return runs - set(await journal.archived_here(side)) if await journal.is_released(side) else set()


def _reasons(records: Path, rows: Sequence[RunRow]) -> dict[int, str]:
    """Return why each run cannot be imported again; empty for one that can. Blocking."""
    return {row.run: why_not_imported_again(records, row) for row in rows}


@dataclass(slots=True)
class DestinationAudit:
    """Looks up and compares what was archived elsewhere."""

    journal: Journal
    artdaqdb: ArtdaqDB
    ucondb: UconDB | None
    """None in a process that does not migrate."""
    gate: Gate | None
    records: Path
    is_busy: Callable[[], bool] = lambda: False
    """Whether runs are in hand that must not wait for this."""
    is_paused: Callable[[], bool] = lambda: False
    """Whether an operator has paused the daemon: then nothing is begun by itself."""
    clock: Callable[[], float] = time.time
    _listed: float | None = field(default=None, init=False)
    """When artdaqDB was listed, in epoch seconds."""
    _last_failure: str = field(default="", init=False)

    async def watch(self, shutdown: Shutdown) -> None:
        """Look again and again until a drain. Raise ArchiverError if the journal is damaged."""
        while not shutdown.asked:
            if self.is_paused():
                await shutdown.rest(AGAIN_SECONDS)
                continue
            try:
                done = await self.look(shutdown, before=self.clock() - LISTING_SECONDS, pause=PAUSE_SECONDS)
                await let_go(self.journal, self.records, asked=False)
                self._last_failure = ""
            except ArchiverError as error:
                if not isinstance(error, (ArtdaqDBError, UconDBError)) and error.retry is not Retry.TRANSIENT:
                    raise
                if str(error) != self._last_failure:
                    log.failure(_migration_log if isinstance(error, UconDBError) else _import_log, error)
                self._last_failure, done = str(error), False
            await shutdown.rest(ROUND_SECONDS if done else AGAIN_SECONDS)

    async def look(
        self,
        shutdown: Shutdown | None,
        *,
        before: float,
        pause: float = 0.0,
        most: int | None = None,
        on_progress: Progress = lambda *_: None,
    ) -> bool:
        """Look up what was archived elsewhere and not looked up since ``before``; return whether each had its turn.

        At most ``most`` runs of each database. A UconDB that is away is left for later. Raise ArchiverError.
        """
        archived = await self._list_artdaqdb(before)
        if archived is not None:
            runs = [
                run for run in await self.journal.to_look_up(Side.ARTDAQDB, before, self.clock()) if run in archived
            ]

            async def compare(part: Sequence[int]) -> None:
                await self._compare_imported(part, archived)

            if not await self._in_parts(runs[:most], compare, shutdown, pause, on_progress):
                return False
        if self.ucondb is None or self.gate is None:
            return True
        if self.gate.shut:
            return False
        runs = await self.journal.to_look_up(Side.UCONDB, before, self.clock())
        return await self._in_parts(runs[:most], self.compare_proven, shutdown, pause, on_progress)

    async def _list_artdaqdb(self, before: float) -> Mapping[int, ArchivedRun] | None:
        """Return what artdaqDB has, and note what it lacks; None if that was done since and nothing is elsewhere."""
        fresh = self._listed is not None and before <= self._listed <= self.clock()
        if fresh and not await self.journal.to_look_up(Side.ARTDAQDB, before, self.clock()):
            return None
        archived = await note_lacking(self.journal, self.artdaqdb)
        self._listed = self.clock()
        return archived

    async def _in_parts(
        self,
        runs: Sequence[int],
        compare: Callable[[Sequence[int]], Awaitable[None]],
        shutdown: Shutdown | None,
        pause: float,
        on_progress: Progress,
    ) -> bool:
        """Compare ``runs``, some at a time; return whether all were, and no drain was asked for."""
        for start in range(0, len(runs), AT_ONCE):
            if pause and shutdown is not None:
                await self._wait_for_turn(shutdown)
            if shutdown is not None and shutdown.asked:
                return False
            await compare(runs[start : start + AT_ONCE])
            on_progress(min(start + AT_ONCE, len(runs)), len(runs), "runs archived elsewhere looked up")
            if pause and shutdown is not None:
                await shutdown.rest(pause)
        return True

    async def _wait_for_turn(self, shutdown: Shutdown) -> None:
        """Wait while the daemon is paused, and behind fresh runs for a while; return at once after a stop."""
        waited = 0.0
        while not shutdown.asked and (self.is_paused() or (self.is_busy() and waited < BEHIND_SECONDS)):
            await shutdown.rest(AGAIN_SECONDS)
            waited += AGAIN_SECONDS

    async def _compare_imported(self, runs: Sequence[int], archived: Mapping[int, ArchivedRun]) -> None:
        """Compare what artdaqDB has of ``runs`` with what was archived of them. Raise ArtdaqDBError."""
        for run in runs:
            row = await self.journal.get(run)
            if row is None or row.state is not State.VERIFIED:
                continue
            unlike = await self._describe_artdaqdb(row, archived[run])
            if unlike:
                await self.journal.note_found(Side.ARTDAQDB, [Noted(run, Found.DIFFERS, unlike)])
            else:
                await self.journal.note_standing(run, Side.ARTDAQDB)

    async def _describe_artdaqdb(self, row: RunRow, held: ArchivedRun) -> str:
        """Say how artdaqDB's content of a run differs from what was archived; empty if it does not."""
        if row.superseded or not row.blob_sha256:  # its blob is older than its documents by intention, or there is none
            same = held.configuration == f"{row.run}/{row.configuration}"
            return "" if same else f"artdaqDB has it as {held.configuration}"
        try:
            exported = await self.artdaqdb.export(row.run)
            packed = await asyncio.to_thread(pack, row.run, row.packed_on, exported)
        except (ArtdaqDBError, BlobCreationError) as error:
            return _as_finding(error)
        return "" if packed.identity.sha256 == row.blob_sha256 else "artdaqDB has other content of it"

    async def compare_proven(self, runs: Sequence[int]) -> None:
        """Look up ``runs`` in UconDB, and compare what it has. Raise UconDBError."""
        if self.ucondb is None:
            return
        silent: list[int] = []
        held = await self.ucondb.look_up_all([str(run) for run in runs])
        missing = [run for run in runs if str(run) not in held]
        await self.journal.note_found(Side.UCONDB, [Noted(run, Found.MISSING) for run in missing])
        for run in runs:
            row = await self.journal.get(run)
            if row is None or row.state is not State.VERIFIED or str(run) not in held:
                continue
            found = await self._describe_ucondb(self.ucondb, row)
            if found is None:
                silent.append(run)
                if len(silent) >= SILENT_KEYS:
                    raise no_reply(silent)
                continue
            unlike, blob = found
            if unlike:
                await self.journal.note_found(Side.UCONDB, [Noted(run, Found.DIFFERS, unlike)])
                _migration_log.error(f"{unlike} (`archiverd reconcile`; nothing was overwritten)", run=run)
            else:
                await self.journal.note_standing(run, Side.UCONDB, blob)

    async def _describe_ucondb(self, ucondb: UconDB, row: RunRow) -> tuple[str, BlobIdentity | None] | None:
        """Say how UconDB's bytes of a run differ from what was proven; empty if they do not.

        The second is their identity where they are the run packed at another time (I5). None if there is no reply for
        this key alone.
        """
        try:
            seen = await ucondb.examine(str(row.run))
            if seen.finding is Finding.SILENT:
                return None
            if seen.blob is None:
                return seen.why or "UconDB has no version under its key any more", None
            if row.blob_sha256 and seen.blob.identity.sha256 == row.blob_sha256:
                return "", None
            rebuilt = await rebuild_found(seen.blob, row.run, await self.artdaqdb.export(row.run))
        except ArchiverError as error:
            return _as_finding(error), None
        if rebuilt is None:
            return "UconDB has other content under its key than was proven elsewhere", None
        return "", rebuilt.journal_identity()


def _as_finding(error: ArchiverError) -> str:
    """Return an error of one run as what was found of it. Raise it if it is the database's, which may pass."""
    if error.retry is Retry.TRANSIENT or error.blame is not Blame.RUN:
        raise error
    return f"{error.name}: {error}"
