"""`archiverd runs`: list runs with their state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archiverd.core.machine import State

if TYPE_CHECKING:
    import sqlite3
    from contextlib import AbstractContextManager

    from archiverd.cli.context import Globals


@click.command()
@click.option("--state", type=click.Choice([str(state) for state in State]), help="Only runs in this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: version, runs.")
@click.pass_obj
def runs(globals_: Globals, state: str | None, as_json: bool) -> None:
    """List runs with their state."""
    from archiverd.journal import summaries  # noqa: PLC0415 - lazily, for a quick --help

    with _journal(globals_) as db:
        rows = summaries.select_briefs(db, [State(state)] if state else list(State))
    if as_json:
        click.echo(json.dumps({"version": 1, "runs": rows}))
    elif rows:
        lines = (f"{row['run']:>9}  {row['state']:<15} {row['configuration']}  {row['error']}".rstrip() for row in rows)
        click.echo("\n".join(lines))
    else:
        click.echo(f"no runs{f' are {state}' if state else ' yet'}", err=True)


def _journal(globals_: Globals) -> AbstractContextManager[sqlite3.Connection]:
    """Open the journal named by the configuration, read-only."""
    from archiverd.config.paths import journal_in  # noqa: PLC0415 - lazily, for a quick --help
    from archiverd.journal.reader import reading  # noqa: PLC0415 - lazily, for a quick --help

    return reading(journal_in(globals_.work_dir()))
