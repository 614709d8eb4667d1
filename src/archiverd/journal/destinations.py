"""Where runs were archived: which artdaqDB they were imported into, which object of which UconDB proved them.

A verified run is *elsewhere* while the database that its row names is not the configured one, or while it is noted that
the configured one lacks it. What was found there of such runs is kept by destination, so that a restart goes on, and a
setting that was wrong for an hour leaves nothing behind.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd.core.machine import State
from archiverd.journal.rows import legible

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable

NOWHERE = -1
"""The number of a destination that was never configured at a start."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A database that runs are archived in: an artdaqDB, or an object in a folder of a UconDB; without credentials."""

    artdaqdb: str = ""
    """Canonical URI; empty for a UconDB."""
    server: str = ""
    """Canonical URL; empty for an artdaqDB, as are the next two."""
    folder: str = ""
    object: str = ""

    def __str__(self) -> str:
        """Return it in words."""
        return self.artdaqdb or f"{self.server} folder {self.folder} object {self.object}"


@dataclass(frozen=True, slots=True)
class Configured:
    """What the settings name."""

    artdaqdb: Destination
    ucondb: Destination | None
    """None where it is not configured."""
    records: str
    """The run-records directory."""


@dataclass(frozen=True, slots=True)
class Here:
    """The numbers of the configured destinations; None for a process that was not told of them."""

    artdaqdb: int | None = None
    ucondb: int | None = None


class Side(enum.StrEnum):
    """Which of the two databases; the value is the column of ``runs`` that names it."""

    ARTDAQDB = "imported_to"
    UCONDB = "proven_to"

    @property
    def label(self) -> str:
        """Its name in reports."""
        return "artdaqDB" if self is Side.ARTDAQDB else "UconDB"

    def of(self, here: Here) -> int | None:
        """Return the number of the configured one."""
        return here.artdaqdb if self is Side.ARTDAQDB else here.ucondb


class Found(enum.StrEnum):
    """What the configured destination has of a run that was archived elsewhere."""

    MISSING = "missing"
    DIFFERS = "differs"
    """It has other content, or content that cannot be compared."""
    ACCEPTED = "accepted"
    """An operator says that the run may stay where it is."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where verified runs stand, for one of the two databases."""

    side: Side
    configured: str
    released: bool
    """An operator lets runs go there that it lacks."""
    places: tuple[tuple[str | None, int], ...]
    """Destinations and how many verified runs name them; None for runs archived before that was noted."""
    here: int
    """How many of them are proven to be at the configured one."""
    missing: int = 0
    differing: int = 0
    accepted: int = 0
    not_looked_up: int = 0

    @property
    def elsewhere(self) -> int:
        """How many are not known to be at the configured one."""
        return self.missing + self.differing + self.accepted + self.not_looked_up

    @property
    def wrong(self) -> bool:
        """Whether the configured one lacks runs, or has other content of them."""
        return bool(self.missing or self.differing)

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        return {
            "name": self.side.label,
            "configured": self.configured,
            "released": self.released,
            "places": [{"place": place, "runs": runs} for place, runs in self.places],
            "here": self.here,
            "missing": self.missing,
            "differing": self.differing,
            "accepted": self.accepted,
            "not_looked_up": self.not_looked_up,
        }


@dataclass(frozen=True, slots=True)
class Site:
    """Whose journal this is."""

    name: str
    """Made once."""
    records: str
    """Its run-records directory."""


@dataclass(frozen=True, slots=True)
class Noted:
    """One run, and what the configured destination has of it."""

    run: int
    found: Found
    note: str = field(default="")
    """Details, for its story."""


def settle(db: sqlite3.Connection, configured: Configured) -> tuple[Here, Site]:
    """Note what is configured; return its numbers, and whose journal this is.

    What an operator released of a destination ends when another one is configured.
    """
    (name,) = db.execute("SELECT lower(hex(randomblob(16)))").fetchone()
    db.execute("INSERT OR IGNORE INTO site (id, name, records) VALUES (0, ?, ?)", (name, configured.records))
    ucondb = None if configured.ucondb is None else _number(db, configured.ucondb)
    here = Here(_number(db, configured.artdaqdb), ucondb)
    for side in Side:
        if (number := side.of(here)) is not None:
            (before,) = db.execute(f"SELECT {side} FROM site").fetchone()  # noqa: S608 - ours
            if before not in (None, number):
                db.execute("UPDATE destinations SET released = 0 WHERE id = ?", (number,))
                if side is Side.UCONDB:
                    db.execute("DELETE FROM standstill")  # what is wrong there says nothing of this one
            db.execute(f"UPDATE site SET {side} = ?", (number,))  # noqa: S608 - ours
    return here, select_site(db) or Site(name, configured.records)


