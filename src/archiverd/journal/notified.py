"""What people were told of, and what is news to them: read from the journal as it stands, not from a queue.

A teller (``email``, ``slack``) that was away for a day finds the runs that stand failed now, each once; what failed
and was repaired meanwhile is no news. A run is news again only when it failed in another stage, when waiting is no
longer enough, or when it failed after an operator had released it; a retry that fails for another reason is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.machine import Event, Stage, State
from archiverd.journal.queries import listing, select_holds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from archiverd.journal.rows import Hold
    from archiverd.journal.writer import Writer

LASTING = (State.QUARANTINED, State.CONFLICT)
"""The states out of which no run comes by itself."""

_FAILED = f"""
    SELECT runs.run, runs.stage, runs.error, runs.remedy, runs.state IN {listing(LASTING)} AS lasting,
        (SELECT max(id) FROM events WHERE events.run = runs.run) AS event
    FROM runs LEFT JOIN told ON told.run = runs.run AND told.teller = :teller
    WHERE runs.run IN (
            SELECT run FROM runs WHERE listed UNION SELECT run FROM runs WHERE state = '{State.UPLOAD_UNKNOWN}'
        )
        AND (runs.state IN {listing(LASTING)}
            OR (runs.state IN {listing((State.RETRY_WAIT, State.UPLOAD_UNKNOWN))} AND runs.attempts > :quick))
        AND (told.run IS NULL OR told.stage <> runs.stage OR told.lasting < (runs.state IN {listing(LASTING)})
            OR EXISTS (SELECT 1 FROM events WHERE events.run = runs.run AND events.id > told.event
                AND events.event = '{Event.RELEASED}'))
    ORDER BY runs.run
"""  # noqa: S608 - members of our enumerations

_OVER = f"""
    SELECT told.run, told.stage, runs.state = '{State.VERIFIED}' AS repaired
    FROM told LEFT JOIN runs ON runs.run = told.run
    WHERE told.teller = ?
        AND (runs.run IS NULL OR runs.state IN {listing((State.VERIFIED, State.WAIVED, State.IGNORED))})
    ORDER BY told.run
"""  # noqa: S608 - members of our enumerations


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that stands failed, and the last event of its story when that was seen."""

    run: int
    stage: Stage
    error: str
    remedy: str
    lasting: bool
    """It comes out of this by no retry: somebody has to act."""
    event: int


@dataclass(frozen=True, slots=True)
class Repaired:
    """A run whose failure people were told of and that has been verified since; ``stage`` is where it had failed."""

    run: int
    stage: Stage


@dataclass(frozen=True, slots=True)
class News:
    """What a teller has not told yet."""

    failed: tuple[Failed, ...]
    """Runs that stand failed beyond their quick retries, ascending."""
    repaired: tuple[Repaired, ...]
    dropped: tuple[int, ...]
    """Runs taken out of the reckoning since their failure was told: to be forgotten, not told."""
    holds: tuple[Hold, ...]
    """Backends that are left alone."""
    over: tuple[tuple[str, float], ...]
    """Backends, told of, that are left alone no longer; since when they were, in epoch seconds."""


class NotificationMemory:
    """The memory of one teller, durable: a restart tells nothing twice."""

    def __init__(self, writer: Writer, teller: str) -> None:
        self._writer = writer
        self._teller = teller

    async def news(self, quick_retries: int) -> News:
        """Return what is to be told; a run counts as failed after ``quick_retries`` retries. Raise ArchiverError."""
        return await self._writer.read(lambda db: _news(db, self._teller, quick_retries))

    async def note_failed(self, runs: Collection[Failed]) -> None:
        """Note that people were told of ``runs``."""
        rows = [(self._teller, one.run, one.stage, int(one.lasting), one.event) for one in runs]
        await self._writer.write(lambda db: db.executemany("INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?)", rows))

    async def forget(self, runs: Collection[int]) -> None:
        """Note that ``runs`` are failed no more, as far as people know."""
        rows = [(self._teller, run) for run in runs]
        await self._writer.write(lambda db: db.executemany("DELETE FROM told WHERE teller = ? AND run = ?", rows))

    async def note_hold(self, hold: Hold) -> None:
        """Note that people were told of a backend that is left alone."""
        row = (self._teller, hold.backend, hold.since)
        await self._writer.write(lambda db: db.execute("INSERT OR REPLACE INTO told_holds VALUES (?, ?, ?)", row))

    async def forget_hold(self, backend: str) -> None:
        """Note that ``backend`` works again, as far as people know."""
        row = (self._teller, backend)
        await self._writer.write(lambda db: db.execute("DELETE FROM told_holds WHERE teller = ? AND backend = ?", row))


def _news(db: sqlite3.Connection, teller: str, quick: int) -> News:
    """Compare what stands in the journal with what was told."""
    failed = tuple(
        Failed(row["run"], Stage(row["stage"]), row["error"], row["remedy"], bool(row["lasting"]), row["event"])
        for row in db.execute(_FAILED, {"teller": teller, "quick": quick})
    )
    over = list(db.execute(_OVER, (teller,)))
    told = {row["backend"]: row["since"] for row in db.execute("SELECT * FROM told_holds WHERE teller = ?", (teller,))}
    holds = {hold.backend: hold for hold in select_holds(db)}
    return News(
        failed,
        tuple(Repaired(row["run"], Stage(row["stage"])) for row in over if row["repaired"]),
        tuple(row["run"] for row in over if not row["repaired"]),
        tuple(hold for backend, hold in holds.items() if backend not in told),
        tuple((backend, since) for backend, since in told.items() if backend not in holds),
    )
