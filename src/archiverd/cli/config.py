"""`archiverd config`: is the configuration right, where does each value come from, and what was the older tool's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archiverd.core.errors import ArchiverError, ConfigurationError

if TYPE_CHECKING:
    from archiverd.cli.context import Globals
    from archiverd.config import Settings


@click.group()
def config() -> None:
    """Check or show the configuration, or make one of the older tool's."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def check(globals_: Globals, as_json: bool) -> None:
    """Validate the configuration; exit 1 and say what is wrong if it is not right, or archiverd could not start."""
    settings, path = globals_.settings()
    _refuse_unworkable(settings)
    click.echo(f"{path}: configuration is valid", err=True)
    if as_json:
        click.echo(json.dumps({"version": 1, "file": str(path), "valid": True}))


@config.command()
@click.option("--origin", is_flag=True, help="Tell where each value came from.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: version, settings.")
@click.pass_obj
def show(globals_: Globals, origin: bool, as_json: bool) -> None:
    """Print every setting; secrets are hidden."""
    from archiverd.config import origins  # noqa: PLC0415 - a heavy import only this command needs

    settings, path = globals_.settings(migrating=False)
    found = list(origins(settings, path, globals_.environment))
    if as_json:
        shown = [{"section": o.section, "key": o.key, "value": o.value, "origin": o.source} for o in found]
        click.echo(json.dumps({"version": 1, "settings": shown}))
        return
    for one in found:
        name = f"{one.section}.{one.key}" if one.section else one.key
        click.echo(f"{name} = {one.value}" + (f"    # {one.source}" if origin else ""))


@config.command()
@click.argument("old", metavar="OLD.yaml", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write here, not to the terminal."
)
@click.pass_obj
def migrate(globals_: Globals, old: Path, output: Path | None) -> None:
    """Print the older tool's OLD.yaml as TOML; say on standard error what is different.

    References stay references, and secrets are not written. archiver.env beside OLD.yaml tells the variables with which
    the result is checked.
    """
    from archiverd.config import ENVIRONMENT_FILE, conversion, take_in  # noqa: PLC0415 - a heavy import only this command needs

    beside = old.with_name(ENVIRONMENT_FILE)
    environment = globals_.environment or (take_in(beside) if beside.is_file() else None)
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


def _refuse_unworkable(settings: Settings) -> None:
    """Raise ConfigurationError for what can be told without asking anybody and would only fail later.

    Other commands do without it: it takes imports of its own, and `status` is to work whatever UconDB's file is like.
    """
    from archiverd.artdaqdb import backends  # noqa: PLC0415 - a heavy import only this command needs
    from archiverd.ucondb.http import system_words, tls_context  # noqa: PLC0415

    backends.refuse_unspoken(settings.artdaq_db)
    ca_file = settings.ucon_db.ca_file
    if ca_file is None:
        return
    try:
        tls_context(verify=True, ca_file=ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"Configuration validation failed: ucon_db.ca_file: cannot use {ca_file}: {system_words(error)}",
            remedy="ucon_db.ca_file must be a readable PEM file of certificates",
        ) from error


def _write(path: Path, text: str) -> None:
    """Write a new file. Raise ConfigurationError if it is there already or cannot be made."""
    from archiverd.disk import RealDisk  # noqa: PLC0415 - a heavy import only this command needs

    try:
        RealDisk().create(path, text.encode())
    except FileExistsError:
        raise ConfigurationError(
            f"{path} is there already and is not overwritten", remedy="name another file, or remove it"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(f"There is no directory {path.parent}", remedy="make it first") from None
