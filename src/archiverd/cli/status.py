"""`archiverd status`: the status report in one screen; with --probe also what the databases hold.

The running daemon puts the report together and this command prints it, so that plain `status` needs neither settings
nor journal. Without a daemon, or with one that does not answer, the command reads the journal itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from archiverd.app.operations.status_exchange import StatusRequest, parse_report
from archiverd.cli.destination_report import print_destinations
from archiverd.cli.hold_report import print_hold
from archiverd.cli.terminal import progress_bar
from archiverd.cli.wording import ago, cut
from archiverd.control import client
from archiverd.core import runset
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import ON_THEIR_WAY, TROUBLE, State
from archiverd.core.proofs import BlobFault
from archiverd.core.wording import pluralise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from archiverd.cli.context import GlobalOptions
    from archiverd.config.models import Settings
    from archiverd.status.probe import ProbeResult

    Report = Mapping[str, Any]
    """A part of what `status --json` prints (docs/commands.md)."""
    Probe = Callable[[Settings], list[ProbeResult]]

DAEMON_SECONDS = 2.0
"""How long plain `status` waits for the daemon to answer."""
PROBE_SECONDS = 900.0
"""How long `status --probe` waits for the daemon, which asks the databases."""

WARNINGS_SHOWN = 3
"""Most warnings that plain `status` shows, the most urgent first."""
CAUSES_SHOWN = 2
"""Most causes that plain `status` shows, so that it fits in 24 lines; the rest is counted."""
ADVICE_SHOWN = 3
"""Most recommendations that plain `status` shows."""
TEXT_SHOWN = 120
"""Longest error shown, in characters."""

_PASSING = tuple(state for state in ON_THEIR_WAY if state not in TROUBLE)
"""States that end by themselves, in the order in which runs go through them."""


@click.command(short_help="Say in one screen how we stand, and what is to be done.")
@click.option("--compare-state", is_flag=True, help="Compare databases, journal and state files; asks the databases.")
@click.option("--probe", is_flag=True, help="Ask directories and databases now; exit 1 if one cannot be reached.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def status(options: GlobalOptions, compare_state: bool, probe: bool, as_json: bool) -> int:
    """Say in one screen how we stand, and what is to be done.

    Plain `status` asks only journal and daemon, and is quick. With --probe or --compare-state the run-records
    directory, artdaqDB and UconDB are asked what they hold; exit code 1 if one of them cannot be reached.
    """
    probing = probe or compare_state
    found = _gather_probing(options, comparing=compare_state) if probing else _gather(options, None)
    if as_json:
        click.echo(json.dumps(found))
    else:
        _print_report(found, whole=probing)
    return 1 if any(source["problems"] for source in found["sources"]) else 0


def _gather_probing(options: GlobalOptions, *, comparing: bool) -> Report:
    """Return the report with what the sources hold now; log which of them cannot be reached."""
    from archiverd.cli import status_probe  # noqa: PLC0415 - heavy imports that plain `status` does without

    with progress_bar("status") as show:
        show(0, 0, "asking the databases what they hold")
        found = _gather(options, status_probe.probe_sources, comparing=comparing)
    problems = [problem for source in found["sources"] for problem in source["problems"]]
    if problems:
        settings, _ = options.settings(migrating=False)
        status_probe.log_problems(settings.app, problems)
    return found


def _gather(options: GlobalOptions, probe: Probe | None, *, comparing: bool = False) -> Report:
    """Return the running daemon's report if it answers, else one by the journal and by ``probe``."""
    request, daemon = StatusRequest(probe is not None, comparing), None
    seconds = PROBE_SECONDS if request.probing else DAEMON_SECONDS
    try:
        return client.call(options.work_dir(), request.COMMAND, request.to_json(), parse_report, seconds)
    except client.NobodyListensError:
        pass
    except ArchiverError as error:
        daemon = {"error": str(error), "remedy": error.remedy}
    from archiverd.app.operations.status import gather_status  # noqa: PLC0415 - heavy imports; a daemon spares them

    settings, _ = options.settings(migrating=False, logging=request.probing)
    probed = None if probe is None else probe(settings)
    return gather_status(settings, request, daemon, probed, known=False).to_json()


