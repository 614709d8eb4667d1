"""Blocking work that nobody has to wait for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from archiverd.detached import connect_tcp, run_detached
from tests.waiting import DEADLINE_SECONDS


async def test_results_and_errors_come_back() -> None:
    """What the work returns or raises is what its caller gets."""
    assert await run_detached(lambda: 7, 30) == 7
    with pytest.raises(ValueError, match="no"):
        await run_detached(lambda: int("no"), 30)
    assert await run_detached(lambda: 7) == 7, "no limit is needed"
    with pytest.raises(ZeroDivisionError):
        await run_detached(lambda: 1 // 0)


async def test_a_result_that_comes_too_late_is_undone() -> None:
    """A connection made after its caller gave up is closed, not leaked."""
    go, undone = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        await run_detached(lambda: go.wait(30), 0.01, lambda _: loop.call_soon(undone.set))
    go.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await undone.wait()


def test_the_process_does_not_wait_for_it() -> None:
    """A name server that is silent for minutes does not keep a daemon from ending."""
    program = """
import asyncio, threading
from archiverd.detached import run_detached
async def main():
    try:
        await run_detached(lambda: threading.Event().wait(3600), 0.1)
    except TimeoutError:
        print("gave up")
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=True
    )
    assert done.stdout == "gave up\n"


async def test_what_is_no_host_name_is_an_error_of_the_system() -> None:
    """Callers handle OSError; a name that cannot even be encoded is one too."""
    with pytest.raises(OSError, match="no host name"):
        await connect_tcp("a..b" + "x" * 70, 25, 30)
