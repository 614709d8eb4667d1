"""The proofs of verified runs in the journal: when each was proven last, what was wrong, and how far the scrub is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from archiverd.core import runset
from archiverd.core.machine import State
from archiverd.core.proofs import AGAIN_DAYS, DAY_SECONDS, BlobFault, next_proof_at
from archiverd.journal.queries import select_run
from archiverd.journal.rows import legible
from archiverd.journal.statements import tell

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from archiverd.journal.rows import RunRow
    from archiverd.journal.writer import Writer

Track = Literal["early", "others", "look_ups"]
"""What the scrub does: proofs some days after the first one, proofs of all others in turn, look-ups of all keys."""

_TRACKS: dict[Track, str] = {"early": "early_at", "others": "others_at", "look_ups": "looked_up_at"}
"""By track, the column with the time of its last step."""


_EARLY = "FROM runs INDEXED BY runs_checked WHERE state = 'verified' AND proven_to IS :here AND recheck_at IS NOT NULL"
"""SQL for the runs whose proofs some days after the first one are not all made."""


@dataclass(frozen=True, slots=True)
class Due:
    """A run that is to be proven again, and a time in epoch seconds: when it is due, or when it was checked last."""

    run: int
    at: float


@dataclass(frozen=True, slots=True)
class ScrubFacts:
    """What the plan of the scrub depends on. Times are epoch seconds, 0.0 for never."""

    verified: int
    early: int
    """Runs whose proof some days after the first one is due within a day, or was at any time in the last day."""
    others: int
    """Runs whose early proofs are done."""
    next_early: Due | None
    """The early proof that is due first."""
    next_other: Due | None
    """The other run that was checked longest ago."""
    early_at: float = 0.0
    others_at: float = 0.0
    looked_up_at: float = 0.0
    below: int = 0
    """The look-ups go on with the runs below this number; 0 to begin anew."""


@dataclass(frozen=True, slots=True)
class ProvenKey:
    """A verified run and what UconDB should say of its key."""

    run: int
    size: int | None
    adler32: int | None
    """None if the run was proven by a version that did not note it."""
    fault: BlobFault | None


@dataclass(frozen=True, slots=True)
class Standstill:
    """Why the scrub stands still, since when (epoch seconds), and the runs that showed it."""

    since: float
    fault: BlobFault
    why: str
    remedy: str
    runs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProofSummary:
    """The state of all proofs, for reports."""

    oldest: float | None = None
    """When the run was proven whose last proof is oldest, in epoch seconds; None if no run is verified."""
    faults: Mapping[BlobFault, Sequence[int]] = field(default_factory=dict)
    """Runs by what is wrong with them, ascending."""
    standstill: Standstill | None = None


class Proofs:
    """The proofs of verified runs; every method raises ArchiverError if the journal fails."""

    def __init__(self, writer: Writer, clock: Callable[[], float], here: int | None) -> None:
        """Know ``here``, the number of the configured UconDB; runs proven in another one are left to others."""
        self._writer = writer
        self._clock = clock
        self._here = here

    async def facts(self) -> ScrubFacts:
        """Return what the plan of the scrub depends on."""
        now, here = self._clock(), self._here
        return await self._writer.read(lambda db: select_scrub_facts(db, here, now))

    async def neighbours(self, run: int, most: int) -> list[int]:
        """Return the verified runs next to ``run``, ``most`` on each side, the nearest first."""
        here = self._here
        return await self._writer.read(lambda db: select_neighbours(db, here, run, most))

    async def keys_below(self, below: int, most: int) -> list[ProvenKey]:
        """Return the verified runs below a number, descending, at most so many."""
        here = self._here
        return await self._writer.read(lambda db: select_keys_below(db, here, below, most))

    async def faulty(self, fault: BlobFault) -> list[int]:
        """Return the verified runs with this fault, ascending, that were proven in the configured UconDB."""
        here = self._here
        return (await self._writer.read(lambda db: select_faults(db, here))).get(fault, [])

    async def standstill(self) -> Standstill | None:
        """Return why the scrub stands still; None if it does not."""
        return await self._writer.read(select_standstill)

    async def note_proven(self, run: int, sha256: str, adler32: int | None) -> bool:
        """Note that ``run`` was proven again: UconDB gave back these bytes. Return whether it had a fault."""
        now = self._clock()
        return await self._writer.write(lambda db: note_proven(db, run, sha256, adler32, now))

    async def note_fault(self, run: int, fault: BlobFault, error: str, remedy: str, sha256: str | None = None) -> bool:
        """Note what is wrong with what UconDB holds of a verified run; return whether that is news.

        ``sha256`` is what was expected there: a run whose version was replaced meanwhile is left as it is.
        """
        now = self._clock()
        return await self._writer.write(lambda db: note_fault(db, run, fault, error, remedy, sha256, now))

    async def note_present(self, runs: Sequence[int]) -> None:
        """Note that keys that were missing are there again."""
        now = self._clock()
        if runs:
            await self._writer.write(lambda db: note_present(db, runs, now))

    async def note_step(self, track: Track, below: int | None = None) -> None:
        """Note that a step of ``track`` was made; ``below``: where the look-ups go on."""
        now, here = self._clock(), self._here
        await self._writer.write(lambda db: note_step(db, track, here, below, now))

    async def stop(self, standstill: Standstill) -> bool:
        """Note that the scrub stands still; return whether that is news."""
        return await self._writer.write(lambda db: put_standstill(db, standstill))

    async def resume(self) -> bool:
        """Note that the scrub goes on; return whether it stood still."""
        return await self._writer.write(lambda db: put_standstill(db, None))


def select_scrub_facts(db: sqlite3.Connection, here: int | None, now: float) -> ScrubFacts:
    """Return what the plan of the scrub depends on, of the verified runs that were proven in the UconDB ``here``.

    A run whose time cannot be comes first: a clock that was ahead made it.
    """
    values = {"here": here}
    proven = "SELECT count(*) FROM runs INDEXED BY runs_checked WHERE state = 'verified' AND proven_to IS :here"
    (verified,) = db.execute(proven, values).fetchone()
    others = "FROM runs INDEXED BY runs_checked WHERE state = 'verified' AND proven_to IS :here AND recheck_at IS NULL"
    (number,) = db.execute(f"SELECT count(*) {others}", values).fetchone()
    checked = f"SELECT run, checked_at {others} ORDER BY checked_at"
    due = f"SELECT run, recheck_at {_EARLY} ORDER BY recheck_at"
    steps = db.execute("SELECT early_at, others_at, looked_up_at, below FROM scrub").fetchone()
    return ScrubFacts(
        verified,
        _count_early(db, here, now)[0],
        number,
        _first(db, due, here, now + AGAIN_DAYS[-1] * DAY_SECONDS),
        _first(db, checked, here, now),
        *(steps or ()),
    )


def _count_early(db: sqlite3.Connection, here: int | None, now: float) -> tuple[int, float]:
    """Return how many early proofs are due within a day, and when that was counted.

    A greater count of the last day stands: who makes one proof after the other must not slow down by that.
    """
    soon = f"SELECT count(*) {_EARLY} AND recheck_at <= :soon"
    (early,) = db.execute(soon, {"here": here, "soon": now + DAY_SECONDS}).fetchone()
    counted = db.execute("SELECT early, counted_at FROM scrub").fetchone()
    if counted is not None and counted[0] > early and now - DAY_SECONDS < counted[1] <= now:
        return counted[0], counted[1]
    return early, now


def _first(db: sqlite3.Connection, sql: str, here: int | None, latest: float) -> Due | None:
    """Return the first run that ``sql`` gives in order of time, or one whose time is after the ``latest`` possible."""
    last = db.execute(f"{sql} DESC LIMIT 1", {"here": here}).fetchone()
    if last is None:
        return None
    if last[1] is not None and last[1] > latest:
        return Due(last[0], 0.0)
    run, at = db.execute(f"{sql} LIMIT 1", {"here": here}).fetchone()
    return Due(run, at or 0.0)


def select_neighbours(db: sqlite3.Connection, here: int | None, run: int, most: int) -> list[int]:
    """Return the runs proven ``here`` next to ``run``, ``most`` on each side, the nearest first."""
    proven = "SELECT run FROM runs INDEXED BY runs_proven_to WHERE state = 'verified' AND proven_to IS ?"
    below, above = f"{proven} AND run < ? ORDER BY run DESC LIMIT ?", f"{proven} AND run > ? ORDER BY run LIMIT ?"
    found = [one for sql in (below, above) for (one,) in db.execute(sql, (here, run, most))]
    return sorted(found, key=lambda one: abs(one - run))


def select_keys_below(db: sqlite3.Connection, here: int | None, below: int, most: int) -> list[ProvenKey]:
    """Return the runs proven ``here`` below a number, descending, at most so many."""
    sql = (
        "SELECT run, blob_length, blob_adler32, blob_fault FROM runs INDEXED BY runs_proven_to "
        "WHERE state = 'verified' AND proven_to IS ? AND run < ? ORDER BY run DESC LIMIT ?"
    )
    return [
        ProvenKey(run, size, adler32, BlobFault(fault) if fault else None)
        for run, size, adler32, fault in db.execute(sql, (here, below, most))
    ]


def select_faults(db: sqlite3.Connection, here: int | None) -> dict[BlobFault, list[int]]:
    """Return the verified runs proven ``here`` with a fault, by that, ascending."""
    sql = (
        "SELECT run, blob_fault FROM runs WHERE blob_fault IS NOT NULL AND +state = 'verified' "
        "AND +proven_to IS ? ORDER BY run"
    )
    found: dict[BlobFault, list[int]] = {}
    for run, fault in db.execute(sql, (here,)):
        found.setdefault(BlobFault(fault), []).append(run)
    return found


def select_standstill(db: sqlite3.Connection) -> Standstill | None:
    """Return why the scrub stands still; None if it does not."""
    row = db.execute("SELECT since, fault, why, remedy, runs FROM standstill").fetchone()
    if row is None:
        return None
    runs = tuple(sorted(runset.numbers(runset.unpack(row["runs"]))))
    return Standstill(row["since"], BlobFault(row["fault"]), row["why"], row["remedy"], runs)


def select_proof_summary(db: sqlite3.Connection, here: int | None) -> ProofSummary:
    """Return the state of the proofs made ``here``, for reports."""
    sql = "SELECT min(proven_at) FROM runs INDEXED BY runs_proven WHERE state = 'verified' AND proven_to IS ?"
    (oldest,) = db.execute(sql, (here,)).fetchone()
    return ProofSummary(oldest, select_faults(db, here), select_standstill(db))


def note_proven(db: sqlite3.Connection, run: int, sha256: str, adler32: int | None, now: float) -> bool:
    """Note that a verified run was proven again by bytes with this SHA-256; return whether it had a fault."""
    row = select_run(db, run)
    if row is None or row.state is not State.VERIFIED or row.blob_sha256 != sha256:
        return False
    sql = (
        "UPDATE runs SET proven_at = ?, checked_at = ?, proofs = proofs + 1, recheck_at = ?, "
        "blob_adler32 = coalesce(?, blob_adler32) WHERE run = ?"
    )
    db.execute(sql, (now, now, next_proof_at(row.verified_at or 0.0, now), adler32, run))
    return _clear_fault(db, row, now)


def note_fault(
    db: sqlite3.Connection, run: int, fault: BlobFault, error: str, remedy: str, sha256: str | None, now: float
) -> bool:
    """Note what is wrong with what UconDB holds of a verified run (see ``Proofs``); return whether that is news."""
    row = select_run(db, run)
    if row is None or row.state is not State.VERIFIED or sha256 not in (None, row.blob_sha256):
        return False
    sql = "UPDATE runs SET checked_at = ?, recheck_at = ?, blob_fault = ?, error = ?, remedy = ? WHERE run = ?"
    again = next_proof_at(row.verified_at or 0.0, now)
    db.execute(sql, (now, again, fault, legible(error), legible(remedy), run))
    if row.blob_fault is fault:
        return False
    tell(db, run, str(fault), error, now)
    return True


def note_present(db: sqlite3.Connection, runs: Sequence[int], now: float) -> None:
    """Note that keys that were missing are there again."""
    for run in runs:
        row = select_run(db, run)
        if row is not None and row.blob_fault is BlobFault.MISSING:
            _clear_fault(db, row, now)


def note_step(db: sqlite3.Connection, track: Track, here: int | None, below: int | None, now: float) -> None:
    """Note that a step of ``track`` was made; ``below``: where the look-ups go on."""
    db.execute("INSERT OR IGNORE INTO scrub (id) VALUES (0)")
    sql = f"UPDATE scrub SET {_TRACKS[track]} = ?, below = coalesce(?, below), early = ?, counted_at = ?"  # noqa: S608 - ours
    db.execute(sql, (now, below, *_count_early(db, here, now)))


def put_standstill(db: sqlite3.Connection, standstill: Standstill | None) -> bool:
    """Note why the scrub stands still, None if it does not; return whether that is news.

    The first cause stays; runs that show the same fault are added to it.
    """
    before = select_standstill(db)
    if standstill is None:
        db.execute("DELETE FROM standstill")
        return before is not None
    if before is None:
        values = (standstill.since, standstill.fault, legible(standstill.why), standstill.remedy)
        db.execute("INSERT INTO standstill VALUES (0, ?, ?, ?, ?, ?)", (*values, runset.pack(standstill.runs)))
    elif before.fault is standstill.fault:
        runs = runset.pack({*before.runs, *standstill.runs})
        db.execute("UPDATE standstill SET runs = ?", (runs,))
    return before is None


def _clear_fault(db: sqlite3.Connection, row: RunRow, now: float) -> bool:
    """Take a fault off a run; return whether there was one."""
    if row.blob_fault is None:
        return False
    db.execute("UPDATE runs SET blob_fault = NULL, error = '', remedy = '' WHERE run = ?", (row.run,))
    tell(db, row.run, "sound", f"no longer {row.blob_fault}", now)
    return True
