"""Where the verified runs stand, as `status --probe` and `config check` print it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archiverd.core.wording import pluralise, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def print_destinations(standings: Iterable[Mapping[str, Any]], *, err: bool = False) -> None:
    """Print, for each database, where verified runs were archived, and how many in each place."""
    for one in standings:
        for place in one["places"]:
            where = "in a place that was not noted" if place["place"] is None else printable(place["place"])
            mark = " (configured)" if place["place"] == one["configured"] else ""
            click.echo(f"{one['name']}: {pluralise(place['runs'], 'verified run')} {where}{mark}", err=err)
