"""Which databases the settings name, and what there is to say when runs were archived in others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from archiverd.artdaqdb.identity import canonical_uri
from archiverd.config.ucondb import parse_server_url
from archiverd.core.wording import pluralise, printable
from archiverd.journal.destinations import Configured, Destination, Side, select_standing

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from archiverd.config.models import Settings
    from archiverd.config.models import UconDb as UconDbSettings
    from archiverd.journal.destinations import Site, Standing

RELEASE = "`archiverd release --destination`"


def configured(settings: Settings) -> Configured:
    """Return the destinations and the run-records directory that the settings name."""
    records = os.path.normpath(settings.source_files.run_records_dir.absolute())
    return Configured(Destination(canonical_uri(settings.artdaq_db)), _ucondb(settings.ucon_db), records)


def _ucondb(section: UconDbSettings) -> Destination | None:
    """Return the object of the folder that the settings name; None if they name none."""
    if not (section.server_url and section.folder_name and section.object_name):
        return None
    try:
        url = parse_server_url(section.server_url)
    except ValueError:
        return None
    server = f"{url.scheme}://{url.host}:{url.port}{url.path}"
    return Destination("", server, section.folder_name.lower(), section.object_name)


def sides(places: Configured) -> Iterator[tuple[Side, Destination]]:
    """Yield each database that is configured."""
    yield Side.ARTDAQDB, places.artdaqdb
    if places.ucondb is not None:
        yield Side.UCONDB, places.ucondb


def select_standings(db: sqlite3.Connection, places: Configured) -> list[Standing]:
    """Return where the verified runs stand, as seen from each configured database."""
    return [select_standing(db, side, destination) for side, destination in sides(places)]


def describe(standing: Standing) -> str:
    """Say where verified runs stand that are not known to be at the configured destination; empty if all are."""
    if not standing.elsewhere - standing.accepted:
        return ""
    others = [
        f"{pluralise(runs, 'verified run')} {_ARCHIVED[standing.side]} {place or 'before it was noted where'}"
        for place, runs in standing.places
        if place != standing.configured
    ]
    counted = (
        (standing.missing, "missing here"),
        (standing.differing, "with other content here"),
        (standing.accepted, "accepted where they are"),
        (standing.not_looked_up, "not looked up yet"),
    )
    found = ", ".join(f"{runs} {what}" for runs, what in counted if runs)
    text = f"{standing.side.label} is {standing.configured} now; {''.join(f'{one}; ' for one in others)}{found}"
    return printable(text)


def is_loud(standing: Standing) -> bool:
    """Return whether runs are known to be elsewhere: not only from before that was noted, to be looked up by itself."""
    others = {place for place, _ in standing.places} - {None, standing.configured}
    return standing.wrong or bool(others)


def advise(standing: Standing) -> str:
    """Say what an operator can do about that."""
    if not standing.wrong:
        return "they are looked up and compared by themselves, and nothing is sent"
    if standing.missing and standing.released:
        return "what is missing goes there by itself, as an operator said; `archiverd reconcile` names the others"
    if standing.missing:
        return (
            f"nothing is sent by itself: put the setting right if it is wrong, or {RELEASE} lets what is missing go "
            "there"
        )
    return "`archiverd reconcile` names them; nothing was overwritten"


_ARCHIVED = {Side.ARTDAQDB: "imported into", Side.UCONDB: "proven in"}


def describe_other_site(site: Site | None, places: Configured) -> str:
    """Say that the journal is of another site than the settings; empty if it is not."""
    if site is None or site.records == places.records:
        return ""
    return printable(
        f"this journal was made for the run records in {site.records}, and source_files.run_records_dir is "
        f"{places.records}: was it copied from another site? ({RELEASE} says that it is right)"
    )
