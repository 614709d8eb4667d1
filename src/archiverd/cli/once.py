"""Commands that archive: `run`, `once`, `retry` and `recover`."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, cast

import click

from archiverd.cli.completion import FAILED, RunNumber
from archiverd.cli.daemon_client import run_now, through_daemon
from archiverd.cli.wording import told_singly
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import RETRIABLE, State

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any

    from archiverd.app.dry_run import DryRun
    from archiverd.app.operations import PassResult
    from archiverd.cli.daemon_client import Told
    from archiverd.cli.main import Globals
    from archiverd.cli.terminal import Progress
    from archiverd.config import Settings

_OUTLOOK = {
    "to_import": "would import",
    "to_upload": "would upload",
    "still_open": "still open",
    "set_aside": "set aside, waiting for an operator",
}
"""What `once --dry-run` tells, by field."""

STAGES = click.Choice(["import", "migrate"])


@click.command()
@click.pass_obj
def run(globals_: Globals) -> int:
    """Watch, import, migrate and verify until told to stop.

    Ctrl-C (SIGINT) and SIGTERM finish what is in flight and leave with 130; three within two seconds leave at once.
    Removing the lock file finishes what is in flight and leaves with 1.
    """
    from archiverd.process import last_exit, work_dir  # noqa: PLC0415 - a heavy import only this command needs

    settings, _ = globals_.settings()
    with last_exit.recording(settings, "run") as ending:
        work_dir.prepare(settings.app)
        from archiverd.daemon import main  # noqa: PLC0415 - after the log file is open

        ending.exit_code = run_now(main.run(settings))
    return ending.exit_code


@click.command(short_help="Archive everything that has ended, then exit.")
@click.option("--incremental", is_flag=True, help="Trust the journal instead of asking the databases what they hold.")
@click.option("--import-only", is_flag=True, help="Stop at artdaqDB.")
@click.option("--migrate-only", is_flag=True, help="Only bring to UconDB what is in artdaqDB.")
@click.option("--validate", is_flag=True, help="Check each blob's metadata for what validation.required names.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; touch nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: imported, verified, open, failed, …")
@click.pass_obj
def once(
    globals_: Globals,
    incremental: bool,
    import_only: bool,
    migrate_only: bool,
    validate: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Take every run that has ended through both stages, then exit (for cron).

    Exit code 0 if all is well, 1 if a run failed, waits for UconDB or is not as it was archived, 130 if interrupted.
    """
    if import_only and migrate_only:
        raise click.UsageError("--import-only and --migrate-only exclude each other")
    settings, _ = globals_.settings(migrating=dry_run and not import_only)
    if dry_run:
        from archiverd.app.dry_run import plan_pass  # noqa: PLC0415

        return _tell_outlook(plan_pass(settings, importing=not migrate_only, migrating=not import_only), as_json)

    def begin(on_progress: Progress) -> Coroutine[Any, Any, PassResult]:
        from archiverd.app import operations  # noqa: PLC0415 - after the log file is open
        from archiverd.app.wiring import RunOptions  # noqa: PLC0415

        options = RunOptions(
            importing=not migrate_only,
            migrating=not import_only,
            validating=validate,
            drilling=not incremental,
            until_idle=True,
        )
        return operations.once(settings, options, incremental=incremental, on_progress=on_progress)

    alone = _recorded(settings, "once", begin, None if import_only else globals_.demand_migration)
    told = through_daemon(settings, "once", {"incremental": incremental}, alone)
    code = _tell_pass(settings, told, as_json)
    _tell_unread(settings)
    return code


@click.command(short_help="Retry the runs of a failure log, or those named.")
@click.argument("stage", type=STAGES)
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=RunNumber(FAILED))
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as `once --json`.")
@click.pass_obj
def retry(globals_: Globals, stage: str, runs: tuple[int, ...], as_json: bool) -> int:
    """Take the runs in the failure log of a stage up again, quarantined ones too, or the runs named.

    `retry import` takes them on to UconDB as well, if it is configured.
    """
    from archiverd.config import missing_for_migration  # noqa: PLC0415 - a heavy import only this command needs
    from archiverd.core.machine import Stage  # noqa: PLC0415

    settings, _ = globals_.settings(migrating=False)

    def begin(on_progress: Progress) -> Coroutine[Any, Any, PassResult]:
        from archiverd.app import operations  # noqa: PLC0415 - after the log file is open
        from archiverd.app.wiring import RunOptions  # noqa: PLC0415

        migrating = not missing_for_migration(settings)
        options = RunOptions(importing=stage == "import", migrating=migrating, drilling=False, until_idle=True)
        return operations.retry(settings, options, Stage(stage), runs, on_progress)

    alone = _recorded(settings, "retry", begin, globals_.demand_migration if stage == "migrate" else None)
    told = through_daemon(settings, "retry", {"stage": stage, "runs": list(runs)}, alone)
    return _tell_pass(settings, told, as_json, chosen=True)


