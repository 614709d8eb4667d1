"""The scrub: what was proven once is proven again in time, by itself, and a change is told (I8).

One blob at a time is read back, in a stream. Fresh runs come first: nothing is read while UconDB is away, an operator
has paused the daemon, or a run waits for its upload.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.audit.proving import Prover, Verdict
from archiverd.audit.scrub_plan import LOOKED_UP_AT_ONCE, Pace, longest_wait, next_step
from archiverd.core.errors import ArchiverError, Retry, UconDBError
from archiverd.core.machine import UNDER_WAY, Stage
from archiverd.core.proofs import BlobFault
from archiverd.core.runset import LAST_RUN
from archiverd.ucondb.port import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archiverd.journal.journal import Journal
    from archiverd.journal.proofs import ProvenKey, Standstill
    from archiverd.process.shutdown import Shutdown
    from archiverd.ucondb.port import StoredVersion, UconDB

_log = log.get("Migration")

STANDSTILL_WAITS = 10
"""Minutes between two looks whether what made the scrub stand still is over."""


def local_hour(now: float) -> float:
    """Return the hour of the local day at ``now``, epoch seconds."""
    at = time.localtime(now)
    return at.tm_hour + at.tm_min / 60 + at.tm_sec / 3600


@dataclass(slots=True)
class Scrub:
    """Proves verified runs again as long as the daemon lives."""

    journal: Journal
    ucondb: UconDB
    pace: Pace
    may_read: Callable[[], bool]
    """Whether UconDB may be asked for what is not urgent."""
    clock: Callable[[], float]
    """Epoch seconds."""
    hour: Callable[[float], float] = local_hour
    _last_failure: str = field(default="", init=False)

    @property
    def _prover(self) -> Prover:
        return Prover(self.journal, self.ucondb, self.clock)

    async def watch(self, shutdown: Shutdown) -> None:
        """Prove runs again until a drain. Raise ArchiverError if the journal is damaged."""
        while not shutdown.asked:
            try:
                wait = await self.step()
                self._last_failure = ""
            except ArchiverError as error:
                if not isinstance(error, UconDBError) and error.retry is not Retry.TRANSIENT:
                    raise
                if str(error) != self._last_failure:
                    log.failure(_log, error)
                self._last_failure, wait = str(error), longest_wait()
            await shutdown.rest(wait)

    async def step(self) -> float:
        """Do what is due, one blob or some look-ups at most; return the seconds to wait before the next step.

        Raise UconDBError when UconDB does not answer, ArchiverError when the journal fails.
        """
        if not self.may_read() or await self._fresh_runs_wait():
            return longest_wait()
        standstill = await self.journal.proofs.standstill()
        if standstill is not None and not await self._is_over(standstill):
            return STANDSTILL_WAITS * longest_wait()
        facts, now = await self.journal.proofs.facts(), self.clock()
        step = next_step(facts, self.pace, now, self.hour(now))
        if step.track is None:
            return step.wait
        if step.track == "look_ups":
            await self._look_up(facts.below or LAST_RUN)
        else:
            await self._prove(step.run)
            await self.journal.proofs.note_step(step.track)
        return 0.0

    async def _fresh_runs_wait(self) -> bool:
        """Return whether a run waits for UconDB, or is with it."""
        waiting = await self.journal.on_their_way(self.clock())
        return any(waiting.get(state, 0) for state in UNDER_WAY[Stage.MIGRATE])

    async def _prove(self, run: int) -> Verdict | None:
        """Prove one run again; None if it has moved on meanwhile."""
        row = await self.journal.get(run)
        return None if row is None else (await self._prover.prove(row)).verdict

    async def _look_up(self, below: int) -> None:
        """Look up the next keys below a run number; one that is not as it was proven is read back at once."""
        keys = await self.journal.proofs.keys_below(below, LOOKED_UP_AT_ONCE)
        held = await self.ucondb.look_up_all([str(key.run) for key in keys])
        await self.journal.proofs.note_present([key.run for key in keys if _is_back(key, held.get(str(key.run)))])
        for key in keys:
            if _is_unlike(key, held.get(str(key.run))) and await self._prove(key.run) is Verdict.STOPPED:
                return
        last = keys[-1].run if len(keys) == LOOKED_UP_AT_ONCE else 0
        await self.journal.proofs.note_step("look_ups", last)

    async def _is_over(self, standstill: Standstill) -> bool:
        """Return whether the scrub may go on: what was missing is there again, or can be read again."""
        if standstill.fault is BlobFault.MISSING:
            over = not await self._prover.find_withheld()
        else:
            over = await self._is_one_sound(standstill.runs)
        if over and await self.journal.proofs.resume():
            missing = await self.journal.proofs.faulty(BlobFault.MISSING)
            held = await self.ucondb.look_up_all([str(run) for run in missing])
            await self.journal.proofs.note_present([run for run in missing if str(run) in held])
            _log.info("runs are proven again: UconDB has again what was missing, or gives it back again")
        return over

    async def _is_one_sound(self, runs: Sequence[int]) -> bool:
        """Return whether one of ``runs`` can be read: a single one may be damaged for good."""
        for run in runs:
            if (await self.ucondb.examine(str(run))).finding is Finding.SOUND:
                return True
        return False


def _is_unlike(key: ProvenKey, held: StoredVersion | None) -> bool:
    """Return whether what UconDB says of a key is not what was proven."""
    if held is None:
        return True
    return key.size not in (None, held.data_size) or key.adler32 not in (None, held.adler32)


def _is_back(key: ProvenKey, held: StoredVersion | None) -> bool:
    """Return whether a key that was missing is there again as it was."""
    return key.fault is BlobFault.MISSING and not _is_unlike(key, held)
