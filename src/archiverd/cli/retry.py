"""`archiverd retry`: take the runs of a failure log up again, or those named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.app.operations.requests import RetryRequest
from archiverd.app.operations.results import PassResult
from archiverd.cli.daemon_client import daemon_or_alone
from archiverd.cli.pass_report import print_pass
from archiverd.cli.run_number import RunNumber
from archiverd.core.machine import Stage

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Retry the runs of a failure log, or those named.")
@click.argument("stage", type=click.Choice([str(stage) for stage in Stage]))
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=RunNumber("failed"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as `once --json`.")
@click.pass_obj
def retry(options: GlobalOptions, stage: str, runs: tuple[int, ...], as_json: bool) -> int:
    """Take the runs in the failure log of a stage up again, quarantined ones too, or the runs named.

    `retry import` takes them on to UconDB as well, if it is configured.
    """
    settings, _ = options.settings(migrating=False)
    request = RetryRequest(Stage(stage), frozenset(runs))
    result = daemon_or_alone(
        settings,
        "retry",
        request,
        PassResult.from_json,
        lambda own: own.retry(request),
        is_pass=True,
        demand=options.demand_migration if stage == Stage.MIGRATE else None,
    )
    return print_pass(settings, result, as_json, chosen=True)
