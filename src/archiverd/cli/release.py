"""`archiverd release`: put a run that was set aside back to work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.app.operations.requests import DestinationRequest, ReleaseRequest
from archiverd.app.operations.results import Decision, Released
from archiverd.cli.daemon_client import daemon_or_alone
from archiverd.cli.reply import print_reply
from archiverd.cli.run_number import RunNumber
from archiverd.core.wording import pluralise

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Put a run that was set aside back to work.")
@click.argument("run", required=False, type=RunNumber("releasable"))
@click.option("--override", is_flag=True, help="Replace UconDB's version: for a run in conflict, superseded, changed.")
@click.option("--without", metavar="FILE", multiple=True, help="Leave out a file that cannot be read; repeatable.")
@click.option("--destination", is_flag=True, help="All runs that the configured databases lack; no RUN.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def release(
    options: GlobalOptions,
    run: int | None,
    override: bool,
    without: tuple[str, ...],
    destination: bool,
    as_json: bool,
) -> None:
    """Put a quarantined, waiting or waived run back to work.

    A run whose files cannot be read waits for them; --without FILE archives it without that file, which `why` names.
    With --destination the databases that are configured now are the right ones: verified runs that were archived in
    others, or that artdaqDB has lost, go there.
    """
    if destination:
        if run is not None or override or without:
            raise click.UsageError("--destination is about all runs: give no RUN and no other option")
        _release_destination(options, as_json)
        return
    if run is None:
        raise click.UsageError("give RUN, or --destination")
    settings, _ = options.settings(migrating=False)
    request = ReleaseRequest(run, override, without)
    decision = daemon_or_alone(settings, "release", request, Decision.from_json, lambda own: own.release(request))
    words = f"run {run} is {decision.state}; the daemon, or the next `archiverd once`, takes it up"
    print_reply(decision.to_json(), as_json, words)


def _release_destination(options: GlobalOptions, as_json: bool) -> None:
    """Let the runs go that the configured databases lack, and say how many these are."""
    settings, _ = options.settings(migrating=False)
    request = DestinationRequest()
    done = daemon_or_alone(
        settings, "release", request, Released.from_json, lambda own: own.release_destination(request)
    )
    imported, sent = pluralise(done.imported, "run"), pluralise(done.sent, "run")
    lines = [
        f"the right databases: {'; '.join(done.places)}",
        f"{imported} imported again, {sent} sent to UconDB: by the daemon, or the next `archiverd once`",
    ]
    if done.not_looked_up:
        lines.append(f"{pluralise(done.not_looked_up, 'run')} not looked up yet: those that are missing go too")
    lines += [f"run {one.run}: {one.reason}" for one in done.skipped]
    if done.skipped_count > len(done.skipped):
        lines.append(f"and {done.skipped_count - len(done.skipped)} more that cannot be imported")
    print_reply(done.to_json(), as_json, "\n".join(lines))
