"""`archiverd once`: take every run that has ended through both stages, for cron."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archiverd.cli.alone import recorded
from archiverd.cli.daemon_client import through_daemon
from archiverd.cli.pass_report import tell_pass, tell_unread

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from archiverd.app.dry_run import DryRun
    from archiverd.app.operations import PassResult
    from archiverd.cli.context import Globals
    from archiverd.cli.terminal import Progress

_OUTLOOK = {
    "to_import": "would import",
    "to_upload": "would upload",
    "still_open": "still open",
    "set_aside": "set aside, waiting for an operator",
}
"""What `once --dry-run` tells, by field."""


@click.command(short_help="Archive everything that has ended, then exit.")
@click.option("--incremental", is_flag=True, help="Trust the journal instead of asking the databases what they hold.")
@click.option("--import-only", is_flag=True, help="Stop at artdaqDB.")
@click.option("--migrate-only", is_flag=True, help="Only bring to UconDB what is in artdaqDB.")
@click.option("--validate", is_flag=True, help="Check each blob's metadata for what validation.required names.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; touch nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: imported, verified, open, failed, …")
@click.pass_obj
def once(
    globals_: Globals,
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
    settings, _ = globals_.settings(migrating=dry_run and not import_only)
    if dry_run:
        from archiverd.app.dry_run import plan_pass  # noqa: PLC0415

        return _tell_outlook(plan_pass(settings, importing=not migrate_only, migrating=not import_only), as_json)

    def begin(on_progress: Progress) -> Coroutine[Any, Any, PassResult]:
        from archiverd.app import operations  # noqa: PLC0415 - after the log file is open
        from archiverd.app.wiring import RunOptions  # noqa: PLC0415

        options = RunOptions(
            importing=not migrate_only,
            migrating=not import_only,
            validating=validate,
            drilling=not incremental,
            until_idle=True,
        )
        return operations.once(settings, options, incremental=incremental, on_progress=on_progress)

    alone = recorded(settings, "once", begin, None if import_only else globals_.demand_migration)
    told = through_daemon(settings, "once", {"incremental": incremental}, alone)
    code = tell_pass(settings, told, as_json)
    tell_unread(settings)
    return code


def _tell_outlook(found: DryRun, as_json: bool) -> int:
    """Print what a pass would do."""
    from archiverd.core import runset  # noqa: PLC0415 - lazily, for a quick --help

    if as_json:
        click.echo(json.dumps({"version": 1, **{name: list(getattr(found, name)) for name in _OUTLOOK}}))
        return 0
    for name, text in _OUTLOOK.items():
        runs = getattr(found, name)
        if runs:
            click.echo(f"{text} ({len(runs)}): {runset.show(runs)}")
    if not found.to_import and not found.to_upload:
        click.echo("nothing to do")
    return 0
