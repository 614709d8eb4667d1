"""How long a stop may take: what is cut, what is left when something hangs for good, and what is said."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from archiverd import log
from archiverd.core.errors import ArchiverError, exit_code
from archiverd.process import shutdown as stops
from archiverd.process.shutdown import Shutdown, ShutdownReason, abandon_on_shutdown, drain_limit, startup_step
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

HANGS = """
import asyncio, sys, threading, time
from pathlib import Path
from archiverd import log
from archiverd.config.loader import load
from archiverd.process import exit_deadline
from archiverd.process.shutdown import ShutdownReason, Shutdown, drain_limit
exit_deadline.CLOSING_SECONDS = exit_deadline.THREADS_SECONDS = 0.2
never = threading.Event()
async def main():
    shutdown = Shutdown(time.monotonic)
    shutdown.ask(ShutdownReason.INTERRUPTED)
    async with exit_deadline.exit_in_time(load(Path(sys.argv[1]), migrating=False), "run", shutdown, 0.2):
        async with drain_limit(shutdown, 0.1):
            await asyncio.to_thread(never.wait)
        if sys.argv[2] == "closing":
            await asyncio.to_thread(never.wait)
log.configure("INFO")
asyncio.run(main())
"""


@pytest.mark.parametrize("reason", list(ShutdownReason))
async def test_what_has_nothing_in_hand_is_given_up_with_the_reasons_exit_code(reason: ShutdownReason) -> None:
    """A start that is stopped while it waits for a database ends in words, and with the code of any other stop."""
    shutdown = Shutdown(time.monotonic)
    asyncio.get_running_loop().call_soon(shutdown.ask, reason)
    with pytest.raises(ArchiverError, match="stopped before artdaqDB was open") as caught:
        async with abandon_on_shutdown(shutdown, 0.0, "artdaqDB was open"):
            await asyncio.Event().wait()
    assert exit_code(caught.value) == reason.value


async def test_what_is_done_in_time_is_not_given_up() -> None:
    """A stop alone ends nothing."""
    shutdown = Shutdown(time.monotonic)
    shutdown.ask(ShutdownReason.INTERRUPTED)
    async with abandon_on_shutdown(shutdown, 30.0, "it was done"):
        await asyncio.sleep(0)


async def test_the_parts_of_a_start_share_one_limit() -> None:
    """It counts from the stop, not from the beginning of each part."""
    now = 100.0
    shutdown = Shutdown(lambda: now)
    assert shutdown.remaining(7.0) == 7.0
    shutdown.ask(ShutdownReason.INTERRUPTED)
    now = 105.0
    shutdown.ask(ShutdownReason.LOCK_REMOVED)
    assert shutdown.remaining(7.0) == 2.0
    now = 200.0
    async with drain_limit(shutdown, 60.0) as limit:
        await asyncio.Event().wait()
    assert limit.expired()


async def test_a_long_start_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a service manager gives it up the log tells which part it is; a quick one says nothing."""
    log.configure("INFO", "console")
    shutdown = Shutdown(time.monotonic)
    async with startup_step(shutdown, 0.0, "opening UconDB", "UconDB was open"):
        pass
    monkeypatch.setattr(stops, "LONG_SECONDS", 0.0)
    asyncio.get_running_loop().call_later(0.01, shutdown.ask, ShutdownReason.INTERRUPTED)
    with contextlib.suppress(ArchiverError):
        async with startup_step(shutdown, 0.0, "opening artdaqDB", "artdaqDB was open"):
            await asyncio.Event().wait()
    said = capsys.readouterr().err
    assert "takes long: still opening artdaqDB" in said
    assert "UconDB" not in said


@pytest.mark.parametrize("what", ["a thread", "closing"])
def test_a_process_leaves_though_something_hangs_for_good(tmp_path: Path, what: str) -> None:
    """What cannot be cancelled is left behind: the exit code is the reason's, and the record tells."""
    config = tmp_path / "archiverd.toml"
    (tmp_path / "work").mkdir()
    config.write_text(
        f'[app]\nwork_dir = "{tmp_path}/work"\n[source_files]\nrun_records_dir = "{tmp_path}/records"\n'
        f'[artdaq_db]\ndatabase_uri = "filesystemdb://{tmp_path}/db"\n'
    )
    argv = [sys.executable, "-c", HANGS, str(config), what]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    assert done.returncode == 130, done.stderr
    assert "leaving without the rest: something does not answer and cannot be interrupted" in done.stderr
    recorded = json.loads((tmp_path / "work" / "last_exit.json").read_text())
    assert (recorded["command"], recorded["exit_code"]) == ("run", 130)
    assert "something hung" in recorded["reason"]
