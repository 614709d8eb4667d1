"""`archiverd release`: put a run that was set aside back to work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.cli.daemon_client import run_now, tell_reply, through_daemon
from archiverd.cli.run_number import RELEASABLE, RunNumber

if TYPE_CHECKING:
    from archiverd.cli.context import Globals
    from archiverd.cli.daemon_client import Told
    from archiverd.cli.terminal import Progress


@click.command(short_help="Put a run that was set aside back to work.")
@click.argument("run", type=RunNumber(RELEASABLE))
@click.option("--override", is_flag=True, help="Replace UconDB's version: for a run in conflict, superseded, changed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def release(globals_: Globals, run: int, override: bool, as_json: bool) -> None:
    """Put a quarantined, waiting or waived run back to work."""
    from archiverd.app import operator_commands  # noqa: PLC0415 - a heavy import only this command needs

    settings, _ = globals_.settings(migrating=False)

    def alone(_: Progress) -> Told:
        return {"run": run, "state": str(run_now(operator_commands.release(settings, run, override=override)).state)}

    told = through_daemon(settings, "release", {"run": run, "override": override}, alone)
    tell_reply(told, as_json, f"run {run} is {told['state']}; the daemon, or the next `archiverd once`, takes it up")
