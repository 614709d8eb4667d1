"""The operations `waive` and `release`: what an operator decides about a run. Only the journal is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.app.operations.results import Decision
from archiverd.pipeline import operator_actions

if TYPE_CHECKING:
    from archiverd.app.operations.requests import ReleaseRequest, WaiveRequest
    from archiverd.journal.journal import Journal


async def waive(journal: Journal, request: WaiveRequest) -> Decision:
    """Leave a run out for good. Raise ArchiverError if it is not known or cannot be waived."""
    row = await operator_actions.waive(journal, request.run, request.reason)
    return Decision(row.run, row.state)


async def release(journal: Journal, request: ReleaseRequest) -> Decision:
    """Put a run back to where it failed. Raise ArchiverError if it is not known, or cannot be released like that."""
    row = await operator_actions.release(journal, request.run, override=request.override, without=request.without)
    return Decision(row.run, row.state)
