"""The result of a pass, as `once`, `retry` and `recover` print it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

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
    from collections.abc import Sequence

    from archiverd.app.operations.results import PassResult
    from archiverd.audit.anomalies import Anomaly, Discrepancy
    from archiverd.config.models import Settings
    from archiverd.journal.rows import StuckRun


def print_pass(settings: Settings, result: PassResult, as_json: bool, *, chosen: bool = False) -> int:
    """Print the result of a pass; return its exit code.

    For a pass over ``chosen`` runs the number of open ones is left out: it counts only those chosen.
    """
    if as_json:
        click.echo(json.dumps(result.to_json()))
    else:
        _print_totals(result, chosen=chosen)
    if result.failed:
        click.echo(f"Remedy: {_remedy(settings, result.failed)}", err=True)
    return result.exit_code


def _print_totals(result: PassResult, *, chosen: bool) -> None:
    """Print how many runs went well, and each one that did not."""
    still_open = "" if chosen else f"{result.open} still open, "
    held = "" if result.held is None else f"{result.held.runs} held, {result.held.verified} already verified; "
    imported = pluralise(result.imported, "run")
    click.echo(
        f"{held}{imported} imported, {result.verified} verified, {still_open}{len(result.failed)} failed", err=True
    )
    if result.outage is not None:
        click.echo(f"  UconDB: {result.outage.cause}\n    {result.outage.remedy}", err=True)
    for run in result.failed:
        click.echo(f"  run {run.run}: {run.state}: {run.error or 'waits for UconDB'}", err=True)
    for one in result.skipped:
        click.echo(f"  run {one.run}: not taken up: {one.reason}", err=True)
    for place in result.elsewhere:
        click.echo(f"  {place.said}", err=True)
    for kind in dict.fromkeys(one.kind for one in result.anomalies):
        _print_anomalies(kind, [one for one in result.anomalies if one.kind is kind])


def _print_anomalies(kind: Discrepancy, anomalies: Sequence[Anomaly]) -> None:
    """Print the runs of one kind of discrepancy, and its remedy."""
    click.echo(f"  {kind}: {runset.show(one.run for one in anomalies)}", err=True)
    for line in list_single_runs([one for one in anomalies if one.error]):
        click.echo(f"    {line}", err=True)
    click.echo(f"    {kind.remedy([one.run for one in anomalies])}", err=True)


def print_unread(settings: Settings) -> None:
    """Print which open runs cannot be read: they wait, so they are no failure, but perhaps for ever.

    A user who may ask the daemon for a pass but not read its journal gets nothing printed.
    """
    with contextlib.suppress(ArchiverError, OSError), reading(journal_in(settings.app.work_dir)) as db:
        for cause in summaries.select_causes(db):
            if cause.state is State.OPEN:
                what = f"run{'s' if len(cause.runs) > 1 else ''} {runset.show(cause.runs, 3)}"
                click.echo(f"  {what}: open: {cause.error}\n    {cause.remedy}", err=True)


def _remedy(settings: Settings, failed: Sequence[StuckRun]) -> str:
    """Return the command that shows the cause, and the one that then takes the runs up again."""
    listed = [one.run for one in failed if one.state in RETRIABLE]
    waiting = [one.run for one in failed if one.state is State.IMPORTED]
    run, command = failed[-1].run, ""
    if listed:
        run = listed[-1]
        stage = _stage_of(settings, run)
        command = f"archiverd retry {stage}" if stage else ""
    elif waiting:
        run, command = waiting[-1], "archiverd once"
    return f"`archiverd why {run}` tells the cause and what to do" + (f"; then `{command}`" if command else "")


def _stage_of(settings: Settings, run: int) -> str:
    """Return the stage that a run failed in, from the journal; empty if that cannot be read or lacks the run."""
    with contextlib.suppress(ArchiverError), reading(journal_in(settings.app.work_dir)) as db:
        row = select_run(db, run)
        if row is not None:
            return str(row.stage)
    return ""