def _number(db: sqlite3.Connection, destination: Destination) -> int:
    """Return the number of a destination, which is noted if it is new."""
    values = (destination.artdaqdb, destination.server, destination.folder, destination.object)
    db.execute("INSERT OR IGNORE INTO destinations (artdaqdb, server, folder, object) VALUES (?, ?, ?, ?)", values)
    number = select_number(db, destination)
    if number is None:
        raise RuntimeError("a destination vanished from the journal inside a transaction")
    return number


def select_number(db: sqlite3.Connection, destination: Destination | None) -> int | None:
    """Return the number of a destination; None if it was never configured at a start, or is none."""
    if destination is None:
        return None
    sql = "SELECT id FROM destinations WHERE artdaqdb = ? AND server = ? AND folder = ? AND object = ?"
    values = (destination.artdaqdb, destination.server, destination.folder, destination.object)
    row = db.execute(sql, values).fetchone()
    return None if row is None else int(row[0])


def select_destinations(db: sqlite3.Connection) -> dict[int, Destination]:
    """Return every destination there ever was, by number."""
    rows = db.execute("SELECT id, artdaqdb, server, folder, object FROM destinations")
    return {number: Destination(*rest) for number, *rest in rows}


def select_site(db: sqlite3.Connection) -> Site | None:
    """Return whose journal this is; None before its first start."""
    row = db.execute("SELECT name, records FROM site").fetchone()
    return None if row is None else Site(*row)


def select_standing(db: sqlite3.Connection, side: Side, destination: Destination) -> Standing:
    """Return where the verified runs stand, as seen from ``destination``."""
    number = select_number(db, destination)
    known = {key: str(found) for key, found in select_destinations(db).items()}
    by_place = (
        f"SELECT {side}, count(*) FROM runs INDEXED BY runs_{side} WHERE state = 'verified' "  # noqa: S608 - ours
        f"GROUP BY {side} ORDER BY 2 DESC"
    )
    places = tuple((known.get(place), runs) for place, runs in db.execute(by_place).fetchall())
    sql = f"SELECT coalesce(found, ''), count(*) FROM {_strange(side)} GROUP BY 1"  # noqa: S608 - ours
    counts = {name: int(runs) for name, runs in db.execute(sql, {"here": number or NOWHERE})}
    return Standing(
        side,
        str(destination),
        number is not None and is_released(db, number),
        places,
        sum(runs for _, runs in places) - sum(counts.values()),
        counts.get(Found.MISSING, 0),
        counts.get(Found.DIFFERS, 0),
        counts.get(Found.ACCEPTED, 0),
        counts.get("", 0),
    )


def _strange(side: Side) -> str:
    """Return the SQL for the verified runs not known to be at the destination ``:here``, with what was found of them.

    The index is named, for SQLite would rather go through the rows of all verified runs.
    """
    return (
        f"(SELECT run FROM runs INDEXED BY runs_{side} WHERE state = 'verified' AND {side} IS NOT :here "  # noqa: S608
        "UNION SELECT run FROM elsewhere CROSS JOIN runs USING (run) WHERE destination = :here AND state = 'verified') "
        "AS strange LEFT JOIN elsewhere ON elsewhere.destination = :here AND elsewhere.run = strange.run"
    )


def select_configured(db: sqlite3.Connection) -> Here:
    """Return the numbers of the destinations that were configured at the last start."""
    row = db.execute("SELECT imported_to, proven_to FROM site").fetchone()
    return Here() if row is None else Here(*row)


def select_found(db: sqlite3.Connection, run: int, here: int | None) -> Found | None:
    """Return what the destination ``here`` has of a run that was archived elsewhere; None if not looked up yet."""
    row = db.execute("SELECT found FROM elsewhere WHERE destination = ? AND run = ?", (here, run)).fetchone()
    return None if row is None else Found(row[0])


def select_elsewhere(db: sqlite3.Connection, side: Side, here: int) -> dict[int, Found | None]:
    """Return the verified runs that are not known to be ``here``, and what was found; None if not looked up yet."""
    sql = f"SELECT strange.run, found FROM {_strange(side)} ORDER BY strange.run DESC"  # noqa: S608 - ours
    rows = db.execute(sql, {"here": here})
    return {run: None if found is None else Found(found) for run, found in rows}


def select_notes(db: sqlite3.Connection, here: int) -> dict[int, str]:
    """Return what was found of the runs that differ ``here``, in words."""
    sql = "SELECT run, note FROM elsewhere WHERE destination = ? AND found = ?"
    return dict(map(tuple, db.execute(sql, (here, Found.DIFFERS))))


