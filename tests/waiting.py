"""Waits of the suite: for a state, with one deadline that only a defect reaches, however slow the machine is."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_SECONDS = 300.0
"""Longest wait for what must happen. No test may pass or fail by how soon it happens."""

NEVER_SECONDS = 3600.0
"""A limit of archiverd that a test must not reach: what ends before the deadline has ended for another reason."""


def wait_until(done: Callable[[], object], show: Callable[[], object] = lambda: None, pause: float = 0.05) -> None:
    """Return once ``done`` is true, asked every ``pause`` seconds. Fail after the deadline with what ``show`` gives."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not done():
        assert time.monotonic() < end, show()
        time.sleep(pause)


async def wait_until_async(done: Callable[[], object], pause: float = 0.01) -> None:
    """Return once ``done`` is true, asked every ``pause`` seconds. Raise TimeoutError after the deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not done():
            await asyncio.sleep(pause)
