"""What a pass did, as `once`, `retry` and `recover` print it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, cast

import click

from archiverd.cli.wording import list_single_runs
from archiverd.config.paths import journal_in
from archiverd.core import runset
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import RETRIABLE, State
from archiverd.core.wording import pluralise
from archiverd.journal import summaries
from archiverd.journal.queries import select_run
from archiverd.journal.reader import reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archiverd.cli.reply import Reply
    from archiverd.config import Settings


def print_pass(settings: Settings, reply: Reply, as_json: bool, *, chosen: bool = False) -> int:
    """Print what a pass did; return its exit code.

    One over ``chosen`` runs says nothing of those that have not ended: it knows only of its own.
    """
    failed, hold = cast("list[dict[str, object]]", reply["failed"]), cast("dict[str, str] | None", reply["hold"])
    if as_json:
        click.echo(json.dumps(reply))
    else:
        still_open = "" if chosen else f"{reply['open']} still open, "
        held = cast("dict[str, int] | None", reply.get("held"))
        holding = "" if held is None else f"{held['runs']} held, {held['verified']} already verified; "
        click.echo(
            f"{holding}{pluralise(cast('int', reply['imported']), 'run')} imported, {reply['verified']} verified, "
            f"{still_open}{len(failed)} failed",
            err=True,
        )
        if hold is not None:
            click.echo(f"  UconDB: {hold['cause']}\n    {hold['remedy']}", err=True)
        for run in failed:
            click.echo(f"  run {run['run']}: {run['state']}: {run['error'] or 'waits for UconDB'}", err=True)
        for one in cast("list[dict[str, object]]", reply.get("skipped", [])):
            click.echo(f"  run {one['run']}: not taken up: {one['reason']}", err=True)
        _print_anomalies(cast("list[dict[str, object]]", reply.get("amiss", [])))
    if failed:
        click.echo(f"Remedy: {_remedy(settings, failed)}", err=True)
    return int(cast("int", reply["exit_code"]))


def _print_anomalies(amiss: list[dict[str, object]]) -> None:
    """Print which verified runs are not as they should be any more."""
    for state in dict.fromkeys(str(one["state"]) for one in amiss):
        those = [one for one in amiss if one["state"] == state]
        click.echo(f"  {state}: {runset.show(cast('int', one['run']) for one in those)}", err=True)
        for line in list_single_runs([one for one in those if one["error"]]):
            click.echo(f"    {line}", err=True)
        click.echo(f"    {those[0]['remedy']}", err=True)


def print_unread(settings: Settings) -> None:
    """Say which open runs cannot be looked at: they wait, so they are no failure, but perhaps for ever.

    Who may ask the daemon for a pass may perhaps not read its journal, and then is reply nothing here.
    """
    with contextlib.suppress(ArchiverError, OSError), reading(journal_in(settings.app.work_dir)) as db:
        for cause in summaries.select_causes(db):
            if cause.state is State.OPEN:
                what = f"run{'s' if len(cause.runs) > 1 else ''} {runset.show(cause.runs, 3)}"
                click.echo(f"  {what}: open: {cause.error}\n    {cause.remedy}", err=True)


def _remedy(settings: Settings, failed: Sequence[Mapping[str, object]]) -> str:
    """Say what tells the cause, and which command then takes runs that stand as these up again."""
    listed = [cast("int", run["run"]) for run in failed if run["state"] in RETRIABLE]
    waiting = [cast("int", run["run"]) for run in failed if run["state"] == State.IMPORTED]
    run, command = cast("int", failed[-1]["run"]), ""
    if listed:
        run = listed[-1]
        stage = _stage_of(settings, run)
        command = f"archiverd retry {stage}" if stage else ""
    elif waiting:
        run, command = waiting[-1], "archiverd once"
    return f"`archiverd why {run}` tells the cause and what to do" + (f"; then `{command}`" if command else "")


def _stage_of(settings: Settings, run: int) -> str:
    """Return the stage that a run failed in, by the journal; empty where that cannot tell."""
    with contextlib.suppress(ArchiverError), reading(journal_in(settings.app.work_dir)) as db:
        row = select_run(db, run)
        if row is not None:
            return str(row.stage)
    return ""
