"""Proves verified runs again, one at a time: what UconDB gives back is what was proven, or what is wrong is noted (I8).

A run whose key is free is uploaded again, unless its neighbours' keys are free too. Nothing is overwritten here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd import log
from archiverd.audit.anomalies import Anomaly, Discrepancy, address
from archiverd.core import runset
from archiverd.core.errors import Blame, Retry, UconDBError, VerificationError
from archiverd.core.proofs import TOO_MANY_ABSENT, BlobFault, find_absent_in_a_row
from archiverd.journal import transitions
from archiverd.journal.proofs import Standstill
from archiverd.ucondb.port import Finding, Fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow
    from archiverd.ucondb.port import Examination, UconDB

_log = log.get("Migration")

_ASIDE: Final = TOO_MANY_ABSENT - 1
"""Neighbours on each side that decide whether a run is the only one."""

SILENT_KEYS: Final = 3
"""Keys in a row that get no reply, after which it is the server that does not answer."""

RIGHT_DATABASE: Final = (
    "nothing is uploaded again: UconDB may be a restored or a wrong one; look at ucon_db.server_url, folder_name and "
    "object_name, and ask its administrators; it goes on by itself when all of them are there again; if they are lost, "
    "`archiverd reconcile` counts all of them and `archiverd release --destination` uploads them again"
)
"""What to do when many keys are free."""
_SERVER: Final = (
    "it goes on by itself when one of them can be read again; ask UconDB's administrators; `archiverd release RUN "
    "--override` replaces one that is lost"
)


class Verdict(enum.Enum):
    """The result of proving a run again."""

    PROVEN = enum.auto()
    FAULTY = enum.auto()
    """What UconDB holds is not what was proven, or cannot be read: noted."""
    SENT_AGAIN = enum.auto()
    """Its key is free: it is on its way to UconDB again."""
    STOPPED = enum.auto()
    """What is wrong is not this run's alone: nothing is done, and the scrub stands still."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run that was proven again; ``why`` in words."""

    verdict: Verdict
    why: str
    anomaly: Anomaly | None = None


