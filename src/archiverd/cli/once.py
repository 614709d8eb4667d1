"""`archiverd once`: take every run that has ended through both stages, for cron."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archiverd.app.operations.requests import OnceRequest
from archiverd.app.operations.results import PassResult
from archiverd.cli.daemon_client import daemon_or_alone
from archiverd.cli.pass_report import print_pass, print_unread
from archiverd.core import runset

if TYPE_CHECKING:
    from archiverd.app.dry_run import DryRun
    from archiverd.cli.context import GlobalOptions

PLANNED = {
    "to_import": "would import",
    "to_upload": "would upload",
    "still_open": "still open",
    "set_aside": "set aside, waiting for an operator",
}
"""What `once --dry-run` prints, by field of DryRun."""

BESIDE_IMPORT_ONLY = "waited for artdaqDB only; the daemon takes the runs on to UconDB by itself"
BESIDE_MIGRATE_ONLY = "waited for UconDB only; the daemon imports by itself"
"""What is different beside a daemon, which cannot be forbidden its other stage."""


@click.command(short_help="Archive everything that has ended, then exit.")
@click.option("--incremental", is_flag=True, help="Trust the journal instead of asking the databases what they hold.")
@click.option("--import-only", is_flag=True, help="Stop at artdaqDB.")
@click.option("--migrate-only", is_flag=True, help="Only bring to UconDB what is in artdaqDB.")
@click.option("--validate", is_flag=True, help="Check each blob's metadata for what validation.required names.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; touch nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: imported, verified, open, failed, …")
@click.pass_obj
def once(
    options: GlobalOptions,
    incremental: bool,
    import_only: bool,
    migrate_only: bool,
    validate: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Take every run that has ended through both stages, then exit (for cron).

    Exit code 0 if all is well, 1 if a run failed, waits for UconDB or is not as it was archived, 130 if interrupted.
    """
    if import_only and migrate_only:
        raise click.UsageError("--import-only and --migrate-only exclude each other")
    settings, _ = options.settings(migrating=dry_run and not import_only)
    if dry_run:
        from archiverd.app.dry_run import plan_pass  # noqa: PLC0415 - a pass opens its log file before heavy imports

        return _print_plan(plan_pass(settings, importing=not migrate_only, migrating=not import_only), as_json)
    request = OnceRequest(
        importing=not migrate_only, migrating=not import_only, incremental=incremental, validating=validate
    )
    result = daemon_or_alone(
        settings,
        "once",
        request,
        PassResult.from_json,
        lambda own: own.once(request),
        is_pass=True,
        demand=None if import_only else options.demand_migration,
        beside=BESIDE_IMPORT_ONLY if import_only else BESIDE_MIGRATE_ONLY if migrate_only else "",
    )
    code = print_pass(settings, result, as_json)
    print_unread(settings)
    return code


def _print_plan(plan: DryRun, as_json: bool) -> int:
    """Print what a pass would do; return the exit code."""
    if as_json:
        click.echo(json.dumps({"version": 1, **{name: list(getattr(plan, name)) for name in PLANNED}}))
        return 0
    for name, text in PLANNED.items():
        runs = getattr(plan, name)
        if runs:
            click.echo(f"{text} ({len(runs)}): {runset.show(runs)}")
    if not plan.to_import and not plan.to_upload:
        click.echo("nothing to do")
    return 0
