"""Commands that the running daemon does, if there is one, and that do it themselves if not."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from archiverd.config import Settings

    Progress = Callable[[int, int], None]
    Told = Mapping[str, object]

T = TypeVar("T")

SILENCE_SECONDS = 900.0
"""A daemon that is asked for something long and says nothing for so long is given up."""


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; asyncio is imported by those commands only that need it."""
    import asyncio  # noqa: PLC0415 - lazily, for a quick --help

    return asyncio.run(work)


def through_daemon(
    settings: Settings, command: str, arguments: Mapping[str, object], alone: Callable[[Progress], Told]
) -> Told:
    """Return what the daemon answers to ``command``; without a daemon, what ``alone`` returns.

    Raise ArchiverError as either does.
    """
    from archiverd.service import calling  # noqa: PLC0415 - lazily, for a quick --help

    with progress_bar(command) as tell:

        def on_progress(told: object) -> None:
            if isinstance(told, dict):
                tell(int(told.get("done", 0)), int(told.get("of", 0)))

        with contextlib.suppress(calling.NobodyListensError):
            return cast(
                "Told", calling.ask_now(settings.app.work_dir, command, arguments, SILENCE_SECONDS, on_progress)
            )
        # Not while that is handled: whatever goes wrong now would be told with its words.
        return alone(tell)


@contextlib.contextmanager
def progress_bar(text: str) -> Iterator[Progress]:
    """Show how far something is, on a terminal; elsewhere show nothing."""
    if not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        bar = shown.add_task(text, total=None)
        yield lambda done, of: shown.update(bar, completed=done, total=of or None)
