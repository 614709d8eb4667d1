"""`archiverd rearchive`: archive a verified run again whose directory has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.app.operations.requests import RearchiveRequest
from archiverd.app.operations.results import PassResult
from archiverd.cli.daemon_client import daemon_or_alone
from archiverd.cli.pass_report import print_pass
from archiverd.cli.run_number import RunNumber

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Archive a verified run again whose directory changed.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=RunNumber())
@click.option("--override", is_flag=True, help="Replace UconDB's version too.")
@click.option("--accept", is_flag=True, help="Archive nothing: what was archived stands.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as `once --json`.")
@click.pass_obj
def rearchive(options: GlobalOptions, runs: tuple[int, ...], override: bool, accept: bool, as_json: bool) -> int:
    """Put files that were added or edited since into artdaqDB, as the next version.

    UconDB keeps its version unless --override is given. Files that were removed stay archived; --accept says that the
    directory is as it should be and what was archived stands. A directory that holds another run is refused.
    """
    if override and accept:
        raise click.UsageError("--override and --accept exclude each other")
    settings, _ = options.settings(migrating=False)
    request = RearchiveRequest(frozenset(runs), override, accept)
    result = daemon_or_alone(
        settings,
        "rearchive",
        request,
        PassResult.from_json,
        lambda own: own.rearchive(request),
        is_pass=True,
        demand=options.demand_migration if override else None,
    )
    return print_pass(settings, result, as_json, chosen=True)
