"""Queries over the whole journal, for reports; they sum in SQLite and load no row of 20 000 runs whole."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, cast

from archiverd.core.machine import TROUBLE, Event, Stage, State
from archiverd.journal.destinations import NOWHERE, Found, Side, select_number
from archiverd.journal.queries import listing

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from archiverd.journal.destinations import Destination

    Ranges = list[tuple[int, int]]

FILESYSTEM, ARTDAQDB, UCONDB = "filesystem", "artdaqDB", "UconDB"
"""The three places a run can be in, as reports name them."""

_IS_HERE = (
    "(:here IS NULL OR (coalesce({side}, :here) = :here AND run NOT IN "
    "(SELECT run FROM elsewhere WHERE destination = :here AND found = '{missing}')))"
)
PLACES = {
    FILESYSTEM: "NOT source_gone",
    ARTDAQDB: "imported_at IS NOT NULL AND " + _IS_HERE.format(side=Side.ARTDAQDB, missing=Found.MISSING),
    UCONDB: "verified_at IS NOT NULL AND " + _IS_HERE.format(side=Side.UCONDB, missing=Found.MISSING),
}
"""By place, the SQL condition for a run that should be there by the journal; ``:here`` is the number of the database.

A run of which it is not known where it was archived counts.
"""

STEPS = {
    Stage.IMPORT: (Event.IMPORT_BEGINS, (Event.IMPORT_DONE, Event.UPDATE_DONE)),
    Stage.MIGRATE: (Event.UPLOAD_BEGINS, (Event.UPLOAD_PROVEN,)),
}
"""By stage, the event that begins its work on a run and those that end it well."""

_NUMBER = re.compile(r"\d+")

EVENTS_READ = 4000
"""Newest events from which the durations of a stage are taken."""

RUNS_TIMED = 100
"""Newest runs of a stage whose durations count."""


class Brief(TypedDict):
    """A run in a list, as JSON has it. Times are epoch seconds (UTC)."""

    run: int
    state: str
    dead: bool
    configuration: str
    error: str
    remedy: str
    next_retry: float | None
    verified_at: float | None


@dataclass(frozen=True, slots=True)
class Cause:
    """Runs in trouble for one cause; open runs too whose records cannot be read."""

    state: State
    stage: Stage
    error: str
    """``ErrorName: message``, a run's own number in it given as N."""
    remedy: str
    runs: tuple[int, ...]
    """Ascending."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds that a stage worked on a run, over its newest runs."""

    runs: int
    """The number of runs measured."""
    median: float
    p95: float
    since: float
    """When the first of them was done, in epoch seconds (UTC)."""


def select_ranges(db: sqlite3.Connection) -> dict[State, Ranges]:
    """Return the runs of every state that has any, as contiguous ranges (first, last)."""
    found: dict[State, Ranges] = {}
    sql = (
        "SELECT state, min(run), max(run) FROM (SELECT state, run, "
        "run - row_number() OVER (PARTITION BY state ORDER BY run) AS island FROM runs) GROUP BY state, island "
        "ORDER BY state, 2"
    )
    for state, first, last in db.execute(sql):
        found.setdefault(State(state), []).append((first, last))
    return {state: found[state] for state in State if state in found}


def select_place(db: sqlite3.Connection, place: str, destination: Destination | None = None) -> Ranges:
    """Return the runs that should be in ``place`` (of PLACES) by the journal, as contiguous ranges.

    ``destination`` is the database that is meant; any counts if that is None.
    """
    here = None if destination is None else select_number(db, destination) or NOWHERE
    sql = (
        "SELECT min(run), max(run) FROM (SELECT run, run - row_number() OVER (ORDER BY run) AS island "  # noqa: S608 - ours
        f"FROM runs WHERE {PLACES[place]}) GROUP BY island ORDER BY 1"
    )
    return [(first, last) for first, last in db.execute(sql, {"here": here})]


def select_superseded(db: sqlite3.Connection) -> list[int]:
    """Return the verified runs whose stop line came later and is not in UconDB, ascending."""
    sql = "SELECT run FROM runs WHERE state = ? AND superseded ORDER BY run"
    return [run for (run,) in db.execute(sql, (State.VERIFIED,))]


def select_briefs(db: sqlite3.Connection, states: Sequence[State], most: int | None = None) -> list[Brief]:
    """Return what lists show of the runs in ``states``, ascending; only the newest ``most``, if that is given."""
    sql = (
        "SELECT run, state, dead, configuration, error, remedy, due AS next_retry, verified_at FROM runs "  # noqa: S608
        f"WHERE state IN {listing(states)} ORDER BY run DESC LIMIT ?"
    )
    rows = (dict(row) for row in db.execute(sql, (-1 if most is None else most,)))
    return [cast("Brief", {**row, "dead": bool(row["dead"])}) for row in rows][::-1]


def select_causes(db: sqlite3.Connection) -> list[Cause]:
    """Return the causes for which runs are in trouble, the one with the newest run first.

    An open run is in trouble if its record cannot be read.
    """
    found: dict[tuple[str, str, str, str], list[int]] = {}
    sql = (
        f"SELECT run, state, stage, error, remedy FROM runs WHERE state IN {listing((*TROUBLE, State.OPEN))} "  # noqa: S608
        "AND (state <> ? OR error <> '') ORDER BY run"
    )
    for run, state, stage, error, remedy in db.execute(sql, (State.OPEN,)):
        found.setdefault((state, stage, _general(error, str(run)), _general(remedy, str(run))), []).append(run)
    causes = (
        Cause(State(state), Stage(stage), error, remedy, tuple(runs))
        for (state, stage, error, remedy), runs in found.items()
    )
    return sorted(causes, key=lambda cause: -cause.runs[-1])


def _general(text: str, run: str) -> str:
    """Return ``text`` about ``run`` with N for its number, so that texts about several runs compare."""
    return _NUMBER.sub(lambda match: "N" if match[0] == run else match[0], text) if run in text else text


def select_durations(db: sqlite3.Connection) -> dict[Stage, Durations]:
    """Return how long each stage took lately; a stage that has taken no run through is left out."""
    sql = "SELECT run, at, event FROM events ORDER BY id DESC LIMIT ?"
    return durations([(run, at, event) for run, at, event in db.execute(sql, (EVENTS_READ,))][::-1])


def durations(events: Iterable[tuple[int, float, str]]) -> dict[Stage, Durations]:
    """Return how long each stage took by these events (run, epoch seconds, event), oldest first.

    A story has more than the machine's events, e.g. the first phase's.
    """
    begun: dict[tuple[Stage, int], float] = {}
    took: dict[Stage, deque[tuple[float, float]]] = {stage: deque(maxlen=RUNS_TIMED) for stage in STEPS}
    for run, at, event in events:
        for stage, (begins, ends) in STEPS.items():
            if event == begins:
                begun[stage, run] = at
            elif event in ends and (stage, run) in begun:
                took[stage].append((at, max(0.0, at - begun.pop((stage, run)))))
    return {stage: _summed_up(list(done)) for stage, done in took.items() if done}


def _summed_up(done: Sequence[tuple[float, float]]) -> Durations:
    """Return the durations of runs, given when each was done and how long it took."""
    seconds = sorted(took for _, took in done)
    last = len(seconds) - 1
    median = (seconds[last // 2] + seconds[(last + 1) // 2]) / 2
    return Durations(len(seconds), median, seconds[round(0.95 * last)], done[0][0])