def _print_report(found: Report, *, whole: bool) -> None:
    """Print the report: ``whole`` when the sources were asked, else what fits in one screen."""
    _print_daemon(found["daemon"])
    warnings = found["warnings"] if whole else found["warnings"][:WARNINGS_SHOWN]
    for warning in warnings:
        click.echo(f"WARNING: {warning}")
    if len(warnings) < len(found["warnings"]):
        click.echo(f"and {len(found['warnings']) - len(warnings)} more warnings: archiverd status --probe")
    for source in found["sources"]:
        (_print_source if whole else _print_source_in_a_line)(source, found["at"])
    if whole:
        print_destinations(found["destinations"])
    _print_states(found)
    _print_proofs(found["scrub"], found["at"])
    _print_stages(found["stages"])
    for hold in found["holds"]:
        print_hold(hold, found["at"])
    _print_causes(found["causes"], len(found["causes"]) if whole else CAUSES_SHOWN)
    for file in found["state_files"] or ():
        _print_state_file(file)
    advice = found["recommendations"]
    shown = advice if whole else advice[:ADVICE_SHOWN]
    click.echo("Recommendations:")
    for number, sentence in enumerate(shown, 1):
        click.echo(f"  {number}. {sentence}")
    if len(shown) < len(advice):
        click.echo(f"  and {len(advice) - len(shown)} more: archiverd status --probe")


def _print_daemon(daemon: Report | None) -> None:
    """Print whether a daemon runs, and its state."""
    if daemon is None:
        click.echo("no daemon runs")
        return
    if "error" in daemon:
        click.echo(f"the daemon cannot tell: {daemon['error']}")
        return
    how = "draining, up" if daemon["draining"] else "paused, up" if daemon["paused"] else "running"
    busy = ", ".join(f"{len(runs)} in {stage}" for stage, runs in daemon["in_hand"].items())
    click.echo(
        f"daemon {daemon['pid']} {how} for {ago(daemon['seconds'])}, {daemon['rss_bytes'] // 1_000_000} MB; {busy}; "
        f"{pluralise(daemon['uploads_allowed'], 'upload')} at a time"
    )


def _print_source_in_a_line(source: Report, now: float) -> None:
    """Print the number of runs in a source, and the result of its last call."""
    ranges, gaps = source["ranges"] or [], source["gaps"] or []
    text = f"{source['name']:<15} {source['runs'] or 0:>7}   {runset.show_ranges(ranges, 3)}"
    if gaps:
        text += f"; {pluralise(len(gaps), 'gap')}: {runset.show_ranges(gaps, 2)}"
    click.echo(text + _describe_contact(source["contact"], now))


def _print_source(source: Report, now: float) -> None:
    """Print a source's location, problems, runs, ranges and gaps."""
    click.echo(f"{source['name']}: {source['location'] or 'not configured'}")
    for problem in source["problems"]:
        click.echo(f"  FAILED: {problem['error']}")
    if source["facts"]:
        click.echo(f"  {'; '.join(source['facts'])}{_describe_contact(source['contact'], now)}")
    if source["ranges"] is None:
        if source["problems"]:
            click.echo("  runs: not known")
        return
    click.echo(f"  runs: {source['runs']}" + (f", {source['first']} to {source['last']}" if source["ranges"] else ""))
    click.echo(f"  ranges: {runset.show_ranges(source['ranges'], 20)}")
    click.echo(f"  gaps: {runset.show_ranges(source['gaps'], 20)}")


