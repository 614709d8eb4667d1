"""What the daemon makes of requests that are none."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from archiverd.core.errors import ArchiverError
from archiverd.core.runset import LAST_RUN
from archiverd.daemon.commands import Commands
from archiverd.process.shutdown import Shutdown

if TYPE_CHECKING:
    from archiverd.app.wiring import Parts
    from archiverd.watch.watcher import Watcher


@pytest.mark.parametrize("run", [0, LAST_RUN + 1, 10**30, "12", None])
@pytest.mark.parametrize("name", ["waive", "release", "retry"])
async def test_what_is_no_run_number_is_refused(name: str, run: object) -> None:
    """Neither is anything else done instead, nor is the journal asked for what it cannot hold."""
    parts, watcher = cast("Parts", SimpleNamespace(journal=None)), cast("Watcher", SimpleNamespace())
    handlers = Commands(parts, watcher, Shutdown(time.monotonic), begun=0.0).handlers
    with pytest.raises(ArchiverError, match="run must be a run number"):
        await handlers[name]({"stage": "import", "run": run, "runs": [run]}, lambda _: None)
