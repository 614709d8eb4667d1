"""`archiverd reconcile`: is everything where it should be?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archiverd.app.operations.requests import ReconcileRequest
from archiverd.audit.anomalies import Discrepancy, address
from archiverd.audit.partition import FINE, Partition
from archiverd.cli.daemon_client import daemon_or_alone
from archiverd.cli.why import FLAGS
from archiverd.cli.wording import list_single_runs
from archiverd.core import runset
from archiverd.core.wording import describe_odd_names, pluralise
from archiverd.watch.missing import describe_missing

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions

_ACCEPT = "no disorder: `archiverd why RUN` tells more, `archiverd rearchive RUN --accept` acknowledges it"
_ACKNOWLEDGE = {
    "incomplete": _ACCEPT,
    "no_end": _ACCEPT,
    "superseded": "no disorder: `archiverd release RUN --override` replaces UconDB's version",
}
"""What can be done about each flag that is no disorder."""


@click.command(short_help="Compare run records, artdaqDB and UconDB run by run.")
@click.option("--deep", is_flag=True, help="Read every blob back and compare it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: version, in_order, states, compared, …")
@click.pass_obj
def reconcile(options: GlobalOptions, deep: bool, as_json: bool) -> int:
    """Put every run of the run-records directory, artdaqDB and UconDB into one named state.

    Exit code 0 if every run is verified, open, ignored or waived; else 1, with what to do for each state.
    """
    settings, _ = options.settings(migrating=False)
    request = ReconcileRequest(deep)
    found = daemon_or_alone(
        settings,
        "reconcile",
        request,
        Partition.from_json,
        lambda own: own.reconcile(request),
        demand=options.demand_migration,
    )
    if as_json:
        click.echo(json.dumps(found.to_json()))
    else:
        _print_partition(found)
    if found.in_order:
        return 0
    wrong = min(run for name, runs in found.states.items() if name not in FINE for run in runs)
    click.echo(f"Remedy: what to do stands below each state; `archiverd why {wrong}` tells more of a run", err=True)
    return 1


def _print_partition(found: Partition) -> None:
    """Print every state with its runs, and the remedy of each that is not in order."""
    for name, runs in found.states.items():
        click.echo(f"{name:<17} {len(runs):>7}   {runset.show(runs)}")
        if name not in FINE:
            remedy = (
                Discrepancy(name).remedy(runs) if name in set(Discrepancy) else f"`archiverd why {runs[0]}` tells more"
            )
            click.echo(f"    {remedy}")
        for line in list_single_runs([one for one in found.anomalies if one.kind == name]):
            click.echo(f"    {line}")
    for flag, runs in found.flags.items():
        if runs:
            click.echo(f"{FLAGS[flag]}: {runset.show(runs)}")
            click.echo(f"    {address(_ACKNOWLEDGE[flag], runs)}")
    if found.missing:
        others = bool({run for runs in found.states.values() for run in runs}.difference(found.missing))
        click.echo(f"directories missing: {describe_missing(found.missing, others=others)}")
    if found.odd.count:
        click.echo(describe_odd_names(found.odd.count, [one.name for one in found.odd.names]))
    click.echo(f"in artdaqDB and not in UconDB: {runset.show(found.only_artdaqdb)}")
    click.echo(f"in UconDB and not in artdaqDB: {runset.show(found.only_ucondb)}")
    if found.compared:
        click.echo(f"in both, with other content: {runset.show(found.differing)}")
        click.echo(f"{pluralise(found.compared, 'blob')} read back and compared")
