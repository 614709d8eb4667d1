"""Runs an archiverd command and measures how late its event loop is.

    python lagging.py MEASURED command …

At the end the file MEASURED holds a JSON array of [time, milliseconds]: when each tick was due, and how late it came.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archiverd.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Coroutine

TICK_SECONDS = 0.002


async def tick(measured: list[tuple[float, float]]) -> None:
    """Measure until cancelled."""
    while True:
        due = time.perf_counter() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        measured.append((time.time(), (time.perf_counter() - due) * 1000))


def measuring(path: Path) -> Any:
    """Return a function in place of `asyncio.run` that measures and writes to ``path`` at the end."""
    run = asyncio.run

    def measured_run(work: Coroutine[Any, Any, Any]) -> Any:
        measured: list[tuple[float, float]] = []

        async def beside() -> Any:
            ticking = asyncio.create_task(tick(measured))
            try:
                return await work
            finally:
                ticking.cancel()

        try:
            return run(beside())
        finally:
            path.write_text(json.dumps(measured))

    return measured_run


if __name__ == "__main__":
    asyncio.run = measuring(Path(sys.argv[1]))
    del sys.argv[1]
    main()
