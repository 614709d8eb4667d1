"""`archiverd status`: how we stand, in one screen; what the databases hold, if they are to be asked."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import click

from archiverd.cli.asking import run_now, through_daemon
from archiverd.cli.words import ago, cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from archiverd.cli.main import Globals
    from archiverd.config import Settings
    from archiverd.journal.overview import Cause
    from archiverd.journal.rows import Hold
    from archiverd.service.advice import Workload
    from archiverd.service.comparing import StateFile
    from archiverd.service.looking import Look
    from archiverd.service.standing import Source, Standing

DAEMON_SECONDS = 0.3
"""How long plain `status` waits for the daemon to answer."""

CAUSES_SHOWN = 2
ADVICE_SHOWN = 3
"""So many of each are shown by plain `status`, which is to fit in 24 lines; the rest is counted."""
TEXT_SHOWN = 120
"""So many characters of an error."""

ON_THEIR_WAY = ("queued", "importing", "imported", "uploading")
"""States that pass by themselves, in the order runs go through them."""


@click.command()
@click.option("--compare-state", is_flag=True, help="Compare databases, journal and state files; asks the databases.")
@click.option("--probe", is_flag=True, help="Ask directories and databases now; exit 1 if one cannot be reached.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def status(globals_: Globals, compare_state: bool, probe: bool, as_json: bool) -> int:
    """Say in one screen how we stand, and what is to be done.

    Plain `status` asks only journal and daemon, and is quick. With --probe or --compare-state the run-records
    directory, artdaqDB and UconDB are asked what they hold; exit code 1 if one of them cannot be reached.
    """
    from archiverd.service import standing  # noqa: PLC0415 - lazily, for a quick --help

    looking = probe or compare_state
    settings, _ = globals_.settings(migrating=False, logging=looking)
    daemon = _ask_daemon(settings.app.work_dir)
    with _reading(settings) as db:
        looks = _look(settings, db) if looking else None
        found = standing.gather(settings, db, daemon, looks, comparing=compare_state)
    if as_json:
        click.echo(json.dumps(found.told()))
    else:
        _tell(found, whole=looking)
    return 0 if found.reachable else 1


def tell_hold(hold: Hold, now: float) -> None:
    """Print why a backend is left alone."""
    next_probe = "" if hold.probe_at is None else f"; next probe in {ago(max(0.0, hold.probe_at - now))}"
    click.echo(f"{hold.backend} is {hold.health} for {ago(now - hold.since)}: {hold.cause}{next_probe}")
    if hold.remedy:
        click.echo(f"    {hold.remedy}")


@contextlib.contextmanager
def _reading(settings: Settings) -> Iterator[Any]:
    """Open the journal read-only; None if there is none yet, which a new installation may well ask about."""
    from archiverd.journal.reader import is_there, reading  # noqa: PLC0415 - lazily, for a quick --help

    path = settings.app.work_dir / "journal.sqlite"
    if not is_there(path):
        yield None
        return
    with reading(path) as db:
        yield db


def _ask_daemon(work_dir: Path) -> dict[str, Any] | None:
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


def _look(settings: Settings, db: Any) -> list[Look]:
    """Ask the sources now: the daemon does, which has the passwords; without one this process."""
    from archiverd import log  # noqa: PLC0415 - heavy imports that plain `status` does without
    from archiverd.service import looking  # noqa: PLC0415

    def alone(_: object) -> Any:
        verified = [] if db is None else [run for (run,) in db.execute("SELECT run FROM runs WHERE state = 'verified'")]
        return [one.told() for one in run_now(looking.look_alone(settings, verified))]

    told: Any = through_daemon(settings, "probe", {}, alone)
    looks = [looking.Look.of(one) for one in told]
    for one in looks:
        for error in one.problems:
            log.failure(log.get("Report"), error)
    return looks


def _tell(standing: Standing, *, whole: bool) -> None:
    """Print how we stand; ``whole`` when the sources were asked, else in one screen."""
    _tell_daemon(standing.daemon)
    for warning in standing.warnings:
        click.echo(f"WARNING: {warning}")
    for source in standing.sources:
        (_tell_source if whole else _tell_source_in_a_line)(source, standing.at)
    _tell_states(standing)
    _tell_stages(standing.workloads)
    for hold in standing.holds:
        tell_hold(hold, standing.at)
    _tell_causes(standing.causes, len(standing.causes) if whole else CAUSES_SHOWN)
    for file in standing.state_files or ():
        _tell_state_file(file)
    shown = standing.recommendations if whole else standing.recommendations[:ADVICE_SHOWN]
    click.echo("Recommendations:")
    for number, sentence in enumerate(shown, 1):
        click.echo(f"  {number}. {sentence}")
    if len(shown) < len(standing.recommendations):
        click.echo(f"  and {len(standing.recommendations) - len(shown)} more: archiverd status --probe")


def _tell_daemon(daemon: Mapping[str, Any] | None) -> None:
    """Print whether a daemon runs, and how it is."""
    if daemon is None:
        click.echo("no daemon runs")
        return
    if "error" in daemon:
        click.echo(f"the daemon does not answer: {daemon['error']}")
        return
    how = "draining" if daemon.get("draining") else "paused" if daemon.get("paused") else "running"
    busy = ", ".join(f"{len(runs)} in {stage}" for stage, runs in daemon.get("in_hand", {}).items())
    seconds, rss = daemon.get("seconds", 0.0), daemon.get("rss_bytes", 0)
    uploads = f"; {daemon.get('uploads_allowed', 0)} uploads at a time"
    click.echo(f"daemon {daemon.get('pid')} {how} for {ago(seconds)}, {rss // 1_000_000} MB; {busy}{uploads}")


def _tell_source_in_a_line(source: Source, now: float) -> None:
    """Print how many runs are in a place, and how its last call went."""
    from archiverd.core import runset  # noqa: PLC0415 - lazily, for a quick --help

    ranges = source.ranges or []
    gaps = runset.gaps(ranges)
    text = f"{source.name:<15} {runset.count(ranges):>7}   {runset.show_ranges(ranges, 3)}"
    if gaps:
        text += f"; {len(gaps)} gap{'' if len(gaps) == 1 else 's'}: {runset.show_ranges(gaps, 2)}"
    click.echo(text + _said(source, now))


def _tell_source(source: Source, now: float) -> None:
    """Print what a source says: where it is, whether it can be reached, its runs, ranges and gaps."""
    from archiverd.core import runset  # noqa: PLC0415 - lazily, for a quick --help

    click.echo(f"{source.name}: {source.location or 'not configured'}")
    for problem in source.problems:
        click.echo(f"  FAILED: {problem.error}")
    if source.facts:
        click.echo(f"  {'; '.join(source.facts)}{_said(source, now)}")
    if source.ranges is None:
        if source.problems:
            click.echo("  runs: not known")
        return
    first_last = f", {source.ranges[0][0]} to {source.ranges[-1][1]}" if source.ranges else ""
    click.echo(f"  runs: {runset.count(source.ranges)}{first_last}")
    click.echo(f"  ranges: {runset.show_ranges(source.ranges, 20)}")
    click.echo(f"  gaps: {runset.show_ranges(runset.gaps(source.ranges), 20)}")


def _said(source: Source, now: float) -> str:
    """Say how the daemon's last call of a source went, and how long ago that was."""
    contact = source.contact
    if contact is None:
        return ""
    age = ago(max(0.0, now - contact["at"]))
    return f"; answered {age} ago" if contact["ok"] else f"; FAILED {age} ago: {cut(contact['error'], TEXT_SHOWN)}"


