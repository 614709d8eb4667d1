"""`archiverd config migrate`: the older tool's configuration as one of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archiverd.config import conversion
from archiverd.config.environment_file import ENVIRONMENT_FILE, load_environment
from archiverd.core.errors import ArchiverError, ConfigurationError
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Print the older tool's OLD.yaml as TOML; say on standard error what is different.")
@click.argument("old", metavar="OLD.yaml", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write here, not to the terminal."
)
@click.pass_obj
def migrate(options: GlobalOptions, old: Path, output: Path | None) -> None:
    """Print the older tool's OLD.yaml as TOML; say on standard error what is different.

    References stay references, and secrets are not written. archiver.env beside OLD.yaml gives the variables with which
    the result is checked.
    """
    beside = old.with_name(ENVIRONMENT_FILE)
    environment = options.environment or (load_environment(beside) if beside.is_file() else None)
    done = conversion.migrate(old)
    if output is None:
        click.echo(done.text, nl=False)
    else:
        _write(output, done.text)
    for note in done.notes:
        click.echo(f"- {note}", err=True)
    if done.variables:
        given = f", which --env-file {environment.path} gives it" if environment is not None else ""
        click.echo(f"- it refers to the variables {', '.join(done.variables)}{given}", err=True)
    target = output or Path("archiverd.toml")
    try:
        conversion.check(done, target)
    except ArchiverError as error:
        click.echo(f"not right yet: {error}\nRemedy: {error.remedy}", err=True)
    else:
        click.echo(f"{target}: configuration is valid", err=True)


def _write(path: Path, text: str) -> None:
    """Write a new file. Raise ConfigurationError if it is there already or cannot be made."""
    try:
        RealDisk().create(path, text.encode())
    except FileExistsError:
        raise ConfigurationError(
            f"{path} is there already and is not overwritten", remedy="name another file, or remove it"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(f"There is no directory {path.parent}", remedy="make it first") from None
