"""Requests to the running daemon, which a command fulfils itself if there is none."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

import click

from archiverd.cli.terminal import progress_bar
from archiverd.control import client

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

    from archiverd.app.alone import OwnOperations
    from archiverd.app.operations.requests import Request
    from archiverd.cli.context import GlobalOptions
    from archiverd.cli.reply import Reply
    from archiverd.config.models import Settings

R = TypeVar("R")

SILENCE_SECONDS = 900.0
"""Longest silence of a daemon that works for a command."""
ANSWER_SECONDS = 10.0
"""Longest wait for an answer that takes the daemon no work."""


def ask_daemon(options: GlobalOptions, command: str) -> Reply:
    """Return the daemon's answer to ``command``. Raise ArchiverError, NobodyListensError if none runs."""
    settings, _ = options.settings(migrating=False)
    reply = client.ask_now(settings.app.work_dir, command, {}, ANSWER_SECONDS)
    return reply if isinstance(reply, dict) else {}


def daemon_or_alone(
    settings: Settings,
    command: str,
    request: Request,
    parse: Callable[[object], R],
    do: Callable[[OwnOperations], Coroutine[Any, Any, R]],
    *,
    is_pass: bool = False,
    demand: Callable[[], None] | None = None,
    beside: str = "",
) -> R:
    """Return the daemon's result of ``request``; without a daemon, what ``do`` returns, called with the operations.

    ``command`` is what the user called, ``parse`` reads the daemon's result. Where the daemon did it, ``beside`` is
    printed: what is different then.

    A pass without a daemon has a log file, and how it ended is recorded. ``demand`` is called before ``do``: it raises
    ConfigurationError for what only a command without a daemon needs. Raise ArchiverError as daemon or ``do``.
    """
    with progress_bar(command) as show:

        def on_progress(progress: object) -> None:
            if isinstance(progress, dict):
                show(int(progress.get("done", 0)), int(progress.get("of", 0)), str(progress.get("what", "")))

        with contextlib.suppress(client.NobodyListensError), _interruptible(command):
            result = client.call(
                settings.app.work_dir, request.COMMAND, request.to_json(), parse, SILENCE_SECONDS, on_progress
            )
            if beside:
                click.echo(beside, err=True)
            return result
        # Outside of the block above: an error from here on must not carry the daemon's absence as its context.
        from archiverd.cli import alone  # noqa: PLC0415 - a heavy import that a command beside a daemon does without

        if demand is not None:
            demand()
        return alone.run_pass(settings, command, show, do) if is_pass else alone.run(settings, show, do)


@contextlib.contextmanager
def _interruptible(command: str) -> Iterator[None]:
    """Print, when the wait for the daemon is interrupted, that the daemon goes on."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"the daemon goes on with `{command}`; `archiverd status` tells how far it is", err=True)
        raise
