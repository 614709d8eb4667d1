"""`archiverd waive`: take a run out of the reckoning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.cli.daemon_client import run_now, tell_reply, through_daemon
from archiverd.cli.run_number import WAIVABLE, RunNumber

if TYPE_CHECKING:
    from archiverd.cli.context import Globals
    from archiverd.cli.daemon_client import Told
    from archiverd.cli.terminal import Progress


@click.command(short_help="Take a run out of the reckoning.")
@click.argument("run", type=RunNumber(WAIVABLE))
@click.option("--reason", required=True, help="Why; `why` shows it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def waive(globals_: Globals, run: int, reason: str, as_json: bool) -> None:
    """Take a run out of the reckoning."""
    from archiverd.app import operator_commands  # noqa: PLC0415 - a heavy import only this command needs

    settings, _ = globals_.settings(migrating=False)

    def alone(_: Progress) -> Told:
        return {"run": run, "state": str(run_now(operator_commands.waive(settings, run, reason)).state)}

    told = through_daemon(settings, "waive", {"run": run, "reason": reason}, alone)
    tell_reply(told, as_json, f"run {run} is {told['state']}")
