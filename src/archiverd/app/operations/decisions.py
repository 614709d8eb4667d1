"""The operations `waive` and `release`: what an operator decides about a run. Only the journal is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd import log
from archiverd.app.operations.results import Decision, WaivedDirectories
from archiverd.core import runset
from archiverd.core.errors import ArchiverError
from archiverd.core.wording import printable
from archiverd.pipeline import operator_actions

if TYPE_CHECKING:
    from archiverd.app.operations.requests import ReleaseRequest, WaiveMissingRequest, WaiveRequest
    from archiverd.journal.journal import Journal

_log = log.get("Import")


async def waive(journal: Journal, request: WaiveRequest) -> Decision:
    """Leave a run out for good. Raise ArchiverError if it is not known or cannot be waived."""
    row = await operator_actions.waive(journal, request.run, request.reason)
    return Decision(row.run, row.state)


async def waive_missing(journal: Journal, request: WaiveMissingRequest) -> WaivedDirectories:
    """Take the run directories that are missing all at once as gone. Raise ArchiverError if none are."""
    runs = await journal.believe_missing()
    if not runs:
        raise ArchiverError(
            "no run directories are known to be missing all at once",
            remedy="a scan finds that out: `archiverd once`, or a running daemon; `archiverd waive RUN --reason TEXT` "
            "leaves out a single run",
        )
    _log.warning(f"taken as gone by an operator: {runset.show(runs)}: {printable(request.reason)}", runs=len(runs))
    return WaivedDirectories(tuple(runs))


async def release(journal: Journal, request: ReleaseRequest) -> Decision:
    """Put a run back to where it failed. Raise ArchiverError if it is not known, or cannot be released like that."""
    row = await operator_actions.release(journal, request.run, override=request.override, without=request.without)
    return Decision(row.run, row.state)
