"""`archiverd release`: put a run that was set aside back to work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.app.operations.requests import ReleaseRequest
from archiverd.app.operations.results import Decision
from archiverd.cli.daemon_client import daemon_or_alone
from archiverd.cli.reply import print_reply
from archiverd.cli.run_number import RunNumber

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Put a run that was set aside back to work.")
@click.argument("run", type=RunNumber("releasable"))
@click.option("--override", is_flag=True, help="Replace UconDB's version: for a run in conflict, superseded, changed.")
@click.option("--without", metavar="FILE", multiple=True, help="Leave out a file that cannot be read; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def release(options: GlobalOptions, run: int, override: bool, without: tuple[str, ...], as_json: bool) -> None:
    """Put a quarantined, waiting or waived run back to work.

    A run whose files cannot be read waits for them; --without FILE archives it without that file, which `why` names.
    """
    settings, _ = options.settings(migrating=False)
    request = ReleaseRequest(run, override, without)
    decision = daemon_or_alone(settings, "release", request, Decision.from_json, lambda own: own.release(request))
    words = f"run {run} is {decision.state}; the daemon, or the next `archiverd once`, takes it up"
    print_reply(decision.to_json(), as_json, words)
