"""The command line: global options, and how every command ends.

Data goes to standard output, everything for people to standard error. Commands import what they need when they
run, so that ``--help`` and ``status`` are quick.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO, cast

import click

from archiverd import __version__
from archiverd.cli.terminal import STANDARD_ERROR
from archiverd.core.errors import ArchiverError, exit_code, leaf

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.config import EnvironmentFile, Settings

EPILOG = """\b
Examples:
  archiverd demo                       see the whole job run, on parts of its own
  archiverd -c site.toml config check  is the configuration right?
  archiverd -c site.toml run           the daemon
  archiverd -c site.toml status        how do we stand?
  archiverd -c site.toml why 12345     what became of run 12345?

Exit codes: 0 success, 1 known error, 2 unexpected error, 130 interrupted."""


LAST_RESORT = "`archiverd check` looks at everything that archiverd needs"
"""The remedy of an error that has none of its own."""


@dataclass(frozen=True, slots=True)
class Globals:
    """The global options."""

    config: str | None
    verbose: bool
    quiet: bool
    log_format: str
    work_dir_log: bool = False
    """archiver.log in the work directory is the default of app.log_file."""
    environment: EnvironmentFile | None = None
    """The file whose variables were put into the environment."""

    def settings(self, *, migrating: bool = True, logging: bool = True) -> tuple[Settings, Path]:
        """Read the configuration, set up logging by it, and return it with its path.

        Without ``logging`` for commands that only read and are to be quick.
        """
        from archiverd import config  # noqa: PLC0415 - lazily: see above

        told: list[tuple[str, str]] = []
        level = "INFO"
        try:
            path = config.find_config(self.config)
            settings = config.load(
                path,
                migrating=migrating,
                log_file=self.work_dir_log,
                environment=self.environment,
                tell=lambda severity, text: told.append((severity, text)),
            )
            level = settings.app.log_level
        finally:  # what was found out about a configuration that is wrong may tell why
            if logging:
                self._begin_log(level, told)
        return settings, path

    def demand_migration(self) -> None:
        """Raise ConfigurationError unless what the migration needs is set here.

        For a command that does the work itself: one that has a daemon do it needs no password.
        """
        from archiverd import config  # noqa: PLC0415 - lazily: see above

        config.load(config.find_config(self.config), migrating=True, environment=self.environment)

    def work_dir(self) -> Path:
        """Return ``app.work_dir`` of the configuration without looking at the rest of it: for a quick `status`."""
        from archiverd import config  # noqa: PLC0415 - lazily: see above

        found = config.read_work_dir(config.find_config(self.config))
        return found or self.settings(migrating=False, logging=False)[0].app.work_dir

    @property
    def level(self) -> str | None:
        """The level asked for on the command line, if any."""
        return "DEBUG" if self.verbose else "WARNING" if self.quiet else None

    def _begin_log(self, level: str, told: list[tuple[str, str]]) -> None:
        """Set up logging, and say what was found out about the configuration."""
        from archiverd import log  # noqa: PLC0415 - lazily: see above

        log.configure(
            "DEBUG" if self.verbose else level,
            self.log_format,  # type: ignore[arg-type]
            cast("TextIO", STANDARD_ERROR),
            quiet=self.quiet,
        )
        for severity, text in told:
            getattr(log.get(), severity)(text)


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
    environment = _environment(env_file or os.environ.get("ARCHIVERD_ENV_FILE"), config)
    context.obj = Globals(config, verbose, quiet and not verbose, log_format, work_dir_log, environment)


def _environment(named: str | None, config: str | None) -> EnvironmentFile | None:
    """Put the variables of the environment file into the environment: one named, or archiver.env beside a YAML file."""
    config = config or os.environ.get("ARCHIVERD_CONFIG")
    if named is None and config is None:
        return None
    from archiverd.config import ENVIRONMENT_FILE, is_yaml, take_in  # noqa: PLC0415 - lazily: see above

    if named is not None:
        return take_in(Path(named))
    path = Path(config or "")
    beside = path.with_name(ENVIRONMENT_FILE)
    return take_in(beside) if is_yaml(path) and beside.is_file() else None


def _add_commands() -> None:
    """Hang the commands below the group; each module is small and imports lazily."""
    from archiverd.cli import (  # noqa: PLC0415 - after the group exists
        archive,
        artdaqdb,
        check,
        completion,
        config,
        daemon,
        desk,
        export,
        fhicl,
        parts,
        reconcile,
        runs,
        status,
    )

    for command in (
        status.status,
        runs.why,
        runs.runs,
        archive.run,
        archive.once,
        archive.retry,
        archive.recover,
        reconcile.reconcile,
        desk.release,
        desk.waive,
        export.export,
        check.check,
        daemon.pause,
        daemon.resume,
        daemon.drain,
        config.config,
        artdaqdb.artdaqdb,
        fhicl.fhicl,
        parts.demo,
        parts.ucondb_server,
        completion.completion,
    ):
        cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and leave with the documented exit code."""
    _add_commands()
    from archiverd.cli import completion  # noqa: PLC0415 - lazily: see above

    if completion.VARIABLE in os.environ:
        sys.exit(completion.answer(cli))
    sys.exit(guarded(lambda: cli.main(prog_name="archiverd", standalone_mode=False)))


def guarded(command: Callable[[], object]) -> int:  # noqa: PLR0911 - one way out a kind of end
    """Run ``command``; return its exit code, with every error told as an operator can read it."""
    try:
        code = command()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        return 130
    except click.ClickException as error:
        _tell_misuse(error)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except BaseExceptionGroup as group:
        return _tell(leaf(group))
    except Exception as error:  # noqa: BLE001 - the last place where anything can be told
        return _tell(error)
    return code if isinstance(code, int) else 0


def _tell_misuse(error: click.ClickException) -> None:
    """Say how a command was meant to be used."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = "archiverd" if context is None else context.command_path
    if context is not None:
        click.echo(context.get_usage(), err=True)
    click.echo(f"Error: {error.format_message()}", err=True)
    click.echo(f"Remedy: `{path} --help` tells how it is used", err=True)


def _tell(error: BaseException) -> int:
    """Say what went wrong, to people and to the log file; return the exit code."""
    from archiverd import log  # noqa: PLC0415 - lazily: see above

    if not log.is_configured():
        log.configure("INFO")
    if isinstance(error, ArchiverError):
        tags = (f"[{error.stage}] " if error.stage else "") + ("" if error.run is None else f"[Run {error.run}] ")
        click.echo(f"{tags}{error.name}: {error}", err=True)
        if error.context:
            click.echo(f"Context: {error.context!r}", err=True)
        click.echo(f"Remedy: {error.remedy or LAST_RESORT}", err=True)
        log.failure(log.get(error.stage, shown=False), error, final=True)
    elif isinstance(error, OSError) and exit_code(error) == 1:
        text = f"{type(error).__name__}: {error}"
        click.echo(text, err=True)
        full = error.errno == errno.ENOSPC
        remedy = (
            "free space there" if full else "give it to the user archiverd runs as; `archiverd check` tells who may"
        )
        click.echo(f"Remedy: {'; '.join((*getattr(error, '__notes__', (remedy,)), 'nothing is lost'))}", err=True)
        log.get(shown=False).error(text)
    else:
        log.unexpected(log.get(), error)
        click.echo("Remedy: report it with what `archiverd check --bundle FILE` collects; nothing is lost", err=True)
    return exit_code(error)
