"""Commands by which an operator decides about a run: `waive` and `release`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.cli.asking import run_now, through_daemon
from archiverd.cli.completion import RELEASABLE, WAIVABLE, RunNumber

if TYPE_CHECKING:
    from archiverd.cli.asking import Progress, Told
    from archiverd.cli.main import Globals


@click.command(short_help="Take a run out of the reckoning.")
@click.argument("run", type=RunNumber(WAIVABLE))
@click.option("--reason", required=True, help="Why; `why` shows it.")
@click.pass_obj
def waive(globals_: Globals, run: int, reason: str) -> None:
    """Take a run out of the reckoning."""
    from archiverd.service import desk  # noqa: PLC0415 - a heavy import only this command needs

    settings, _ = globals_.settings(migrating=False)

    def alone(_: Progress) -> Told:
        return {"run": run, "state": str(run_now(desk.waive(settings, run, reason)).state)}

    told = through_daemon(settings, "waive", {"run": run, "reason": reason}, alone)
    click.echo(f"run {run} is {told['state']}", err=True)


@click.command(short_help="Put a run that was set aside back to work.")
@click.argument("run", type=RunNumber(RELEASABLE))
@click.option("--override", is_flag=True, help="Replace UconDB's version: for a run in conflict or superseded.")
@click.pass_obj
def release(globals_: Globals, run: int, override: bool) -> None:
    """Put a quarantined, waiting or waived run back to work."""
    from archiverd.service import desk  # noqa: PLC0415 - a heavy import only this command needs

    settings, _ = globals_.settings(migrating=False)

    def alone(_: Progress) -> Told:
        return {"run": run, "state": str(run_now(desk.release(settings, run, override=override)).state)}

    told = through_daemon(settings, "release", {"run": run, "override": override}, alone)
    click.echo(f"run {run} is {told['state']}; the daemon, or the next `archiverd once`, takes it up", err=True)
