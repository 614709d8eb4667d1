"""`archiverd waive`: take a run out of the reckoning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.app.operations.requests import WaiveRequest
from archiverd.app.operations.results import Decision
from archiverd.cli.daemon_client import daemon_or_alone
from archiverd.cli.reply import print_reply
from archiverd.cli.run_number import RunNumber

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Take a run out of the reckoning.")
@click.argument("run", type=RunNumber("waivable"))
@click.option("--reason", required=True, help="Why; `why` shows it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def waive(options: GlobalOptions, run: int, reason: str, as_json: bool) -> None:
    """Take a run out of the reckoning."""
    settings, _ = options.settings(migrating=False)
    request = WaiveRequest(run, reason)
    decision = daemon_or_alone(settings, "waive", request, Decision.from_json, lambda own: own.waive(request))
    print_reply(decision.to_json(), as_json, f"run {run} is {decision.state}")
