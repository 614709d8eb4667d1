"""Operations that a command does itself because no daemon runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from archiverd.app.operations.results import PassResult
from archiverd.process import last_exit, work_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from archiverd.app.alone import OwnOperations
    from archiverd.cli.terminal import Progress
    from archiverd.config.models import Settings

R = TypeVar("R")


def run(settings: Settings, on_progress: Progress, do: Callable[[OwnOperations], Coroutine[Any, Any, R]]) -> R:
    """Run what ``do`` makes of the operations; return its result, and raise as it does."""
    from archiverd.app.alone import OwnOperations  # noqa: PLC0415 - a pass opens its log file before

    return asyncio.run(do(OwnOperations(settings, on_progress)))


def run_pass(
    settings: Settings, command: str, on_progress: Progress, do: Callable[[OwnOperations], Coroutine[Any, Any, R]]
) -> R:
    """Do as ``run`` for a pass: prepare the work directory, open the log file, record how it ended."""
    with last_exit.recording(settings, command) as ending:
        work_dir.prepare(settings.app)
        result = run(settings, on_progress, do)
        if isinstance(result, PassResult):
            ending.exit_code = result.exit_code
    return result
