"""`archiverd run`: the daemon."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from archiverd.process import last_exit, work_dir

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Watch, import, migrate and verify until told to stop.")
@click.pass_obj
def run(options: GlobalOptions) -> int:
    """Watch, import, migrate and verify until told to stop.

    Ctrl-C (SIGINT) and SIGTERM finish what is in flight and leave with 130; three within two seconds leave at once.
    Removing the lock file finishes what is in flight and leaves with 1.
    """
    settings, _ = options.settings()
    with last_exit.recording(settings, "run") as ending:
        work_dir.prepare(settings.app)
        from archiverd.daemon import main  # noqa: PLC0415 - the log file is open before a heavy import can fail

        ending.exit_code = asyncio.run(main.run(settings))
    return ending.exit_code