@click.command(short_help="Make journal and state files anew from the data sources.")
@click.argument("stage", type=STAGES)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as `once --json`.")
@click.pass_obj
def recover(globals_: Globals, stage: str, as_json: bool) -> int:
    """Make journal, state file and failure log of a stage anew from what its database holds.

    Runs that are not verified yet are proven; `archiverd reconcile --deep` proves the others.
    """
    from archiverd.core.machine import Stage  # noqa: PLC0415 - a heavy import only this command needs

    migrating = stage == "migrate"
    settings, _ = globals_.settings(migrating=False)

    def begin(on_progress: Progress) -> Coroutine[Any, Any, PassResult]:
        from archiverd.app import operations  # noqa: PLC0415 - after the log file is open
        from archiverd.app.wiring import RunOptions  # noqa: PLC0415

        options = RunOptions(importing=not migrating, migrating=migrating, drilling=False, until_idle=True)
        return operations.recover(settings, options, Stage(stage), on_progress)

    alone = _recorded(settings, "recover", begin, globals_.demand_migration if migrating else None)
    told = through_daemon(settings, "recover", {"stage": stage}, alone)
    return _tell_pass(settings, told, as_json, chosen=True)


def _recorded(
    settings: Settings,
    command: str,
    begin: Callable[[Progress], Coroutine[Any, Any, PassResult]],
    demand: Callable[[], None] | None,
) -> Callable[[Progress], Told]:
    """Return what makes a pass and returns what it did; how it ended is recorded, in the log file too.

    ``demand``, if there is one, is called first: it raises ConfigurationError for what the pass lacks.
    """
    from archiverd.process import last_exit, work_dir  # noqa: PLC0415 - lazily, for a quick --help

    def alone(on_progress: Progress) -> Told:
        if demand is not None:
            demand()
        with last_exit.recording(settings, command) as ending:
            work_dir.prepare(settings.app)
            did = run_now(begin(on_progress))
            ending.exit_code = did.exit_code
        return did.to_json()

    return alone


def _tell_outlook(found: DryRun, as_json: bool) -> int:
    """Print what a pass would do."""
    from archiverd.core import runset  # noqa: PLC0415 - lazily, for a quick --help

    if as_json:
        click.echo(json.dumps({"version": 1, **{name: list(getattr(found, name)) for name in _OUTLOOK}}))
        return 0
    for name, text in _OUTLOOK.items():
        runs = getattr(found, name)
        if runs:
            click.echo(f"{text} ({len(runs)}): {runset.show(runs)}")
    if not found.to_import and not found.to_upload:
        click.echo("nothing to do")
    return 0


def _tell_pass(settings: Settings, told: Told, as_json: bool, *, chosen: bool = False) -> int:
    """Print what a pass did; return its exit code.

    One over ``chosen`` runs says nothing of those that have not ended: it knows only of its own.
    """
    failed, hold = cast("list[dict[str, object]]", told["failed"]), cast("dict[str, str] | None", told["hold"])
    if as_json:
        click.echo(json.dumps(told))
    else:
        still_open = "" if chosen else f"{told['open']} still open, "
        held = cast("dict[str, int] | None", told.get("held"))
        holding = "" if held is None else f"{held['runs']} held, {held['verified']} already verified; "
        click.echo(
            f"{holding}{told['imported']} runs imported, {told['verified']} verified, {still_open}{len(failed)} failed",
            err=True,
        )
        if hold is not None:
            click.echo(f"  UconDB: {hold['cause']}\n    {hold['remedy']}", err=True)
        for run in failed:
            click.echo(f"  run {run['run']}: {run['state']}: {run['error'] or 'waits for UconDB'}", err=True)
        for one in cast("list[dict[str, object]]", told.get("skipped", [])):
            click.echo(f"  run {one['run']}: not taken up: {one['reason']}", err=True)
        _tell_amiss(cast("list[dict[str, object]]", told.get("amiss", [])))
    if failed:
        click.echo(f"Remedy: {_remedy(settings, failed)}", err=True)
    return int(cast("int", told["exit_code"]))


def _tell_amiss(amiss: list[dict[str, object]]) -> None:
    """Print which verified runs are not as they should be any more."""
    from archiverd.core import runset  # noqa: PLC0415 - lazily, for a quick --help

    for state in dict.fromkeys(str(one["state"]) for one in amiss):
        those = [one for one in amiss if one["state"] == state]
        click.echo(f"  {state}: {runset.show(cast('int', one['run']) for one in those)}", err=True)
        for line in told_singly([one for one in those if one["error"]]):
            click.echo(f"    {line}", err=True)
        click.echo(f"    {those[0]['remedy']}", err=True)


def _tell_unread(settings: Settings) -> None:
    """Say which open runs cannot be looked at: they wait, so they are no failure, but perhaps for ever.

    Who may ask the daemon for a pass may perhaps not read its journal, and then is told nothing here.
    """
    from archiverd.config.paths import journal_in  # noqa: PLC0415
    from archiverd.core import runset  # noqa: PLC0415 - lazily, for a quick --help
    from archiverd.journal import summaries  # noqa: PLC0415
    from archiverd.journal.reader import reading  # noqa: PLC0415

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
    from archiverd.config.paths import journal_in  # noqa: PLC0415
    from archiverd.journal.queries import select_run  # noqa: PLC0415 - lazily, for a quick --help
    from archiverd.journal.reader import reading  # noqa: PLC0415

    with contextlib.suppress(ArchiverError), reading(journal_in(settings.app.work_dir)) as db:
        row = select_run(db, run)
        if row is not None:
            return str(row.stage)
    return ""
