"""`archiverd recover`: make journal and state files of a stage anew from what its database holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.app.operations.requests import RecoverRequest
from archiverd.app.operations.results import PassResult
from archiverd.cli.daemon_client import daemon_or_alone
from archiverd.cli.pass_report import print_pass
from archiverd.core.machine import Stage

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Make journal and state files anew from the data sources.")
@click.argument("stage", type=click.Choice([str(stage) for stage in Stage]))
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as `once --json`.")
@click.pass_obj
def recover(options: GlobalOptions, stage: str, as_json: bool) -> int:
    """Make journal, state file and failure log of a stage anew from what its database holds.

    Runs that are not verified yet are proven; `archiverd reconcile --deep` proves the others.
    """
    settings, _ = options.settings(migrating=False)
    request = RecoverRequest(Stage(stage))
    result = daemon_or_alone(
        settings,
        "recover",
        request,
        PassResult.from_json,
        lambda own: own.recover(request),
        is_pass=True,
        demand=options.demand_migration if stage == Stage.MIGRATE else None,
    )
    return print_pass(settings, result, as_json, chosen=True)
