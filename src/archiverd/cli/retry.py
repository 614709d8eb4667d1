"""`archiverd retry`: take the runs of a failure log up again, or those named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.cli.alone import recorded
from archiverd.cli.daemon_client import through_daemon
from archiverd.cli.pass_report import tell_pass
from archiverd.cli.run_number import FAILED, RunNumber

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from archiverd.app.operations import PassResult
    from archiverd.cli.context import Globals
    from archiverd.cli.terminal import Progress

STAGES = click.Choice(["import", "migrate"])


@click.command(short_help="Retry the runs of a failure log, or those named.")
@click.argument("stage", type=STAGES)
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=RunNumber(FAILED))
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as `once --json`.")
@click.pass_obj
def retry(globals_: Globals, stage: str, runs: tuple[int, ...], as_json: bool) -> int:
    """Take the runs in the failure log of a stage up again, quarantined ones too, or the runs named.

    `retry import` takes them on to UconDB as well, if it is configured.
    """
    from archiverd.config import missing_for_migration  # noqa: PLC0415 - a heavy import only this command needs
    from archiverd.core.machine import Stage  # noqa: PLC0415

    settings, _ = globals_.settings(migrating=False)

    def begin(on_progress: Progress) -> Coroutine[Any, Any, PassResult]:
        from archiverd.app import operations  # noqa: PLC0415 - after the log file is open
        from archiverd.app.wiring import RunOptions  # noqa: PLC0415

        migrating = not missing_for_migration(settings)
        options = RunOptions(importing=stage == "import", migrating=migrating, drilling=False, until_idle=True)
        return operations.retry(settings, options, Stage(stage), runs, on_progress)

    alone = recorded(settings, "retry", begin, globals_.demand_migration if stage == "migrate" else None)
    told = through_daemon(settings, "retry", {"stage": stage, "runs": list(runs)}, alone)
    return tell_pass(settings, told, as_json, chosen=True)
