"""The command line: its global options and its commands.

Data goes to standard output, everything for people to standard error. A command's module is imported only when the
command is invoked or completed, so that ``--help`` and ``status`` are quick.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from archiverd import __version__
from archiverd.cli.context import GlobalOptions, take_in_environment
from archiverd.cli.error_report import guarded
from archiverd.cli.lazy_group import LazyGroup
from archiverd.cli.shell_completion import VARIABLE, answer

if TYPE_CHECKING:
    from archiverd.log import Format

EPILOG = """\b
Examples:
  archiverd demo                       see the whole job run, on parts of its own
  archiverd -c site.toml config check  is the configuration right?
  archiverd -c site.toml run           the daemon
  archiverd -c site.toml status        how do we stand?
  archiverd -c site.toml why 12345     what became of run 12345?

Exit codes: 0 success, 1 known error, 2 unexpected error, 130 interrupted."""


COMMANDS = {
    "status": "Say in one screen how we stand, and what is to be done.",
    "why": "Tell one run's story: cause, next retry, remedy.",
    "runs": "List runs with their state.",
    "run": "Watch, import, migrate and verify until told to stop.",
    "once": "Archive everything that has ended, then exit.",
    "rearchive": "Archive a verified run again whose directory changed.",
    "retry": "Retry the runs of a failure log, or those named.",
    "recover": "Make journal and state files anew from the data sources.",
    "reconcile": "Compare run records, artdaqDB and UconDB run by run.",
    "release": "Put a run that was set aside back to work.",
    "waive": "Take a run out of the reckoning.",
    "export": "Write a run's files back to a directory.",
    "check": "Is everything in place? Says what to do about what is not.",
    "pause": "Let the daemon take up no more runs.",
    "resume": "Let a paused daemon go on.",
    "drain": "Let the daemon finish what it has begun, and end.",
    "config": "Check or show the configuration, or make one of the older tool's.",
    "artdaqdb": "Check or mend artdaqDB's FileSystemDB.",
    "fhicl": "Check and convert FHiCL text.",
    "demo": "See the whole job run, on made-up runs.",
    "ucondb-server": "Serve a small UconDB, for tests and staging.",
    "completion": "Print the completion script for a shell.",
}
"""The short help of each command, in the order of `archiverd --help`."""


@click.group(
    cls=LazyGroup,
    package="archiverd.cli",
    short_helps=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
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
    log_format: Format,
    env_file: str | None,
    work_dir_log: bool,
) -> None:
    """Archive the run records of artdaq detectors: run-records directory → artdaqDB → UconDB, proven."""
    environment = take_in_environment(env_file or os.environ.get("ARCHIVERD_ENV_FILE"), config)
    context.obj = GlobalOptions(config, verbose, quiet and not verbose, log_format, work_dir_log, environment)


def main() -> NoReturn:
    """Run the command line and leave with the documented exit code."""
    if VARIABLE in os.environ:
        sys.exit(answer(cli))
    sys.exit(guarded(lambda: cli.main(prog_name="archiverd", standalone_mode=False)))
