"""`archiverd config check`: is the configuration right?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archiverd.artdaqdb import backends
from archiverd.audit.destination import advise, configured, describe, describe_other_site, select_standings
from archiverd.cli.destination_report import print_destinations
from archiverd.config.paths import journal_path
from archiverd.core.errors import ArchiverError, ConfigurationError
from archiverd.journal.destinations import select_site
from archiverd.journal.reader import reading_if_there
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
    standings, warnings = _tell_destinations(settings)
    print_destinations(standings, err=True)
    for warning in warnings:
        click.echo(f"WARNING: {warning}", err=True)
    if as_json:
        told = {"file": str(path), "valid": True, "destinations": standings, "warnings": warnings}
        click.echo(json.dumps({"version": 1, **told}))


def _tell_destinations(settings: Settings) -> tuple[list[dict[str, object]], list[str]]:
    """Return where verified runs stand, as seen from the settings, and what is to be said about that.

    Nothing without a journal; one that cannot be read is said, and does not make the configuration wrong.
    """
    places = configured(settings)
    try:
        with reading_if_there(journal_path(settings)) as db:
            if db is None:
                return [], []
            standings, site = select_standings(db, places), select_site(db)
    except ArchiverError as error:
        return [], [f"the journal cannot be read, so nobody knows where runs stand: {error}"]
    told = (f"{text} ({advise(one)})" for one in standings if (text := describe(one)))
    return [one.to_json() for one in standings], [*filter(None, [describe_other_site(site, places)]), *told]


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
