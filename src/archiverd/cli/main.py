"""The command line: its global options and its commands.

Data goes to standard output, everything for people to standard error. Commands import what they need when they
run, so that ``--help`` and ``status`` are quick.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from archiverd import __version__
from archiverd.cli.context import Globals, take_in_environment
from archiverd.cli.error_report import guarded

EPILOG = """\b
Examples:
  archiverd demo                       see the whole job run, on parts of its own
  archiverd -c site.toml config check  is the configuration right?
  archiverd -c site.toml run           the daemon
  archiverd -c site.toml status        how do we stand?
  archiverd -c site.toml why 12345     what became of run 12345?

Exit codes: 0 success, 1 known error, 2 unexpected error, 130 interrupted."""


class Ordered(click.Group):
    """Shows its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the base class's form
        """Return the commands' names."""
        return list(self.commands)


@click.group(
    cls=Ordered, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("-c", "--config", metavar="FILE", help="Configuration; else $ARCHIVERD_CONFIG, ./archiverd.toml, /etc.")
@click.option("-v", "--verbose", is_flag=True, help="Log at DEBUG level.")
@click.option("-q", "--quiet", is_flag=True, help="Log warnings and errors only.")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "console", "json", "journal"]),
    default="auto",
    show_default=True,
    help="How log lines look; auto is the systemd journal if there, else readable lines.",
)
@click.option("--env-file", metavar="FILE", help="Variables for the configuration: NAME=value lines, never executed.")
@click.option("--work-dir-log", is_flag=True, help="Log to WORK_DIR/archiver.log too, unless app.log_file is set.")
@click.version_option(__version__, prog_name="archiverd")
@click.pass_context
def cli(
    context: click.Context,
    config: str | None,
    verbose: bool,
    quiet: bool,
    log_format: str,
    env_file: str | None,
    work_dir_log: bool,
) -> None:
    """Archive the run records of artdaq detectors: run-records directory → artdaqDB → UconDB, proven."""
    environment = take_in_environment(env_file or os.environ.get("ARCHIVERD_ENV_FILE"), config)
    context.obj = Globals(config, verbose, quiet and not verbose, log_format, work_dir_log, environment)


def _add_commands() -> None:
    """Hang the commands below the group; each module is small and imports lazily."""
    from archiverd.cli import (  # noqa: PLC0415 - after the group exists
        artdaqdb,
        check,
        completion,
        config,
        demo,
        drain,
        export,
        fhicl,
        once,
        pause,
        reconcile,
        recover,
        release,
        resume,
        retry,
        run,
        runs,
        status,
        ucondb_server,
        waive,
        why,
    )

    for command in (
        status.status,
        why.why,
        runs.runs,
        run.run,
        once.once,
        retry.retry,
        recover.recover,
        reconcile.reconcile,
        release.release,
        waive.waive,
        export.export,
        check.check,
        pause.pause,
        resume.resume,
        drain.drain,
        config.config,
        artdaqdb.artdaqdb,
        fhicl.fhicl,
        demo.demo,
        ucondb_server.ucondb_server,
        completion.completion,
    ):
        cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and leave with the documented exit code."""
    _add_commands()
    from archiverd.cli import shell_completion  # noqa: PLC0415 - lazily: see above

    if shell_completion.VARIABLE in os.environ:
        sys.exit(shell_completion.answer(cli))
    sys.exit(guarded(lambda: cli.main(prog_name="archiverd", standalone_mode=False)))
