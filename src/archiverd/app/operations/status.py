"""The operation `status`: the report from the journal, the daemon if one runs, and what was probed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.config.paths import journal_path
from archiverd.core.machine import State
from archiverd.journal.queries import select_runs_in
from archiverd.journal.reader import reading, reading_if_there
from archiverd.status import report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archiverd.app.operations.status_exchange import StatusRequest
    from archiverd.config.models import Settings
    from archiverd.status.probe import ProbeResult
    from archiverd.status.report import StatusReport


def gather_status(
    settings: Settings,
    request: StatusRequest,
    daemon: Mapping[str, object] | None,
    probed: Sequence[ProbeResult] | None,
    *,
    known: bool,
) -> StatusReport:
    """Return the status report. Blocking: the journal is read in a connection of its own.

    ``daemon`` is its description of itself, ``{"error": …, "remedy": …}`` if it did not answer, None if none runs.
    ``probed`` is what the sources answered if ``request.probing``. With ``known`` there must be a journal. Raise
    ArchiverError if it cannot be read.
    """
    path = journal_path(settings)
    with reading(path) if known else reading_if_there(path) as db:
        return report.build_report(settings, db, daemon, probed, comparing=request.comparing)


def select_verified(settings: Settings) -> list[int]:
    """Return the verified runs by the journal, ascending; none if there is no journal. Blocking.

    A probe of UconDB proves of each that it is there or not. Raise ArchiverError if the journal cannot be read.
    """
    with reading_if_there(journal_path(settings)) as db:
        return [] if db is None else list(select_runs_in(db, State.VERIFIED))
