"""Commands that tell: `status`, `runs` and `why`. They read the journal and touch nothing."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

import click

from archiverd.core import runset
from archiverd.core.machine import WAITING, Stage, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from archiverd.cli.main import Globals
    from archiverd.journal.rows import FileFate, Hold, Pace, RunRow, StoryLine

TROUBLE = (State.RETRY_WAIT, State.UPLOAD_UNKNOWN, State.QUARANTINED, State.CONFLICT)
"""States that somebody may want to look at."""

FLAGS = {
    "dead": "dead: it never got a stop line",
    "superseded": "superseded: its stop line came later; artdaqDB has it, UconDB's version has not",
    "source_gone": "source gone: its directory is no longer there",
    "override": "an operator wants UconDB's version replaced",
}
"""What a run's flags mean, in words."""

TLS_OFF = "TLS is not verified (ucon_db.verify_tls = false): nobody knows which server gets the runs"

DAEMON_SECONDS = 0.3
"""How long `status` waits for the daemon to answer."""

SHOWN = 10
"""So many troubled runs are listed by `status`; `runs --state` lists them all."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def status(globals_: Globals, as_json: bool) -> None:
    """Say in one screen how we stand."""
    from archiverd.journal import queries  # noqa: PLC0415 - lazily, for a quick --help
    from archiverd.journal.reader import reading  # noqa: PLC0415

    settings, _ = globals_.settings(migrating=False)
    with reading(settings.app.work_dir / "journal.sqlite") as db:
        standing = Standing(
            daemon=_ask_daemon(settings.app.work_dir),
            warnings=() if settings.ucon_db.verify_tls else (TLS_OFF,),
            runs={state: runs for state in State if (runs := [row["run"] for row in _runs_of(db, state)])},
            trouble=queries.select_states(db, TROUBLE),
            holds=queries.select_holds(db),
            pace=queries.select_pace(db, time.time()),
        )
    if as_json:
        click.echo(json.dumps(standing.told()))
    else:
        _tell_standing(standing)


@dataclass(frozen=True, slots=True)
class Standing:
    """How we stand, for one screen."""

    daemon: dict[str, object] | None
    warnings: Sequence[str]
    runs: dict[State, list[int]]
    trouble: Sequence[RunRow]
    holds: Sequence[Hold]
    pace: Pace

    def told(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        return {
            "version": 1,
            "daemon": self.daemon,
            "warnings": list(self.warnings),
            "counts": {str(state): len(self.runs.get(state, ())) for state in State},
            "runs": {str(state): runset.ranges(runs) for state, runs in self.runs.items()},
            "trouble": [_brief(row) for row in self.trouble],
            "holds": [asdict(hold) for hold in self.holds],
            "drain": {
                "waiting": self.pace.waiting,
                "runs_per_second": self.pace.per_second,
                "seconds": self.pace.seconds,
            },
            "last_verified": self.pace.last,
        }


def _tell_standing(standing: Standing) -> None:
    """Print how we stand."""
    _tell_daemon(standing.daemon)
    for warning in standing.warnings:
        click.echo(f"WARNING: {warning}")
    for state, runs in standing.runs.items():
        click.echo(f"{state:<15} {len(runs):>7}   {runset.show(runs)}")
    if not standing.runs:
        click.echo("no runs yet")
    pace, trouble = standing.pace, standing.trouble
    if pace.last is not None:
        click.echo(f"last verified {_ago(time.time() - pace.last)} ago")
    if pace.waiting and pace.seconds is not None and not standing.holds:
        click.echo(f"{pace.waiting} on their way: done in about {_ago(pace.seconds)}")
    for hold in standing.holds:
        _tell_hold(hold)
    for row in trouble[:SHOWN]:
        click.echo(f"run {row.run} {row.state}: {row.error}" + (f"\n    {row.remedy}" if row.remedy else ""))
    if len(trouble) > SHOWN:
        click.echo(f"and {len(trouble) - SHOWN} more: archiverd runs --state retry_wait|quarantined|conflict")


@click.command()
@click.option("--state", type=click.Choice([str(state) for state in State]), help="Only runs in this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: version, runs.")
@click.pass_obj
def runs(globals_: Globals, state: str | None, as_json: bool) -> None:
    """List runs with their state."""
    from archiverd.journal import queries  # noqa: PLC0415 - lazily, for a quick --help

    with _journal(globals_) as db:
        rows = queries.select_states(db, [State(state)] if state else list(State))
    if as_json:
        click.echo(json.dumps({"version": 1, "runs": [_brief(row) for row in rows]}))
        return
    for row in rows:
        click.echo(f"{row.run:>9}  {row.state:<15} {row.configuration}  {row.error}".rstrip())


@click.command(short_help="Tell one run's story: cause, next retry, remedy.")
@click.argument("run", type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object: version, run, holds, story, files.")
@click.pass_obj
def why(globals_: Globals, run: int, as_json: bool) -> int:
    """Tell one run's story: its state, the cause, the next retry, the remedy, and its files."""
    from archiverd.journal import queries  # noqa: PLC0415 - lazily, for a quick --help

    with _journal(globals_) as db:
        row = queries.select_run(db, run)
        story, files = queries.select_story(db, run), queries.select_files(db, run)
        first = queries.select_first_phase(db, run)
        holds = queries.select_holds(db) if row is not None and row.state in WAITING[Stage.MIGRATE] else []
    if row is None:
        click.echo(f"run {run} is not known: no directory of that name was seen below run_records_dir", err=True)
        return 1
    if as_json:
        shown = {
            "version": 1,
            "run": asdict(row),
            "first_phase": None if first is None else asdict(first),
            "holds": [asdict(hold) for hold in holds],
            "story": [asdict(line) for line in story],
            "files": [asdict(fate) for fate in files],
        }
        click.echo(json.dumps(shown))
        return 0
    _tell_row(row)
    if first is not None:
        told = "proven in the pending folder" if first.done and not first.error else first.error or "under way"
        click.echo(f"  {'first phase:':<15}{told}")
    for hold in holds:
        _tell_hold(hold)
    _tell_files(files)
    _tell_story(story)
    return 0


