"""`archiverd runs`: list runs with their state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archiverd.config.paths import journal_in
from archiverd.core.machine import State
from archiverd.core.wording import describe_odd_names, printable
from archiverd.journal import queries, summaries
from archiverd.journal.reader import reading

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="List runs with their state.")
@click.option("--state", type=click.Choice([str(state) for state in State]), help="Only runs in this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: version, runs.")
@click.pass_obj
def runs(options: GlobalOptions, state: str | None, as_json: bool) -> None:
    """List runs with their state."""
    with reading(journal_in(options.work_dir())) as db:
        rows = summaries.select_briefs(db, [State(state)] if state else list(State))
        count, names = queries.select_odd_names(db)
    if as_json:
        odd = [{"name": name, "rule": rule} for name, rule in names]
        click.echo(json.dumps({"version": 1, "runs": rows, "names": odd, "names_count": count}))
        return
    if rows:
        lines = (f"{row['run']:>9}  {row['state']:<15} {row['configuration']}  {row['error']}".rstrip() for row in rows)
        click.echo("\n".join(lines))
    else:
        click.echo(f"no runs{f' are {state}' if state else ' yet'}", err=True)
    if count and not state:
        click.echo(describe_odd_names(count, [name for name, _ in names]), err=True)
        for name, rule in names:
            click.echo(f"  {printable(name)}: {rule}", err=True)
