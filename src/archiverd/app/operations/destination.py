"""The operation `release --destination`: let runs go to the configured databases that they were archived without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.app.operations.results import Released
from archiverd.audit import destination
from archiverd.audit.elsewhere import let_go

if TYPE_CHECKING:
    from archiverd.config.models import Settings
    from archiverd.journal.journal import Journal

SHOWN = 100
"""Most runs that are named one by one; all are counted."""


async def release_destination(journal: Journal, settings: Settings) -> Released:
    """Let the runs that the configured databases lack go there: from now on too, until others are configured.

    Raise ArchiverError.
    """
    places = destination.configured(settings)
    await journal.release_destinations(places.records)
    gone = await let_go(journal, settings.source_files.run_records_dir, asked=True)
    sides = list(destination.sides(places))
    standings = [await journal.standing(side, configured) for side, configured in sides]
    return Released(
        tuple(str(configured) for _, configured in sides),
        len(gone.imported),
        len(gone.sent),
        max((one.not_looked_up for one in standings), default=0),
        len(gone.skipped),
        gone.skipped[:SHOWN],
    )
