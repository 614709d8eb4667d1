"""`archiverd waive`: take a run out of the reckoning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.app.operations.requests import WaiveMissingRequest, WaiveRequest
from archiverd.app.operations.results import Decision, WaivedDirectories
from archiverd.cli.daemon_client import daemon_or_alone
from archiverd.cli.reply import print_reply
from archiverd.cli.run_number import RunNumber
from archiverd.core import runset

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Take a run out of the reckoning.")
@click.argument("run", required=False, type=RunNumber("waivable"))
@click.option("--reason", required=True, help="Why; `why` shows it.")
@click.option("--missing", is_flag=True, help="No RUN: what looks unmounted was moved away on purpose.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def waive(options: GlobalOptions, run: int | None, reason: str, missing: bool, as_json: bool) -> None:
    """Take a run out of the reckoning.

    With --missing: the run directories that went missing all at once, and look unmounted, are gone on purpose.
    """
    if (run is None) is not missing:
        raise click.UsageError("give either RUN or --missing")
    settings, _ = options.settings(migrating=False)
    if run is None:
        asked = WaiveMissingRequest(reason)
        waived = daemon_or_alone(
            settings, "waive", asked, WaivedDirectories.from_json, lambda own: own.waive_missing(asked)
        )
        words = f"taken as gone: {runset.show(waived.gone)}; a directory that comes back is noted"
        print_reply(waived.to_json(), as_json, words)
        return
    request = WaiveRequest(run, reason)
    decision = daemon_or_alone(settings, "waive", request, Decision.from_json, lambda own: own.waive(request))
    print_reply(decision.to_json(), as_json, f"run {run} is {decision.state}")
