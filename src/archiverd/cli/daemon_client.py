"""Commands that the running daemon does, if there is one, and that do it themselves if not."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from archiverd.cli.terminal import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from archiverd.cli.context import Globals
    from archiverd.cli.terminal import Progress
    from archiverd.config import Settings

    Told = Mapping[str, object]

T = TypeVar("T")

SILENCE_SECONDS = 900.0
"""A daemon that is asked for something long and says nothing for so long is given up."""
ANSWER_SECONDS = 10.0
"""How long the daemon may take to answer."""


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
    from archiverd.control import client  # noqa: PLC0415 - lazily, for a quick --help

    with progress_bar(command) as tell:

        def on_progress(told: object) -> None:
            if isinstance(told, dict):
                tell(int(told.get("done", 0)), int(told.get("of", 0)), str(told.get("what", "")))

        with contextlib.suppress(client.NobodyListensError), _interruptible(command):
            return cast("Told", client.ask_now(settings.app.work_dir, command, arguments, SILENCE_SECONDS, on_progress))
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


def ask(globals_: Globals, command: str) -> dict[str, object]:
    """Return the daemon's answer. Raise ArchiverError if none runs."""
    from archiverd.control import client  # noqa: PLC0415 - lazily, for a quick --help

    settings, _ = globals_.settings(migrating=False)
    told = client.ask_now(settings.app.work_dir, command, {}, ANSWER_SECONDS)
    return told if isinstance(told, dict) else {}


def tell_reply(told: Told, as_json: bool, words: str) -> None:
    """Print what the daemon answered."""
    if as_json:
        click.echo(json.dumps({"version": 1, **told}))
    else:
        click.echo(words, err=True)
