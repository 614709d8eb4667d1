"""Runs an archiverd command and kills it, with SIGKILL, right after its n-th effect on the world.

    python crashing.py N COUNTED command …

An effect is a commit of the journal, a call of the Disk seam, or a request to UconDB (before it is sent, and after it
was answered). With N = 0 nothing is killed; how many effects there were is written to the file COUNTED.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archiverd import disk
from archiverd.cli.main import main
from archiverd.journal.writer import Writer
from archiverd.ucondb.http import HttpExchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DISK_CALLS = (
    "write",
    "create",
    "append",
    "truncate",
    "publish",
    "move",
    "sync_files",
    "sync_directory",
    "unlink",
    "make_directory",
)


class Counter:
    """Counts effects; the n-th is the last."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.count = 0

    def tick(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call``, counted when it is done."""

        @functools.wraps(call)
        def counted(*arguments: Any, **named: Any) -> Any:
            result = call(*arguments, **named)
            self.tick()
            return result

        return counted


def hook(counter: Counter) -> None:
    """Count every effect."""
    for name in DISK_CALLS:
        setattr(disk.RealDisk, name, counter.after(getattr(disk.RealDisk, name)))
    Writer._run_group = counter.after(Writer._run_group)  # type: ignore[method-assign]
    exchange = HttpExchange.exchange

    @contextlib.asynccontextmanager
    async def counted(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
        counter.tick()
        async with exchange(*arguments, **named) as answer:
            yield answer
        counter.tick()

    HttpExchange.exchange = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    counter = Counter(int(sys.argv[1]))
    counted = Path(sys.argv[2])
    del sys.argv[1:3]
    hook(counter)
    try:
        main()
    finally:
        if not counter.last:
            counted.write_text(str(counter.count))
