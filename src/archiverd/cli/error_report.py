"""The end of every command: its exit code, and its error as an operator can read it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import click

from archiverd.core.errors import ArchiverError, exit_code, leaf

if TYPE_CHECKING:
    from collections.abc import Callable

LAST_RESORT = "`archiverd check` looks at everything that archiverd needs"
"""The remedy of an error that has none of its own."""


def guarded(command: Callable[[], object]) -> int:  # noqa: PLR0911 - one way out a kind of end
    """Run ``command``; print its error, if any, with a remedy. Return the exit code."""
    try:
        code = command()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        return 130
    except click.ClickException as error:
        _print_usage_error(error)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except BaseExceptionGroup as group:
        return _print_error(leaf(group))
    except Exception as error:  # noqa: BLE001 - nothing above this prints errors
        return _print_error(error)
    return code if isinstance(code, int) else 0


def _print_usage_error(error: click.ClickException) -> None:
    """Print what was wrong with the arguments, and where the right ones are described."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = "archiverd" if context is None else context.command_path
    if context is not None:
        click.echo(context.get_usage(), err=True)
    click.echo(f"Error: {error.format_message()}", err=True)
    click.echo(f"Remedy: `{path} --help` tells how it is used", err=True)


def _print_error(error: BaseException) -> int:
    """Print an error to standard error and log it to the log file; return the exit code."""
    from archiverd import log  # noqa: PLC0415 - a heavy import that only an error needs

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
