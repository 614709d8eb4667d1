"""`archiverd why`: one run's story."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from archiverd.audit.anomalies import Discrepancy, address
from archiverd.cli.hold_report import print_hold
from archiverd.cli.run_number import RunNumber
from archiverd.cli.wording import ago
from archiverd.config.paths import journal_in
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import WAITING, Stage, State
from archiverd.core.wording import printable
from archiverd.journal import queries
from archiverd.journal.destinations import Found, Side, select_configured, select_destinations, select_found
from archiverd.journal.reader import reading
from archiverd.runrecord.times import epoch

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from archiverd.cli.context import GlobalOptions
    from archiverd.journal.destinations import Destination
    from archiverd.journal.rows import FileFate, RunRow, StoryLine

FLAGS = {
    "dead": "dead: it never got a stop line",
    "superseded": "superseded: artdaqDB has a newer version of it than UconDB (a late stop line, or archived again)",
    "source_gone": "source gone: its directory is no longer there",
    "incomplete": "incomplete: files that its record promises never came",
    "no_end": "no end: another program archived it before its stop line, and that stays so",
    "override": "an operator wants UconDB's version replaced",
}
"""The text printed for each flag of a run."""


@click.command(short_help="Tell one run's story: cause, next retry, remedy.")
@click.argument("run", type=RunNumber())
@click.option("--json", "as_json", is_flag=True, help="One JSON object: version, run, holds, story, files.")
@click.pass_obj
def why(options: GlobalOptions, run: int, as_json: bool) -> None:
    """Tell one run's story: its state, the cause, the next retry, the remedy, and its files."""
    with reading(journal_in(options.work_dir())) as db:
        row = queries.select_run(db, run)
        story, files = queries.select_story(db, run), queries.select_files(db, run)
        first = queries.select_first_phase(db, run)
        holds = queries.select_holds(db) if row is not None and row.state in WAITING[Stage.MIGRATE] else []
        known = queries.select_extent(db)
        places = {} if row is None else _places(row, select_destinations(db))
        strange = [] if row is None else describe_elsewhere(db, row)
    if row is None:
        raise _unknown(run, *known)
    if as_json:
        shown = {
            "version": 1,
            "run": asdict(row),
            "waits_for": waits_for(row),
            "places": places,
            "elsewhere": strange,
            "first_phase": None if first is None else asdict(first),
            "holds": [asdict(hold) for hold in holds],
            "story": [asdict(line) for line in story],
            "files": [asdict(fate) for fate in files],
        }
        click.echo(json.dumps(shown))
        return
    _print_row(row)
    for what, place in places.items():
        if place is not None:
            click.echo(f"  {what.replace('_', ' ') + ':':<15}{place}")
    for told in strange:
        click.echo(f"  {'elsewhere:':<15}{told}")
    if first is not None:
        outcome = "proven in the pending folder" if first.done and not first.error else first.error or "under way"
        click.echo(f"  {'first phase:':<15}{outcome}")
    for hold in holds:
        print_hold(asdict(hold), time.time())
    if has_no_contents(row, files):
        click.echo(f"  {'contents:':<15}none recorded: of its directory only the start line is compared")
    _print_files(files)
    _print_story(story)


def waits_for(row: RunRow) -> str:
    """Return what an open run waits for; empty for any other."""
    if row.state is not State.OPEN:
        return ""
    if row.source_gone:
        return f"its directory, which is gone: put it back, or `archiverd waive {row.run} --reason TEXT`"
    if row.error:
        return "its directory, which cannot be read; it is tried again all the time"
    if row.stop_line:
        return row.waits_for or "its record to settle (watch.settle_seconds)"
    dead = "it counts as dead once a later run of its partition has started, or after watch.abandon_after_seconds"
    if row.started:
        return f"its stop line: it is running; if it crashed, {dead}"
    return f"its start line: metadata.txt has none yet, or is not there; if none comes, {dead}"


def remedies(row: RunRow) -> list[str]:
    """Return what to do about each flag of a verified run; what UconDB does not give back has its remedy in the row."""
    if row.state is not State.VERIFIED:
        return []
    told = []
    if row.reused:
        told.append(Discrepancy.REUSED.action([row.run]))
    elif row.changed:
        told.append(Discrepancy.CHANGED.action([row.run]))
    if row.superseded:
        told.append(f"`archiverd release {row.run} --override` replaces UconDB's version by what artdaqDB has")
    if row.incomplete or row.no_end:
        told.append(f"no disorder; `archiverd rearchive {row.run} --accept` acknowledges it")
    return told


def _places(row: RunRow, destinations: Mapping[int, Destination]) -> dict[str, str | None]:
    """Return which artdaqDB a run was imported into and which UconDB proved it; None for what is not known."""
    named = {"imported_into": row.imported_to, "proven_in": row.proven_to}
    found = {what: None if number is None else destinations.get(number) for what, number in named.items()}
    return {what: None if place is None else printable(str(place)) for what, place in found.items()}


