"""The audit of the directories: verified runs compared, again and again, with what was archived of them (I8).

The runs of the last days are compared every few minutes, all others once a day, newest first, at an even pace. A
restart goes on where the last process was.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from archiverd import log
from archiverd.audit.anomalies import Discrepancy
from archiverd.audit.directory import Comparison, Verdict, compare_directory, look_at
from archiverd.audit.reused import describe_other
from archiverd.core.errors import ArchiverError, Retry
from archiverd.core.machine import State
from archiverd.core.runset import LAST_RUN
from archiverd.detached import run_detached
from archiverd.journal.rows import ComparedRun, Differences, LostFile
from archiverd.process import mounts
from archiverd.process.boot import boot_id, uptime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import FileFate, RunRow

_log = log.get("Import")

ROUND_SECONDS: Final = 300.0
"""Seconds between two comparisons of the runs of the last days."""
RECENT_SECONDS: Final = 3 * 86_400.0
"""How long ago a run of the last days was verified at most."""
SWEEP_SECONDS: Final = 86_400.0
"""Seconds in which all runs are compared once."""
AGAIN_SECONDS: Final = 86_400.0
"""Seconds after which a file that is missing is looked for again; only then it is removed."""
BYTES_A_SECOND: Final = 10e6
"""Most bytes that are hashed in a second."""
CALLS_A_SECOND: Final = 20.0
"""Most calls of a network file system in a second."""
CALLS_A_FILE: Final = 3
"""Calls that comparing a file costs there: open, fstat, close; a look costs one a file, and one the directory."""
AT_ONCE: Final = 20
"""Runs compared in one go."""


def make_audit(journal: Journal, records: Path) -> DirectoryAudit:
    """Return the audit of the run directories in ``records``."""
    return DirectoryAudit(journal, records, time.time, uptime, asyncio.sleep, boot_id())


async def note_compared(journal: Journal, compared: Sequence[ComparedRun]) -> None:
    """Note what comparisons of directories found, and log what is news. Raise ArchiverError."""
    for run in await journal.note_compared(compared):
        row = await journal.get(run)
        if row is None:
            continue
        if row.reused:
            _log.error(f"{describe_other(row.reused, row.start_line)} ({Discrepancy.REUSED.remedy([run])})", run=run)
        elif row.changed:
            _log.error(f"{Discrepancy.CHANGED.fact}: {row.changed} ({Discrepancy.CHANGED.action([run])})", run=run)
        else:
            _log.info("its directory holds what was archived again", run=run)


class DirectoryAudit:
    """Compares the directories of verified runs with what was archived of them."""

    def __init__(
        self,
        journal: Journal,
        records: Path,
        clock: Callable[[], float],
        uptime: Callable[[], float],
        rest: Callable[[float], Awaitable[object]],
        boot: str = "",
    ) -> None:
        """``clock`` gives epoch seconds, ``uptime`` those since the machine started; ``rest`` waits.

        ``boot`` tells which start of the machine this is: without it times of another process are told by ``clock``.
        """
        self._journal = journal
        self._records = records
        self._clock = clock
        self._uptime = uptime
        self._rest = rest
        self._boot = boot

    async def watch(self) -> None:
        """Compare until cancelled. Raise ArchiverError if the journal is damaged."""
        while True:
            begun = self._uptime()
            try:
                await self.compare_recent()
                await self._go_on()
            except ArchiverError as error:
                if error.retry is not Retry.TRANSIENT:
                    raise
                log.failure(_log, error)
            await self._rest(max(1.0, ROUND_SECONDS - (self._uptime() - begun)))

    async def compare_recent(self) -> None:
        """Compare the runs of the last days. Raise ArchiverError if the journal fails."""
        await self.compare(await self._journal.verified_since(self._clock() - RECENT_SECONDS))

    async def _go_on(self) -> None:
        """Compare the share of all runs that is due in one round, from where the last round ended."""
        below = await self._journal.sweep() or LAST_RUN
        verified = await self._journal.count(State.VERIFIED)
        share = math.ceil(verified * ROUND_SECONDS / SWEEP_SECONDS)
        rows = await self._journal.verified_below(below, share)
        await self.compare(rows)
        await self._journal.note_sweep(rows[-1].run if len(rows) == share and rows else 0)

    async def compare(self, rows: Sequence[RunRow]) -> None:
        """Compare the directories of ``rows``, at a bounded rate; note and log what is news. Raise ArchiverError."""
        for start in range(0, len(rows), AT_ONCE):
            if await self._journal.missing_since() is not None:
                return  # nobody can tell what became of directories that are not mounted
            network = await run_detached(partial(mounts.is_network, self._records))
            part, looked_at = await run_detached(partial(self._suspects, rows[start : start + AT_ONCE]))
            manifests = [await self._journal.files(row.run) for row in part]
            found = await run_detached(partial(self._compare_all, part, manifests, network=network))
            await self._note(part, found)
            calls = looked_at + CALLS_A_FILE * sum(map(len, manifests)) if network else 0
            await self._rest(sum(one.hashed for one in found) / BYTES_A_SECOND + calls / CALLS_A_SECOND)

    def _suspects(self, rows: Sequence[RunRow]) -> tuple[list[RunRow], int]:
        """Return the runs whose files have not the status they had, or that are flagged; and the calls made. Blocking.

        On a network file system too the status is asked for without opening the file: an answer out of the cache of
        attributes, a minute old, only delays what is seen to the next round.
        """
        suspects, calls = [], 0
        for row in rows:
            listing, files = look_at(self._records / str(row.run))
            calls += 1 + files
            if row.changed or row.reused or listing != row.listing:
                suspects.append(row)
        return suspects, calls

    def _compare_all(
        self, rows: Sequence[RunRow], manifests: Sequence[Sequence[FileFate]], *, network: bool
    ) -> list[Comparison]:
        """Compare some directories. Blocking, for a worker thread."""
        pairs = zip(rows, manifests, strict=True)
        return [compare_directory(self._records / str(row.run), row, files, network=network) for row, files in pairs]

    async def _note(self, rows: Sequence[RunRow], found: Sequence[Comparison]) -> None:
        """Note what was found, and log what is news."""
        compared = [one for row, result in zip(rows, found, strict=True) if (one := await self._judged(row, result))]
        await note_compared(self._journal, compared)

    async def _judged(self, row: RunRow, found: Comparison) -> ComparedRun | None:
        """Return what to note of a run; None for nothing."""
        if found.verdict is Verdict.UNKNOWN:
            return None
        if found.verdict is Verdict.REUSED:
            return ComparedRun(row.run, Differences(), found.started)
        removed = await self._removed(row, found.differences.removed)
        differences = Differences(found.differences.added, found.differences.edited, removed)
        listing = "" if found.differences else found.listing
        same = (differences, "", listing or row.listing) == (row.changed, row.reused, row.listing)
        return None if same else ComparedRun(row.run, differences, listing=listing)

    async def _removed(self, row: RunRow, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of the missing files that are removed: each was missing a day ago too.

        Since when is in the journal: neither a restart nor one pass a day begins to count anew.
        """
        noted = {one.name: one for one in await self._journal.lost_files(row.run)}
        now = LostFile("", self._clock(), self._uptime(), self._boot)
        lost = {name: noted.get(name) or replace(now, name=name) for name in names}
        if lost != noted:
            await self._journal.note_lost(row.run, lost.values())
        return tuple(
            name for name in names if name in row.changed.removed or _elapsed(lost[name], now) >= AGAIN_SECONDS
        )


def _elapsed(since: LostFile, now: LostFile) -> float:
    """Return the seconds between two moments: over a restart of the machine only the wall clock tells."""
    same_start = bool(since.boot) and since.boot == now.boot
    return now.uptime - since.uptime if same_start else now.wall - since.wall
