"""`archiverd config`: is the configuration right, and where does each value come from?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from archiverd.cli.main import Globals


@click.group()
def config() -> None:
    """Check or show the configuration."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def check(globals_: Globals, as_json: bool) -> None:
    """Validate the configuration; exit 1 and say what is wrong if it is not right."""
    _, path = globals_.settings()
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
