"""The status report that `status` puts together itself, because no daemon runs or it does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archiverd.config.paths import journal_in
from archiverd.journal.reader import reading_if_there
from archiverd.status import report

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from archiverd.config import Settings
    from archiverd.status.probe import ProbeResult

    Probe = Callable[[Settings, sqlite3.Connection | None], list[ProbeResult]]


def gather(
    settings: Settings, daemon: Mapping[str, Any] | None, probe: Probe | None, *, comparing: bool
) -> Mapping[str, Any]:
    """Return what `status --json` prints, from the journal and from what ``probe`` finds if it is given.

    ``daemon`` is None if none runs, else the error and the remedy of one that did not answer. Raise ArchiverError.
    """
    with reading_if_there(journal_in(settings.app.work_dir)) as db:
        looks = None if probe is None else probe(settings, db)
        return report.build_report(settings, db, daemon, looks, comparing=comparing).to_json()
