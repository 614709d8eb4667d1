"""Standard error with a progress bar: log lines above, the bar below."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    Progress = Callable[[int, int, str], None]
    """Shows how much of how much is done, and what is happening."""


class StandardError:
    """A stream for log lines: standard error, but above the progress bar while there is one."""

    def __init__(self) -> None:
        self.console: Console | None = None
        """The console of the bar; None while there is none."""

    def write(self, text: str) -> int:
        """Write ``text``, whole lines."""
        if self.console is None:
            return sys.stderr.write(text)
        self.console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        sys.stderr.flush()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return sys.stderr.fileno()


STANDARD_ERROR = StandardError()


@contextlib.contextmanager
def progress_bar(text: str) -> Iterator[Progress]:
    """Yield what shows progress: a bar on a terminal, nothing elsewhere and with --quiet. NO_COLOR is honoured."""
    context = click.get_current_context(silent=True)
    quiet = context is not None and bool(context.find_root().params.get("quiet"))
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _of, _what: None
        return
    from rich import console, progress  # noqa: PLC0415 - a heavy import that only a terminal needs

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=24),
        progress.TextColumn("{task.fields[count]}", markup=False),
        progress.TextColumn("{task.fields[what]}", markup=False),
        progress.TimeRemainingColumn(compact=True),
    )
    terminal = console.Console(stderr=True)
    with progress.Progress(*columns, console=terminal, transient=True, redirect_stderr=False) as bars:
        bar = bars.add_task(text, total=None, count="", what="")

        def show(done: int, of: int, what: str) -> None:
            changed = what != bars.tasks[bar].fields["what"]  # shown at once, however briefly it lasts
            count = f"{done}/{of}" if of else ""
            bars.update(bar, completed=done, total=of or None, count=count, what=what, refresh=changed)

        STANDARD_ERROR.console = terminal
        try:
            yield show
        finally:
            STANDARD_ERROR.console = None
