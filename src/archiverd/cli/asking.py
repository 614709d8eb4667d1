"""Commands that the running daemon does, if there is one, and that do it themselves if not."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from archiverd.config import Settings

    Progress = Callable[[int, int, str], None]
    """Tells how much of how much is done, and what is happening."""
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
                tell(int(told.get("done", 0)), int(told.get("of", 0)), str(told.get("what", "")))

        with contextlib.suppress(calling.NobodyListensError), _interruptible(command):
            return cast(
                "Told", calling.ask_now(settings.app.work_dir, command, arguments, SILENCE_SECONDS, on_progress)
            )
        # Not while that is handled: whatever goes wrong now would be told with its words.
        return alone(tell)


@contextlib.contextmanager
def _interruptible(command: str) -> Iterator[None]:
    """Say, when somebody interrupts the waiting for the daemon, that it is not the work that was interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"the daemon goes on with `{command}`; `archiverd status` tells how far it is", err=True)
        raise


@contextlib.contextmanager
def progress_bar(text: str) -> Iterator[Progress]:
    """Show how far something is, on a terminal; elsewhere, and with --quiet, show nothing. NO_COLOR is honoured."""
    context = click.get_current_context(silent=True)
    quiet = context is not None and bool(context.find_root().params.get("quiet"))
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _of, _what: None
        return
    from rich import progress as shown  # noqa: PLC0415 - only a terminal needs it
    from rich.console import Console  # noqa: PLC0415

    columns = (
        shown.TextColumn("{task.description}", markup=False),
        shown.BarColumn(bar_width=24),
        shown.TextColumn("{task.fields[count]}", markup=False),
        shown.TextColumn("{task.fields[what]}", markup=False),
        shown.TimeRemainingColumn(compact=True),
    )
    with shown.Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(text, total=None, count="", what="")

        def tell(done: int, of: int, what: str) -> None:
            bars.update(bar, completed=done, total=of or None, count=f"{done}/{of}" if of else "", what=what)

        yield tell
