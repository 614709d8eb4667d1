"""Commands by which an operator decides about a run: `waive` and `release`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archiverd.cli.completion import RELEASABLE, WAIVABLE, RunNumber
from archiverd.cli.daemon_client import run_now, through_daemon

if TYPE_CHECKING:
    from archiverd.cli.daemon_client import Told
    from archiverd.cli.main import Globals
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
    _tell(told, as_json, f"run {run} is {told['state']}")


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
    _tell(told, as_json, f"run {run} is {told['state']}; the daemon, or the next `archiverd once`, takes it up")


def _tell(told: Told, as_json: bool, words: str) -> None:
    """Print what became of a run."""
    if as_json:
        click.echo(json.dumps({"version": 1, **told}))
    else:
        click.echo(words, err=True)
