"""The gate before a backend: it is shut while the backend does not work or refuses us, and limits exchanges at once.

`core.breaker` decides when only probes are sent, `core.upload_limit` how many uploads run at once. A run that finds the
gate shut stays where it is, and nothing is counted against it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from archiverd import log
from archiverd.core import breaker as breakers
from archiverd.core import upload_limit
from archiverd.core.breaker import Breaker, Health
from archiverd.core.errors import ArchiverError
from archiverd.journal.rows import Hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from archiverd.core.environment import Environment
    from archiverd.core.errors import Blame


class Probe(Protocol):
    """A request that shows whether a backend works."""

    def __call__(self, *, login_only: bool) -> Awaitable[None]:
        """Return if it works, else raise ArchiverError; with ``login_only`` ask only whether it accepts our login."""


class GateShutError(Exception):
    """The backend is left alone for now; the run stays where it is."""


class Gate:
    """The gate before one backend; its methods belong to one event loop."""

    def __init__(
        self,
        name: str,
        most: int,
        probe: Probe,
        environment: Environment,
        logger: log.Log,
        on_change: Callable[[], None],
    ) -> None:
        """At most ``most`` pass at once; ``on_change`` is called when the gate opens, shuts, or a probe has failed."""
        self.name = name
        self._probe = probe
        self._environment = environment
        self._log = logger
        self._on_change = on_change
        self._breaker = Breaker()
        self._limit = upload_limit.UploadLimit(most)
        self._inside = 0
        self._cause: ArchiverError | None = None
        self._turn = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def shut(self) -> bool:
        """Whether nothing is let through."""
        return not self._breaker.lets_through

    @property
    def failures(self) -> int:
        """Probes that failed in a row; 0 while the gate is open."""
        return self._breaker.failures if self.shut else 0

    @property
    def allowed(self) -> int:
        """Runs that may be inside at once, now."""
        if self.shut:
            return 0
        return 1 if self._breaker.health is Health.TRIAL else self._limit.allowed

    @property
    def hold(self) -> Hold | None:
        """Why the gate is not open to all, for people to read; None if it is."""
        seen = self._breaker
        if seen.health is Health.WORKING or (seen.since is None and self._cause is None):
            return None
        cause, now = self._cause, self._environment.monotonic()
        return Hold(
            backend=self.name,
            health=str(seen.health),
            since=self._epoch(now if seen.since is None else seen.since),
            cause="" if cause is None else f"{cause.name}: {cause}",
            remedy="" if cause is None else cause.remedy,
            probes=seen.failures,
            probe_at=self._epoch(seen.probe_at) if self.shut else None,
        )

    def _epoch(self, monotonic: float) -> float:
        """Return a time of the monotonic clock as epoch seconds."""
        return self._environment.clock() + monotonic - self._environment.monotonic()

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a place inside, entered as soon as one is free. Raise GateShutError if the gate is shut or shuts."""
        while not self.shut and self._inside >= self.allowed:
            await self._turn.wait()
        if self.shut:
            raise GateShutError(self.name)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._wake_waiting()

    def passed(self, seconds: float, size: int) -> None:
        """Note that an exchange went well: ``size`` bytes in ``seconds``."""
        self._limit = upload_limit.after_success(self._limit, seconds, size)
        self._take_on(breakers.passed(self._breaker), None)

    def failed(self, error: ArchiverError) -> bool:
        """Note a failed exchange; return whether it counts against the run, rather than only against the backend."""
        before = self._breaker
        after = breakers.failed(before, error.blame, self._environment.monotonic(), self._environment.uniform)
        if after.failures > before.failures:
            self._limit = upload_limit.after_failure(self._limit)
        self._take_on(after, error)
        return after.lets_through or (before.health is Health.TRIAL and after.health is Health.AWAY)

    async def attend(self, save: Callable[[Hold | None], Awaitable[None]]) -> None:
        """Probe the backend while the gate is shut, until cancelled; ``save`` gets every change of the hold."""
        while True:
            self._changed.clear()
            with contextlib.suppress(ArchiverError):  # only for people to read; the stages report a journal that fails
                await save(self.hold)
            if not self.shut:
                await self._changed.wait()
                continue
            wait = self._breaker.probe_at - self._environment.monotonic()
            if wait > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), wait)
                continue
            await self.probe()

    async def probe(self) -> None:
        """Probe the backend once and note the answer."""
        refused = self._breaker.health is Health.REFUSED
        try:
            await self._probe(login_only=refused)
        except ArchiverError as error:
            self._note_probe(error, error.blame)
        else:
            self._note_probe(None, None)

    def _note_probe(self, error: ArchiverError | None, blame: Blame | None) -> None:
        environment = self._environment
        self._take_on(breakers.probed(self._breaker, blame, environment.monotonic(), environment.uniform), error)

    def _take_on(self, after: Breaker, error: ArchiverError | None) -> None:
        """Take on a new state of the breaker, log what changed, and wake everybody who waits for it."""
        before, self._breaker = self._breaker, after
        if error is not None and not after.lets_through:
            if before.health is not after.health or self._cause is None or str(self._cause) != str(error):
                log.failure(self._log, error)
            self._cause = error
        if after.health is not before.health:
            self._log_change(before, after)
            self._wake_waiting()
        if (after.health, after.probe_at) != (before.health, before.probe_at):
            self._changed.set()
            self._on_change()

    def _log_change(self, before: Breaker, after: Breaker) -> None:
        """Log a change of health."""
        if before.lets_through and not after.lets_through:
            self._log.warning(f"{self.name} is left alone and probed; runs wait, no retry is counted against them")
        if after.health is Health.WORKING and self._cause is not None:
            away = "" if before.since is None else f" after {self._environment.monotonic() - before.since:.0f} s"
            self._log.info(f"{self.name} works again{away}")
            self._cause = None

    def _wake_waiting(self) -> None:
        """Let everybody who waits for a place check again."""
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()
