"""`archiverd run`: the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.cli.daemon_client import run_now

if TYPE_CHECKING:
    from archiverd.cli.context import Globals


@click.command()
@click.pass_obj
def run(globals_: Globals) -> int:
    """Watch, import, migrate and verify until told to stop.

    Ctrl-C (SIGINT) and SIGTERM finish what is in flight and leave with 130; three within two seconds leave at once.
    Removing the lock file finishes what is in flight and leaves with 1.
    """
    from archiverd.process import last_exit, work_dir  # noqa: PLC0415 - a heavy import only this command needs

    settings, _ = globals_.settings()
    with last_exit.recording(settings, "run") as ending:
        work_dir.prepare(settings.app)
        from archiverd.daemon import main  # noqa: PLC0415 - after the log file is open

        ending.exit_code = run_now(main.run(settings))
    return ending.exit_code