def describe_elsewhere(db: sqlite3.Connection, row: RunRow) -> list[str]:
    """Say of each database that a verified run was archived in another one than the one configured at the last start.

    Both are named, and what the configured one has of the run.
    """
    known, here, told = select_destinations(db), select_configured(db), []
    for side, archived in ((Side.ARTDAQDB, row.imported_to), (Side.UCONDB, row.proven_to)):
        number = side.of(here)
        if row.state is not State.VERIFIED or number is None or archived == number:
            continue
        place = known.get(archived) if archived is not None else None
        where = f"archived in {place}" if place else "it was not noted where it was archived"
        found = address(_FOUND[select_found(db, row.run, number)], [row.run])
        told.append(printable(f"{side.label} is {known[number]} now; {where}; {found}"))
    return told


_FOUND = {
    None: "the configured one was not asked for it yet, the daemon does",
    Found.MISSING: (
        "the configured one does not have it: `archiverd release --destination` lets all such runs go there, "
        "`archiverd rearchive RUN --accept` says that it may stay"
    ),
    Found.DIFFERS: (
        "the configured one has other content of it: compare both (`archiverd export`); nothing was overwritten, and "
        "`archiverd rearchive RUN --accept` says that it may stay"
    ),
    Found.ACCEPTED: "an operator says that it may stay",
}
"""What the configured database has of a run that was archived elsewhere, and what to do."""


def has_no_contents(row: RunRow, files: Sequence[FileFate]) -> bool:
    """Return whether no content is known of a verified run: only the start line of its directory can be compared."""
    return row.state is State.VERIFIED and not row.source_gone and not any(fate.sha256 for fate in files)


def _validation(row: RunRow) -> str:
    """Return the result of the validation of a verified run's blob: passed, failed, or not done."""
    if row.state is not State.VERIFIED:
        return ""
    if not row.validated:
        return "not done: the daemon does it, or `archiverd once --validate`"
    return f"failed: {row.validation}" if row.validation else "passed"


def _proofs(row: RunRow) -> str:
    """Return when a verified run was proven last, and how often; empty for any other."""
    if row.state is not State.VERIFIED or row.proven_at is None:
        return ""
    how_often = "once" if row.proofs == 1 else f"{row.proofs} times"
    return f"{how_often}, last {ago(max(0.0, time.time() - row.proven_at))} ago"


def _unknown(run: int, count: int, first: int | None, last: int | None) -> ArchiverError:
    """Return the error for a run that the journal does not have, saying which it has."""
    known = f"{count} runs are known, {first} to {last}" if count else "no run is known yet"
    if count == 1:
        known = f"1 run is known, {first}"
    return ArchiverError(
        f"run {run} is not known: no directory of that name was seen below run_records_dir",
        remedy=f"{known}; a directory made just now is seen by a running daemon, or by `archiverd once`",
        run=run,
    )


def _print_row(row: RunRow) -> None:
    """Print a run's state, its facts and its remedy."""
    flags = [text for flag, text in FLAGS.items() if getattr(row, flag)]
    if row.blob_fault is not None:
        flags.append(f"{row.blob_fault}: {Discrepancy(row.blob_fault).fact}")
    click.echo(f"run {row.run}: {row.state}" + "".join(f" ({text})" for text in flags))
    facts = [
        ("configuration", row.configuration),
        ("started", row.start_line),
        ("stopped", row.stop_line + _length(row)),
        ("waits for", waits_for(row)),
        ("first seen", f"{ago(max(0.0, time.time() - row.seen_at))} ago" if row.state is State.OPEN else ""),
        ("cause", row.error),
        ("reason" if row.state is State.WAIVED else "remedy", row.remedy),
        ("attempts", str(row.attempts) if row.attempts else ""),
        ("next retry", f"in {ago(max(0.0, row.due - time.time()))}" if row.due else ""),
        ("changed", f"{row.changed} since it was archived" if row.changed else ""),
        ("reused", f"its directory holds another run, started {row.reused}" if row.reused else ""),
        *(("remedy", action) for action in remedies(row)),
        ("blob", f"{row.blob_length} bytes, sha256 {row.blob_sha256}" if row.blob_sha256 else ""),
        ("packed on", row.packed_on),
        ("proven", _proofs(row)),
        ("validation", _validation(row)),
    ]
    for name, value in facts:
        if value:
            click.echo(f"  {name + ':':<15}{value}")


def _length(row: RunRow) -> str:
    """Return a run's duration; empty if one of its times is not understood."""
    start, stop = epoch(row.start_line), epoch(row.stop_line)
    return "" if start is None or stop is None else f" (after {ago(stop - start)})"


def _print_files(files: Sequence[FileFate]) -> None:
    """Print which files were archived and which were left out, and why."""
    archived = [fate for fate in files if fate.entity]
    left_out = [fate for fate in files if not fate.entity]
    if not files:
        return
    click.echo(f"  files archived: {len(archived)}")
    for fate in archived:
        click.echo(f"    {fate.name} as {fate.entity}" + (f" ({fate.reason})" if fate.reason else ""))
    click.echo(f"  files left out: {len(left_out)}")
    for fate in left_out:
        click.echo(f"    {fate.name}: {fate.reason}")


def _print_story(story: Sequence[StoryLine]) -> None:
    """Print what happened, in order."""
    if story:
        click.echo("  story:")
    for line in story:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.at))
        click.echo(f"    {when}  {line.event} → {line.state}" + (f": {line.note}" if line.note else ""))
