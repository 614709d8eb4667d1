"""`archiverd recover`: make journal and state files of a stage anew from what its database holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.cli.alone import recorded
from archiverd.cli.daemon_client import through_daemon
from archiverd.cli.pass_report import tell_pass

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from archiverd.app.operations import PassResult
    from archiverd.cli.context import Globals
    from archiverd.cli.terminal import Progress

STAGES = click.Choice(["import", "migrate"])


@click.command(short_help="Make journal and state files anew from the data sources.")
@click.argument("stage", type=STAGES)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as `once --json`.")
@click.pass_obj
def recover(globals_: Globals, stage: str, as_json: bool) -> int:
    """Make journal, state file and failure log of a stage anew from what its database holds.

    Runs that are not verified yet are proven; `archiverd reconcile --deep` proves the others.
    """
    from archiverd.core.machine import Stage  # noqa: PLC0415 - a heavy import only this command needs

    migrating = stage == "migrate"
    settings, _ = globals_.settings(migrating=False)

    def begin(on_progress: Progress) -> Coroutine[Any, Any, PassResult]:
        from archiverd.app import operations  # noqa: PLC0415 - after the log file is open
        from archiverd.app.wiring import RunOptions  # noqa: PLC0415

        options = RunOptions(importing=not migrating, migrating=migrating, drilling=False, until_idle=True)
        return operations.recover(settings, options, Stage(stage), on_progress)

    alone = recorded(settings, "recover", begin, globals_.demand_migration if migrating else None)
    told = through_daemon(settings, "recover", {"stage": stage}, alone)
    return tell_pass(settings, told, as_json, chosen=True)
