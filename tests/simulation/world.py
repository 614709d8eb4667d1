"""A world that can be run through again: virtual time, seeded dice, and a process that can be killed at any effect."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

EPOCH = 1_700_000_000.0
DAY = 86_400.0


class Killed(BaseException):
    """The process was killed; nothing it does has an effect any more."""


class StuckError(Exception):
    """Nothing will ever happen again, and something should have."""


class Inline(ThreadPoolExecutor):
    """An executor that works at once, in the caller's thread: virtual time cannot wait for threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - as a thread would hand it over
            done.set_exception(error)
        return done


async def at_once(work: Callable[[], T]) -> T:
    """Stand in for ``run_detached``, for the same reason."""
    return work()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next thing to do."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now
        self._clock_resolution = 1e-6  # epoch seconds are no finer
        self.set_default_executor(Inline(1))
        self.set_exception_handler(lambda _loop, _context: None)  # whatever dies with a killed process

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        waiting: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        while waiting and waiting[0].cancelled():
            heapq.heappop(waiting)._scheduled = False  # type: ignore[attr-defined]
            self._timer_cancelled_count -= 1
        if not self._ready:  # type: ignore[attr-defined]
            if not waiting:
                raise StuckError
            self.now = max(self.now, waiting[0].when())
        super()._run_once()  # type: ignore[misc]


class World:
    """Time, dice, and whether the process lives. Everything outside the process asks it before it does anything."""

    def __init__(self, seed: int, haste: float = 1.0) -> None:
        """``haste`` makes faults so many times more frequent."""
        self.dice = random.Random(seed)
        self.haste = haste
        self.now = EPOCH
        self.clock_ahead = self.server_ahead = 0.0
        """How far the wall clock of the machine, and that of the file server, are ahead of true time."""
        self.booted = EPOCH - DAY
        self.boot = 0
        """When the machine was started last, and which start that was."""
        self.loop: VirtualLoop | None = None
        self.dead = True
        self.peaceful = False
        """No faults any more: what is left is to be finished."""
        self.kill_at: int | None = None
        self.effects: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def time(self) -> float:
        """Return epoch seconds."""
        return self.now if self.loop is None else self.loop.now

    def wall(self) -> float:
        """Return epoch seconds by the clock of the machine, which may be wrong."""
        return self.time() + self.clock_ahead

    def server_time(self) -> float:
        """Return epoch seconds by the clock of the file server, which may be wrong."""
        return self.time() + self.server_ahead

    def uptime(self) -> float:
        """Return the seconds since the machine was started: this clock never jumps."""
        return self.time() - self.booted

    def reboot(self) -> None:
        """Start the machine anew."""
        self.booted, self.boot = self.now, self.boot + 1

    def chance(self, share: float) -> bool:
        """Tell whether a fault of this share befalls somebody now."""
        return not self.peaceful and self.dice.random() < share * self.haste

    def note(self, fault: str) -> None:
        """Note a fault that befell somebody."""
        self.faults[fault] += 1

    def effect(self, name: str) -> None:
        """Note an effect of the process; raise Killed if it is its last, or it is dead."""
        if self.dead:
            raise Killed
        self.effects[name] += 1
        if self.kill_at is not None:
            self.kill_at -= 1
            if self.kill_at <= 0 and not self.peaceful:
                self.dead = True
                self.kill_at = None
                raise Killed

    def live(self, process: Coroutine[Any, Any, None], until: float) -> None:
        """Let a process live until it is killed or the time has come; what is left of it then is cleared away."""
        self.loop = VirtualLoop(self.now)
        self.dead = False
        try:
            task = self.loop.create_task(process)
            end = self.loop.create_task(asyncio.sleep(until - self.now))
            self.loop.run_until_complete(asyncio.wait((task, end), return_when=asyncio.FIRST_COMPLETED))
            ended = task.done()
            self.dead = True
            left = [one for one in asyncio.all_tasks(self.loop) if not one.done()]
            for one in left:
                one.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left))
            if ended:
                _demand_killed(task)
        finally:
            self.now = self.loop.now
            self.loop.close()
            self.loop = None


def _demand_killed(task: asyncio.Task[None]) -> None:
    """Raise what ended a process, unless it was killed."""
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):
        others = [one for one in error.exceptions if not isinstance(one, Killed)]
        error = others[0] if others else error.exceptions[0]
    if error is not None and not isinstance(error, Killed):
        raise error
