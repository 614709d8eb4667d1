"""What a command does itself because no daemon runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, cast

from archiverd.process import last_exit, work_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from archiverd.cli.own_operations import OwnOperations
    from archiverd.cli.reply import Reply
    from archiverd.cli.terminal import Progress
    from archiverd.config import Settings

T = TypeVar("T")


def run(settings: Settings, on_progress: Progress, do: Callable[[OwnOperations], Coroutine[Any, Any, T]]) -> T:
    """Run what ``do`` makes of the operations; return its result, and raise as it does."""
    from archiverd.cli.own_operations import OwnOperations  # noqa: PLC0415 - a pass opens its log file before

    return asyncio.run(do(OwnOperations(settings, on_progress)))


def run_pass(
    settings: Settings,
    command: str,
    on_progress: Progress,
    do: Callable[[OwnOperations], Coroutine[Any, Any, Reply]],
) -> Reply:
    """Do as ``run`` for a pass: prepare the work directory, open the log file, record how it ended."""
    with last_exit.recording(settings, command) as ending:
        work_dir.prepare(settings.app)
        reply = run(settings, on_progress, do)
        ending.exit_code = cast("int", reply["exit_code"])
    return reply
