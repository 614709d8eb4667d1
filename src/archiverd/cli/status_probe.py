"""What `status --probe` asks the run-records directory, artdaqDB and UconDB, and what it logs of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from archiverd import log
from archiverd.app.operations.status import select_verified
from archiverd.process.log_file import open_log_file_if_there
from archiverd.status import probe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archiverd.config.models import App, Settings
    from archiverd.status.probe import ProbeResult


def probe_sources(settings: Settings) -> list[ProbeResult]:
    """Ask the sources what they hold now. Raise ArchiverError if there is a journal that cannot be read."""
    return asyncio.run(probe.probe_sources_alone(settings, select_verified(settings)))


def log_problems(app: App, problems: Sequence[Mapping[str, Any]]) -> None:
    """Log which sources cannot be reached, to the log file too (docs/troubleshooting.md)."""
    open_log_file_if_there(app)
    for problem in problems:
        log.get("Report").error(f"{problem['error']} ({problem['remedy']})" if problem["remedy"] else problem["error"])
