"""What a notifier has not sent yet: the state of the journal compared with what people were notified of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.machine import FINISHED, MAY_BE_DUE, SET_ASIDE, Event, Stage, State
from archiverd.journal.queries import listing, select_holds

if TYPE_CHECKING:
    import sqlite3

    from archiverd.journal.rows import Hold

_LASTING = listing((*SET_ASIDE, State.VERIFIED))
"""States out of which a run in trouble does not come by itself; a verified one has lost its blob in UconDB."""

_FAILED = f"""
    SELECT runs.run, runs.stage, runs.error, runs.remedy, runs.state IN {_LASTING} AS lasting,
        (SELECT max(id) FROM events WHERE events.run = runs.run) AS event
    FROM runs LEFT JOIN told ON told.run = runs.run AND told.teller = :teller
    WHERE runs.run IN (
            SELECT run FROM runs WHERE listed UNION SELECT run FROM runs WHERE state = '{State.UPLOAD_UNKNOWN}'
            UNION SELECT run FROM runs WHERE blob_fault IS NOT NULL
        )
        AND (runs.state IN {listing(SET_ASIDE)}
            OR (runs.state = '{State.VERIFIED}' AND runs.blob_fault IS NOT NULL)
            OR (runs.state IN {listing(MAY_BE_DUE)} AND runs.attempts > :quick))
        AND (told.run IS NULL OR told.stage <> runs.stage OR told.lasting < (runs.state IN {_LASTING})
            OR EXISTS (SELECT 1 FROM events WHERE events.run = runs.run AND events.id > told.event
                AND events.event = '{Event.RELEASED}'))
    ORDER BY runs.run
"""  # noqa: S608 - members of our enumerations

_OVER = f"""
    SELECT told.run, told.stage, runs.state = '{State.VERIFIED}' AS repaired
    FROM told LEFT JOIN runs ON runs.run = told.run
    WHERE told.teller = ? AND (runs.run IS NULL OR runs.state IN {listing(FINISHED)})
        AND (runs.run IS NULL OR runs.state <> '{State.VERIFIED}' OR runs.blob_fault IS NULL)
    ORDER BY told.run
"""  # noqa: S608 - members of our enumerations

_HOLDS = "SELECT backend, since FROM told_holds WHERE teller = ?"


@dataclass(frozen=True, slots=True)
class Failed:
    """A run in trouble, and the last event of its story when that was seen."""

    run: int
    stage: Stage
    error: str
    remedy: str
    lasting: bool
    """No retry helps: somebody has to act."""
    event: int


@dataclass(frozen=True, slots=True)
class Repaired:
    """A run verified since people were notified of its failure; ``stage`` is where it had failed."""

    run: int
    stage: Stage


@dataclass(frozen=True, slots=True)
class News:
    """What one notifier has not sent yet."""

    failed: tuple[Failed, ...]
    """Runs that failed beyond their quick retries, ascending."""
    repaired: tuple[Repaired, ...]
    dropped: tuple[int, ...]
    """Runs left out since people were notified of their failure: to be forgotten in silence."""
    holds: tuple[Hold, ...]
    """Backends that are left alone."""
    over: tuple[tuple[str, float], ...]
    """Backends that were announced as left alone and are no longer; since when they were, in epoch seconds."""


def select_news(db: sqlite3.Connection, notifier: str, quick_retries: int) -> News:
    """Return what ``notifier`` is to send; a run counts as failed after ``quick_retries`` retries."""
    failed = tuple(
        Failed(row["run"], Stage(row["stage"]), row["error"], row["remedy"], bool(row["lasting"]), row["event"])
        for row in db.execute(_FAILED, {"teller": notifier, "quick": quick_retries})
    )
    over = list(db.execute(_OVER, (notifier,)))
    announced = dict(db.execute(_HOLDS, (notifier,)))
    holds = {hold.backend: hold for hold in select_holds(db)}
    return News(
        failed,
        tuple(Repaired(row["run"], Stage(row["stage"])) for row in over if row["repaired"]),
        tuple(row["run"] for row in over if not row["repaired"]),
        tuple(hold for backend, hold in holds.items() if backend not in announced),
        tuple((backend, since) for backend, since in announced.items() if backend not in holds),
    )
