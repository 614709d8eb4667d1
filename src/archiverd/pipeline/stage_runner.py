"""The loop of one stage: a feeder that picks run numbers from the journal, a small bounded queue, a few workers.

The queue carries only run numbers; what is known of a run is read from the journal. A drain stops the feeder and lets
the workers finish the queue.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, Retry
from archiverd.core.machine import ForbiddenTransitionError
from archiverd.process.hands import Hands, Holding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from archiverd.core.machine import Stage
    from archiverd.journal.journal import Journal
    from archiverd.pipeline.gate import Gate
    from archiverd.process.shutdown import Shutdown

SHORTEST_WAIT_SECONDS = 0.2
"""Shortest wait for a retry, in seconds: one that is due but in hand must not make the feeder spin."""

PAUSE_SECONDS = 5.0
"""Seconds that a stage waits after the journal could not be used."""


@dataclass(slots=True)
class StageRunner:
    """Runs one stage until the daemon stops."""

    stage: Stage
    journal: Journal
    work: Callable[[int], Awaitable[None]]
    workers: int
    capacity: int
    clock: Callable[[], float]
    shutdown: Shutdown
    logger: log.Log
    gate: Gate | None = None
    """The gate of the backend that the stage writes to; while it is shut no run is picked."""
    until_idle: bool = False
    """Stop as soon as nothing waits but retries due later than in ``retry_wait_seconds`` (one pass, for cron)."""
    retry_wait_seconds: float = 0.0
    quick_retries: int = 0
    """Failed probes of its backend after which one pass gives up."""
    only: frozenset[int] | None = None
    """The runs that may be picked; None for all."""
    hands: Hands = field(default_factory=Hands)
    """What all stages have in hand, and which runs are suspected to have ended the last process."""
    paused: bool = False
    """Nothing is picked until an operator resumes."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stranded: set[int] = field(default_factory=set)
    """Runs whose outcome could not be written: the journal still has them in the middle of an effect."""

    @property
    def in_hand(self) -> frozenset[int]:
        """Runs in the queue or with a worker."""
        return self.hands.held_by(self.stage)

    async def run(self) -> None:
        """Feed and work until a drain is asked for and everything in the queue is done.

        Raise ArchiverError if the journal is damaged, which only a new start repairs: it sets the journal aside.
        """
        queue: asyncio.Queue[int | None] = asyncio.Queue(self.capacity)
        self.hands.wakes.append(self.wake)
        async with asyncio.TaskGroup() as group:
            for number in range(self.workers):
                group.create_task(self._serve(queue), name=f"{self.stage}-{number}")
            await self._feed(queue)
            for _ in range(self.workers):
                await queue.put(None)

    async def _feed(self, queue: asyncio.Queue[int | None]) -> None:
        """Fill the queue from the journal until a drain is asked for; a run is picked only when the queue has room."""
        while not self.shutdown.asked:
            self.wake.clear()
            if queue.full():
                await self._pause(None)
                continue
            try:
                await self._recover_stranded()
                await self.journal.wake_due()
                run = None if self.paused else await self.hands.pick(self.stage, self._waiting)
                wait = None if run is not None else await self._seconds_to_next()
                if run is None and self._idle(wait):
                    return
            except ArchiverError as error:
                self._log_or_raise(error)
                run, wait = None, PAUSE_SECONDS
            if run is not None and self.gate is not None and self.gate.shut:
                self.hands.put_back(Holding(self.stage, run))
                if self._gives_up(self.gate):
                    return
                run = None
            if run is None:
                await self._pause(wait)
            else:
                queue.put_nowait(run)

    async def _serve(self, queue: asyncio.Queue[int | None]) -> None:
        """Work on runs from the queue until its end."""
        while (run := await queue.get()) is not None:
            self.wake.set()
            holding = Holding(self.stage, run)
            await self.hands.take(holding)
            try:
                await self.work(run)
            except ArchiverError as error:  # the journal itself cannot be written
                self._log_or_raise(error, run)
                self.stranded.add(run)
                await self._pause(PAUSE_SECONDS)
            except ForbiddenTransitionError as error:  # an operator was quicker
                self.logger.warning(f"left alone: {error}", run=run)
                self.stranded.add(run)
            await self.hands.let_go(holding)  # not when cancelled: a drain that is cut reports what it leaves
            self.wake.set()

    async def _waiting(self, but: frozenset[int], of: frozenset[int] | None) -> int | None:
        """Return the next run that waits for this stage, none of those in ``but``, and of those in ``of`` if given."""
        only = self.only if of is None else of if self.only is None else self.only & of
        return await self.journal.pick(self.stage, self.in_hand | but, only)

    def _log_or_raise(self, error: ArchiverError, run: int | None = None) -> None:
        """Log that the journal cannot be used for now; raise ``error`` if waiting does not help."""
        if error.retry is not Retry.TRANSIENT:
            raise error
        log.failure(self.logger, error, run)

    async def _recover_stranded(self) -> None:
        """Let runs whose outcome could not be written wait for their stage again, if the journal works again."""
        if self.stranded:
            taken = frozenset(self.stranded)
            await self.journal.recover(taken)
            self.stranded -= taken  # a worker may have added one meanwhile

    def _gives_up(self, gate: Gate) -> bool:
        """Return whether one pass should end because the backend does not come back."""
        return self.until_idle and gate.failures > self.quick_retries

    def _idle(self, wait: float | None) -> bool:
        """Return whether one pass is over: nothing is in hand, no quick retry is due soon, and nobody has woken us.

        What ended after the last pick may have left something to pick.
        """
        idle = not self.in_hand and not self.wake.is_set()
        return self.until_idle and idle and (wait is None or wait > self.retry_wait_seconds)

    async def _seconds_to_next(self) -> float | None:
        """Return the seconds until a waiting retry is due, or None if none waits."""
        due = await self.journal.next_due(self.stage, self.only)
        return None if due is None else max(SHORTEST_WAIT_SECONDS, due - self.clock())

    async def _pause(self, seconds: float | None) -> None:
        """Wait until woken, a drain is asked for, or ``seconds`` have passed."""
        waits = {asyncio.ensure_future(self.wake.wait()), asyncio.ensure_future(self.shutdown.wait())}
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()
