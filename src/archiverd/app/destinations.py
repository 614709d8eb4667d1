"""The destinations at a start: what is configured now, and what is told when runs were archived elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd import log
from archiverd.audit import destination

if TYPE_CHECKING:
    from archiverd.config.models import Settings
    from archiverd.journal.journal import Journal

_log = log.get()


async def settle(journal: Journal, settings: Settings) -> None:
    """Tell the journal which destinations are configured, and log what was archived elsewhere. Raise ArchiverError."""
    places = destination.configured(settings)
    site = await journal.settle(places)
    if other := destination.describe_other_site(site, places):
        _log.error(other)
    for side, configured in destination.sides(places):
        standing = await journal.standing(side, configured)
        if text := destination.describe(standing):
            tell = _log.warning if destination.is_loud(standing) else _log.info
            tell(f"{text} ({destination.advise(standing)})", runs=standing.elsewhere - standing.accepted)