def select_to_look_up(db: sqlite3.Connection, side: Side, here: int, before: float, now: float) -> list[int]:
    """Return the verified runs to be looked up ``here``, the newest first: not since ``before``, in epoch seconds.

    One that was looked up after ``now`` was so by a clock that was ahead.
    """
    sql = (
        f"SELECT strange.run FROM {_strange(side)} "  # noqa: S608 - ours
        "WHERE found IS NULL OR (NOT at BETWEEN :before AND :now AND found <> :accepted) ORDER BY strange.run DESC"
    )
    values = {"here": here, "before": before, "now": now, "accepted": Found.ACCEPTED}
    return [run for (run,) in db.execute(sql, values)]


def select_archived(db: sqlite3.Connection, side: Side, here: int | None) -> list[int]:
    """Return the verified runs that were archived ``here``, ascending."""
    sql = f"SELECT run FROM runs INDEXED BY runs_{side} WHERE state = 'verified' AND {side} IS ? ORDER BY run"  # noqa: S608
    return [run for (run,) in db.execute(sql, (here,))]


def has_imported_elsewhere(db: sqlite3.Connection, here: int | None) -> bool:
    """Return whether a run was imported into another artdaqDB than the configured one."""
    sql = "SELECT 1 FROM runs WHERE imported_to IS NOT NULL AND imported_to <> ? LIMIT 1"
    return db.execute(sql, (here,)).fetchone() is not None


def is_released(db: sqlite3.Connection, here: int | None) -> bool:
    """Return whether an operator lets runs go ``here`` that it lacks."""
    row = db.execute("SELECT released FROM destinations WHERE id = ?", (here,)).fetchone()
    return row is not None and bool(row[0])


def release(db: sqlite3.Connection, here: Here, records: str) -> None:
    """Note an operator's word that the configured destinations are meant, and this run-records directory."""
    db.executemany("UPDATE destinations SET released = 1 WHERE id = ?", [(here.artdaqdb,), (here.ucondb,)])
    db.execute("UPDATE site SET records = ?", (records,))


def note_elsewhere(db: sqlite3.Connection, here: int, noted: Iterable[Noted], now: float) -> None:
    """Note what the configured destination has of runs that were archived elsewhere."""
    sql = "INSERT OR REPLACE INTO elsewhere SELECT ?, run, ?, ?, ? FROM runs WHERE run = ? AND state = 'verified'"
    db.executemany(sql, [(here, str(one.found), legible(one.note), now, one.run) for one in noted])


def accept(db: sqlite3.Connection, run: int, here: Here) -> bool:
    """Note that a run may stay where it is although a configured database lacks it, or has other content of it.

    Return whether one does. Other content can only be let stand of a run of which it is known where it was archived.
    """
    sql = (
        "UPDATE elsewhere SET found = :accepted WHERE run = :run AND destination IN (:artdaqdb, :ucondb) AND (found = "
        ":missing OR (found = :differs AND EXISTS (SELECT 1 FROM runs WHERE runs.run = elsewhere.run AND "
        "CASE destination WHEN :artdaqdb THEN imported_to ELSE proven_to END IS NOT NULL)))"
    )
    values = {"accepted": Found.ACCEPTED, "missing": Found.MISSING, "differs": Found.DIFFERS, "run": run}
    return db.execute(sql, {**values, "artdaqdb": here.artdaqdb, "ucondb": here.ucondb}).rowcount > 0


def select_lacking(db: sqlite3.Connection, here: int, expected: Collection[int], held: Collection[int]) -> list[int]:
    """Return the verified runs among the ``expected`` that artdaqDB lacks, by what it ``held``, ascending."""
    stay = {run for (run,) in db.execute(_FOUND, (here, Found.ACCEPTED))}
    return sorted((select_verified(db) & set(expected)) - set(held) - stay)


def select_verified(db: sqlite3.Connection) -> set[int]:
    """Return the verified runs."""
    return {run for (run,) in db.execute("SELECT run FROM runs WHERE state = ?", (State.VERIFIED,))}


def note_held(db: sqlite3.Connection, here: int, held: Collection[int], now: float) -> list[int]:
    """Forget that artdaqDB lacked the runs that it ``held``; return those that it was known to lack, and still does."""
    before = {run for (run,) in db.execute(_FOUND, (here, Found.MISSING))}
    db.executemany(_FORGET, [(here, run) for run in before & set(held)])
    db.execute("UPDATE elsewhere SET at = ? WHERE destination = ? AND found = ?", (now, here, Found.MISSING))
    return sorted(before - set(held))


_FOUND = "SELECT run FROM elsewhere WHERE destination = ? AND found = ?"
_FORGET = "DELETE FROM elsewhere WHERE destination = ? AND run = ?"


def forget(db: sqlite3.Connection, run: int, here: int | None) -> None:
    """Forget what was found of a run at a destination: it is proven to be there."""
    db.execute(_FORGET, (here, run))
