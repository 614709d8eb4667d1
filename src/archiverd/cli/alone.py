"""What commands do themselves when no daemon runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.cli.daemon_client import run_now

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from archiverd.app.operations import PassResult
    from archiverd.cli.daemon_client import Told
    from archiverd.cli.terminal import Progress
    from archiverd.config import Settings


def recorded(
    settings: Settings,
    command: str,
    begin: Callable[[Progress], Coroutine[Any, Any, PassResult]],
    demand: Callable[[], None] | None,
) -> Callable[[Progress], Told]:
    """Return what makes a pass and returns what it did; how it ended is recorded, in the log file too.

    ``demand``, if there is one, is called first: it raises ConfigurationError for what the pass lacks.
    """
    from archiverd.process import last_exit, work_dir  # noqa: PLC0415 - lazily, for a quick --help

    def alone(on_progress: Progress) -> Told:
        if demand is not None:
            demand()
        with last_exit.recording(settings, command) as ending:
            work_dir.prepare(settings.app)
            did = run_now(begin(on_progress))
            ending.exit_code = did.exit_code
        return did.to_json()

    return alone
