"""What is to happen around the process, whether it lives or not: a list of times, and what happens then."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.simulation.world import World


class Agenda:
    """Things that happen at their time, each once; they may put others on the agenda."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._earlier = asyncio.Event()

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let something happen in so many seconds."""
        at = self._world.time() + seconds
        heapq.heappush(self._heap, (at, next(self._order), happen))
        if self._heap[0][0] == at:
            self._earlier.set()

    def catch_up(self, until: float) -> None:
        """Let happen what is due while no process lives; time passes with it, up to ``until``."""
        while self._heap and self._heap[0][0] <= until:
            at, _, happen = heapq.heappop(self._heap)
            self._world.now = max(self._world.now, at)
            happen()
        self._world.now = max(self._world.now, until)

    async def pass_by(self, before: Callable[[], Awaitable[None]], on_news: Callable[[], None]) -> None:
        """Let things happen at their time while a process lives: what ``before`` does comes before each of them.

        ``on_news`` is called after it.
        """
        self._earlier = asyncio.Event()
        while True:
            now = self._world.time()
            while self._heap and self._heap[0][0] <= now:
                await before()
                heapq.heappop(self._heap)[2]()
                on_news()
            self._earlier.clear()
            wait = self._heap[0][0] - now if self._heap else None
            try:
                await asyncio.wait_for(self._earlier.wait(), wait)
            except TimeoutError:
                continue
