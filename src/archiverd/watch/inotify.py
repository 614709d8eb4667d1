"""Hints from the kernel that the run-records directory changed: the only module that imports watchfiles.

A hint only makes the watcher scan sooner: the kernel's queue overflows silently, and network file systems send none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import watchfiles

from archiverd import log

if TYPE_CHECKING:
    from pathlib import Path

_log = log.get("Import")

GATHER_MILLISECONDS = 50
"""Milliseconds within which changes make one hint."""

AGAIN_SECONDS = 30.0
"""Seconds before a watch that broke is begun again."""


async def watch(directory: Path, hint: asyncio.Event, stop: asyncio.Event) -> None:
    """Set ``hint`` at every change of an entry of ``directory``, though not inside its entries, until ``stop``."""
    while not stop.is_set():
        try:
            changes = watchfiles.awatch(
                directory,
                watch_filter=None,
                recursive=False,
                debounce=GATHER_MILLISECONDS,
                step=10,
                stop_event=stop,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )
            async for _ in changes:
                hint.set()
        except (OSError, RuntimeError) as error:
            _log.info(f"no change notifications for {directory} ({error}); scanning finds every run all the same")
            try:
                await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)
            except TimeoutError:
                continue
