"""`archiverd config show`: every setting, and where it comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archiverd.config.provenance import origins

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Print every setting; secrets are hidden.")
@click.option("--origin", is_flag=True, help="Tell where each value came from.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: version, settings.")
@click.pass_obj
def show(options: GlobalOptions, origin: bool, as_json: bool) -> None:
    """Print every setting; secrets are hidden."""
    settings, path = options.settings(migrating=False)
    found = list(origins(settings, path, options.environment))
    if as_json:
        shown = [{"section": o.section, "key": o.key, "value": o.value, "origin": o.source} for o in found]
        click.echo(json.dumps({"version": 1, "settings": shown}))
        return
    for one in found:
        name = f"{one.section}.{one.key}" if one.section else one.key
        click.echo(f"{name} = {one.value}" + (f"    # {one.source}" if origin else ""))
