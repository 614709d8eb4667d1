"""`archiverd config check`: is the configuration right?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archiverd.artdaqdb import backends
from archiverd.core.errors import ConfigurationError
from archiverd.ucondb.http import system_message, tls_context

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions
    from archiverd.config.models import Settings


@click.command(short_help="Validate the configuration; exit 1 and say what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def check(options: GlobalOptions, as_json: bool) -> None:
    """Validate the configuration; exit 1 and say what is wrong if it is not right, or archiverd could not start."""
    settings, path = options.settings()
    _refuse_unworkable(settings)
    click.echo(f"{path}: configuration is valid", err=True)
    if as_json:
        click.echo(json.dumps({"version": 1, "file": str(path), "valid": True}))


def _refuse_unworkable(settings: Settings) -> None:
    """Raise ConfigurationError for what is known to fail later without asking anybody.

    Other commands do without it: it takes imports of its own, and `status` is to work whatever UconDB's file is like.
    """
    backends.demand_supported_uri(settings.artdaq_db)
    ca_file = settings.ucon_db.ca_file
    if ca_file is None:
        return
    try:
        tls_context(verify=True, ca_file=ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"Configuration validation failed: ucon_db.ca_file: cannot use {ca_file}: {system_message(error)}",
            remedy="ucon_db.ca_file must be a readable PEM file of certificates",
        ) from error