def _ask_daemon(work_dir: Path) -> dict[str, object] | None:
    """Return what the running daemon says of itself; None if none runs, what is wrong if it does not answer."""
    from archiverd.core.errors import ArchiverError  # noqa: PLC0415 - lazily, for a quick --help
    from archiverd.service import calling  # noqa: PLC0415

    try:
        told = calling.ask_now(work_dir, "status", {}, DAEMON_SECONDS)
    except calling.NobodyListensError:
        return None
    except ArchiverError as error:
        return {"error": str(error)}
    return told if isinstance(told, dict) else None


def _tell_daemon(daemon: dict[str, object] | None) -> None:
    """Print whether a daemon runs, and how it is."""
    if daemon is None:
        click.echo("no daemon runs")
        return
    if "error" in daemon:
        click.echo(f"the daemon does not answer: {daemon['error']}")
        return
    how = "draining" if daemon.get("draining") else "paused" if daemon.get("paused") else "running"
    in_hand = cast("dict[str, list[int]]", daemon.get("in_hand", {}))
    busy = ", ".join(f"{len(runs)} in {stage}" for stage, runs in in_hand.items())
    seconds, rss = cast("float", daemon.get("seconds", 0.0)), cast("int", daemon.get("rss_bytes", 0))
    click.echo(f"daemon {daemon.get('pid')} {how} for {_ago(seconds)}, {rss // 1_000_000} MB; {busy}")


def _tell_hold(hold: Hold) -> None:
    """Print why a backend is left alone."""
    next_probe = "" if hold.probe_at is None else f"; next probe in {_ago(max(0.0, hold.probe_at - time.time()))}"
    click.echo(f"{hold.backend} is {hold.health} for {_ago(time.time() - hold.since)}: {hold.cause}{next_probe}")
    if hold.remedy:
        click.echo(f"    {hold.remedy}")


def _tell_row(row: RunRow) -> None:
    """Print where a run stands and what can be done."""
    flags = [text for flag, text in FLAGS.items() if getattr(row, flag)]
    click.echo(f"run {row.run}: {row.state}" + "".join(f" ({text})" for text in flags))
    facts = [
        ("configuration", row.configuration),
        ("started", row.start_line),
        ("stopped", row.stop_line + _length(row)),
        ("cause", row.error),
        ("remedy", row.remedy),
        ("attempts", str(row.attempts) if row.attempts else ""),
        ("next retry", f"in {_ago(max(0.0, row.due - time.time()))}" if row.due else ""),
        ("blob", f"{row.blob_length} bytes, sha256 {row.blob_sha256}" if row.blob_sha256 else ""),
        ("packed on", row.packed_on),
        ("validation", row.validation),
    ]
    for name, value in facts:
        if value:
            click.echo(f"  {name + ':':<15}{value}")


def _length(row: RunRow) -> str:
    """Return how long a run took, if both its times are understood."""
    from archiverd.runrecord.times import epoch  # noqa: PLC0415 - lazily, for a quick --help

    start, stop = epoch(row.start_line), epoch(row.stop_line)
    return "" if start is None or stop is None else f" (after {_ago(stop - start)})"


def _tell_files(files: Sequence[FileFate]) -> None:
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


def _tell_story(story: Sequence[StoryLine]) -> None:
    """Print what happened, in order."""
    if story:
        click.echo("  story:")
    for line in story:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.at))
        click.echo(f"    {when}  {line.event} → {line.state}" + (f": {line.note}" if line.note else ""))


def _brief(row: RunRow) -> dict[str, object]:
    """Return what lists show of a run."""
    return {
        "run": row.run,
        "state": str(row.state),
        "dead": row.dead,
        "configuration": row.configuration,
        "error": row.error,
        "remedy": row.remedy,
        "next_retry": row.due,
        "verified_at": row.verified_at,
    }


def _runs_of(db: sqlite3.Connection, state: State) -> list[sqlite3.Row]:
    """Return the numbers of the runs in ``state``."""
    return db.execute("SELECT run FROM runs WHERE state = ?", (str(state),)).fetchall()


def _journal(globals_: Globals) -> AbstractContextManager[sqlite3.Connection]:
    """Open the journal named by the configuration, read-only."""
    from archiverd.journal.reader import reading  # noqa: PLC0415 - lazily, for a quick --help

    settings, _ = globals_.settings(migrating=False)
    return reading(settings.app.work_dir / "journal.sqlite")


def _ago(seconds: float) -> str:
    """Return a length of time as people say it."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