def _tell_states(standing: Standing) -> None:
    """Print how many runs are in each state that is no trouble, those on their way in one line."""
    from archiverd.core import runset  # noqa: PLC0415 - lazily, for a quick --help
    from archiverd.journal.overview import TROUBLE  # noqa: PLC0415

    if not standing.ranges:
        click.echo("no runs yet")
    pace, busy = standing.pace, []
    for state, ranges in standing.ranges.items():
        if state in ON_THEIR_WAY:
            busy.append(f"{runset.count(ranges)} {state}")
        elif state not in TROUBLE:
            last = f"; last {ago(standing.at - pace.last)} ago" if state == "verified" and pace.last is not None else ""
            click.echo(f"{state:<15} {runset.count(ranges):>7}   {runset.show_ranges(ranges, 4)}{last}")
    if pace.waiting:
        rest = "" if pace.seconds is None or standing.holds else f"; done in about {ago(pace.seconds)}"
        click.echo(f"{'on their way':<15} {pace.waiting:>7}   {', '.join(busy) or 'retries'}{rest}")


def _tell_stages(workloads: Sequence[Workload]) -> None:
    """Print how long each stage takes for a run, and what waits for it."""
    known = [one for one in workloads if one.lately is not None]
    slowest = max(known, key=lambda one: one.lately.median if one.lately else 0.0, default=None)
    for one in workloads:
        if one.lately is None and not one.waiting:
            continue
        took = "no run taken through yet"
        if one.lately is not None:
            runs = f"last {one.lately.runs} run{'' if one.lately.runs == 1 else 's'}"
            took = f"median {one.lately.median:.2f} s, p95 {one.lately.p95:.2f} s ({runs})"
        mark = "; the slowest stage" if one is slowest and len(known) > 1 else ""
        click.echo(f"{one.stage:<15} {took}; {one.waiting} waiting, {one.in_hand} in hand{mark}")


def _tell_causes(causes: Sequence[Cause], most: int) -> None:
    """Print why runs are in trouble, and what to do about it."""
    from archiverd.core import runset  # noqa: PLC0415 - lazily, for a quick --help

    for cause in causes[:most]:
        runs = runset.show(cause.runs, 3)
        click.echo(f"{cause.state:<15} {len(cause.runs):>7}   {runs}: {cut(cause.error, TEXT_SHOWN)}")
        if cause.remedy:
            click.echo(f"    {cut(cause.remedy, TEXT_SHOWN)}")
    if len(causes) > most:
        rest = sum(len(cause.runs) for cause in causes[most:])
        click.echo(f"and {rest} more for other causes: archiverd runs --state retry_wait|quarantined|conflict")


def _tell_state_file(file: StateFile) -> None:
    """Print what a state file says against what is so."""
    if file.said is None:
        click.echo(f"{file.name}: {file.problem}; {file.stage} is through up to run {file.contiguous}")
        return
    contiguous, attempted = file.said
    verdict = "as it is" if file.in_step else f"but {file.stage} is through up to run {file.contiguous}"
    click.echo(f"{file.name}: last_contiguous_run {contiguous}, last_attempted_run {attempted}: {verdict}")