def _describe_contact(contact: Report | None, now: float) -> str:
    """Return the result and the age of the daemon's last call of a source."""
    if contact is None:
        return ""
    age = ago(max(0.0, now - contact["at"]))
    return f"; answered {age} ago" if contact["ok"] else f"; FAILED {age} ago: {cut(contact['error'], TEXT_SHOWN)}"


def _print_states(found: Report) -> None:
    """Print the number of runs in each state that is no trouble, those on their way in one line."""
    counts, drain, last = found["counts"], found["drain"], found["last_verified"]
    if not any(counts.values()):
        click.echo("no runs yet")
    for state, ranges in found["runs"].items():
        if state not in (*_PASSING, *TROUBLE):
            when = f"; last {ago(found['at'] - last)} ago" if state == State.VERIFIED and last is not None else ""
            click.echo(f"{state:<15} {counts[state]:>7}   {runset.show_ranges(ranges, 4)}{when}")
    if drain["waiting"]:
        busy = ", ".join(f"{counts[state]} {state}" for state in _PASSING if counts[state])
        rest = "" if drain["seconds"] is None or found["holds"] else f"; done in about {ago(drain['seconds'])}"
        click.echo(f"{'on their way':<15} {drain['waiting']:>7}   {busy or 'retries'}{rest}")


def _print_proofs(scrub: Report, now: float) -> None:
    """Print how old the oldest proof is, what is wrong with runs in UconDB, and why no run is proven again."""
    if scrub["oldest_proof"] is not None:
        wrong = "".join(f"; {scrub[fault]} {fault}" for fault in BlobFault if scrub[fault])
        click.echo(f"{'oldest proof':<15} {ago(max(0.0, now - scrub['oldest_proof']))} ago{wrong}")
    if scrub["standstill"] is not None:
        halt = scrub["standstill"]
        click.echo(f"no run is proven again for {ago(max(0.0, now - halt['since']))}: {cut(halt['why'], TEXT_SHOWN)}")


def _print_stages(stages: Sequence[Report]) -> None:
    """Print each stage's duration for a run, and how many runs wait for it."""
    known = [one for one in stages if one["runs_lately"]]
    slowest = max(known, key=lambda one: float(one["median_seconds"]), default=None)
    for one in stages:
        if not one["runs_lately"] and not one["waiting"]:
            continue
        took = "no run taken through yet"
        if one["runs_lately"]:
            runs = f"last {pluralise(one['runs_lately'], 'run')}"
            took = f"median {one['median_seconds']:.2f} s, p95 {one['p95_seconds']:.2f} s ({runs})"
        mark = "; the slowest stage" if one is slowest and len(known) > 1 else ""
        click.echo(f"{one['stage']:<15} {took}; {one['waiting']} waiting, {one['in_hand']} in hand{mark}")


def _print_causes(causes: Sequence[Report], most: int) -> None:
    """Print why runs are in trouble, and what to do about it."""
    for cause in causes[:most]:
        runs = runset.show(cause["runs"], 3)
        click.echo(f"{cause['state']:<15} {len(cause['runs']):>7}   {runs}: {cut(cause['error'], TEXT_SHOWN)}")
        if cause["remedy"]:
            click.echo(f"    {cut(cause['remedy'], TEXT_SHOWN)}")
    if len(causes) > most:
        rest = sum(len(cause["runs"]) for cause in causes[most:])
        click.echo(f"and {rest} more for other causes: archiverd runs --state retry_wait|quarantined|conflict")


def _print_state_file(file: Report) -> None:
    """Print what a state file says, and whether that is right."""
    if file["last_contiguous_run"] is None:
        click.echo(f"{file['name']}: {file['problem']}; {file['stage']} is through up to run {file['contiguous']}")
        return
    verdict = "as it is" if file["in_step"] else f"but {file['stage']} is through up to run {file['contiguous']}"
    click.echo(
        f"{file['name']}: last_contiguous_run {file['last_contiguous_run']}, "
        f"last_attempted_run {file['last_attempted_run']}: {verdict}"
    )