@dataclass(frozen=True, slots=True)
class Prover:
    """Proves verified runs again and notes the result."""

    journal: Journal
    ucondb: UconDB
    clock: Callable[[], float]

    async def prove(self, row: RunRow) -> Outcome:
        """Read a verified run's blob back and note what that shows.

        Raise UconDBError when UconDB does not answer, ArchiverError when the journal fails.
        """
        found = await self.ucondb.examine(str(row.run))
        if found.finding is not Finding.ABSENT and judge(row, found) is not None:
            found = await self.ucondb.examine(str(row.run))  # one busy server or broken line damages no run
        if found.finding is Finding.ABSENT:
            return await self._absent(row.run)
        if found.finding in (Finding.UNREADABLE, Finding.SILENT):
            unreadable = await self._find_unreadable(row.run)
            if len(unreadable) >= TOO_MANY_ABSENT:
                shown = f"{len(unreadable)} verified runs in a row ({runset.show(unreadable)})"
                why = f"{shown} cannot be read back from UconDB, though it answers: {found.why}"
                await self._stop(
                    Standstill(self.clock(), BlobFault.DAMAGED, why, address(_SERVER, unreadable), tuple(unreadable))
                )
                return Outcome(Verdict.STOPPED, why, Anomaly(row.run, Discrepancy.DAMAGED, why))
        return await self.note(row, found)

    async def note(self, row: RunRow, found: Examination) -> Outcome:
        """Note what the examination of a verified run's key found, and log what is news of it."""
        if (fault := judge(row, found)) is None:
            if await self.journal.proofs.note_proven(
                row.run, row.blob_sha256, None if found.blob is None else found.blob.adler32
            ):
                _log.info("UconDB gives back what was proven again", run=row.run)
            return Outcome(Verdict.PROVEN, f"{row.blob_length} bytes read back, sha256 {row.blob_sha256}")
        kind, error = fault
        anomaly = Anomaly(row.run, Discrepancy(kind), str(error))
        if await self.journal.proofs.note_fault(
            row.run, kind, f"{error.name}: {error}", anomaly.kind.action([row.run]), row.blob_sha256
        ):
            log.failure(_log, error, row.run)
        return Outcome(Verdict.FAULTY, str(error), anomaly)

    async def note_missing(self, runs: Collection[int]) -> None:
        """Note that the keys of verified runs are free."""
        kind = Discrepancy.MISSING_UCONDB
        for run in sorted(runs):
            error = f"VerificationError: UconDB has no version under key {run} any more"
            await self.journal.proofs.note_fault(run, BlobFault.MISSING, error, kind.action([run]))

    async def stop_for_absence(self, runs: Sequence[int], *, missing: int) -> str:
        """Let the scrub stand still because the keys of ``runs``, of ``missing`` in all, are free; return why."""
        more = f", and {missing - len(runs)} more" if missing > len(runs) else ""
        why = f"{len(runs)} verified runs in a row ({runset.show(runs)}){more} are not in UconDB any more"
        return await self._stop(Standstill(self.clock(), BlobFault.MISSING, why, RIGHT_DATABASE, tuple(runs)))

    async def find_withheld(self) -> list[int]:
        """Return the runs that still keep the others from being uploaded: too many were absent in a row.

        Each of them must be there again, or on its way at an operator's word: one that is back proves nothing of the
        database that the others are missing in. Raise UconDBError.
        """
        standstill = await self.journal.proofs.standstill()
        if standstill is None or standstill.fault is not BlobFault.MISSING:
            return []
        noted = set(await self.journal.proofs.faulty(BlobFault.MISSING)).intersection(standstill.runs)
        held = await self.ucondb.look_up_all([str(run) for run in noted]) if noted else {}
        return sorted(run for run in noted if str(run) not in held)

    async def _stop(self, standstill: Standstill) -> str:
        """Let the scrub stand still, and log that if it is news; return why."""
        if await self.journal.proofs.stop(standstill):
            _log.error(f"{standstill.why} ({standstill.remedy})", runs=len(standstill.runs))
        return standstill.why

    async def _absent(self, run: int) -> Outcome:
        """Let a run whose key is free be uploaded again, unless too many in a row are free."""
        near = await self.journal.proofs.neighbours(run, _ASIDE)
        absent = {run} | {one for one in near if await self._is_absent(one)}
        if find_absent_in_a_row(sorted([run, *near]), absent):
            await self.note_missing(absent)
            why = await self.stop_for_absence(sorted(absent), missing=len(absent))
            return Outcome(Verdict.STOPPED, why, Anomaly(run, Discrepancy.MISSING_UCONDB, why))
        if withheld := await self.find_withheld():
            await self.note_missing(absent)
            why = f"nothing is uploaded while {runset.show(withheld)} are not in UconDB either"
            return Outcome(Verdict.STOPPED, why, Anomaly(run, Discrepancy.MISSING_UCONDB, why))
        sent = await self.journal.record_allowed(*(transitions.missing(one) for one in sorted(absent)))
        for row in sent:
            _log.error(f"{Discrepancy.MISSING_UCONDB.fact}; it is uploaded again", run=row.run)
        return Outcome(Verdict.SENT_AGAIN, Discrepancy.MISSING_UCONDB.fact)

    async def _is_absent(self, run: int) -> bool:
        """Return whether a key is free; one that only its own look-up fails for is not. Raise UconDBError."""
        try:
            return await self.ucondb.look_up(str(run)) is None
        except UconDBError as error:
            if error.blame is Blame.LOGIN:
                raise
            await self.ucondb.check_server()
            return False

    async def _find_unreadable(self, run: int) -> list[int]:
        """Return this run and the next ones that cannot be read either, up to the first that can."""
        unreadable = [run]
        for other in await self.journal.proofs.neighbours(run, _ASIDE):
            found = await self.ucondb.examine(str(other))
            if found.finding not in (Finding.UNREADABLE, Finding.SILENT):
                break
            unreadable.append(other)
            if len(unreadable) == TOO_MANY_ABSENT:
                break
        return sorted(unreadable)


def no_reply(runs: Collection[int], why: str = "") -> UconDBError:
    """Return the error for several keys that get no reply, though the server answers a probe."""
    return UconDBError(
        f"UconDB gives no reply for runs {runset.show(runs)}, though it answers a probe{f': {why}' if why else ''}",
        retry=Retry.TRANSIENT,
        blame=Blame.BACKEND,
        remedy="nothing was concluded; try again, and if it lasts ask UconDB's administrators",
    )


def judge(row: RunRow, found: Examination) -> tuple[BlobFault, VerificationError] | None:
    """Return what is wrong with what UconDB holds of a verified run; None if it is what was proven."""
    ours = Fingerprint(row.blob_length or 0, row.blob_sha256)
    if found.identity == ours:
        return None
    if found.identity is None:
        text = found.why or f"UconDB has no version under key {row.run} any more"
        fault = BlobFault.MISSING if found.finding is Finding.ABSENT else BlobFault.DAMAGED
    else:
        text = (
            f"UconDB has {found.identity.length} bytes under key {row.run}, sha256 {found.identity.sha256}; "
            f"proven were {ours.length}, sha256 {ours.sha256}"
        )
        fault = BlobFault.DIFFERS
    return fault, VerificationError(text, remedy=Discrepancy(fault).action([row.run]), run=row.run)
