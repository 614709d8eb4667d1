"""The migration stage: artdaqDB → one blob → UconDB, proven by reading the blob back."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.errors import ArchiverError, BlobCreationError, Retry, UconDBError, VerificationError
from archiverd.core.machine import WAITING, Stage
from archiverd.core.priority import Lane
from archiverd.journal import transitions
from archiverd.journal.transitions import BlobIdentity
from archiverd.pipeline.failure_policy import FailurePolicy, as_known_error
from archiverd.pipeline.gate import Gate, GateShutError
from archiverd.pipeline.validator import report_validation
from archiverd.runrecord import blob as blobs
from archiverd.runrecord.validation import METADATA, validate_metadata
from archiverd.ucondb.port import Blob, StoreOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archiverd.artdaqdb.port import ArtdaqDB, ExportedEntity
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import RunRow
    from archiverd.ucondb.port import BlobSummary, Fingerprint, UconDB

_log = log.get("Migration")


@dataclass(frozen=True, slots=True)
class Packed:
    """A run's blob and its ``Packed on`` text; its metadata.fcl too, which is validated (None: it has none)."""

    packed_on: str
    blob: Blob
    metadata: bytes | None

    @property
    def identity(self) -> Fingerprint:
        """The blob's length and SHA-256."""
        return self.blob.identity

    def journal_identity(self) -> BlobIdentity:
        """Return the blob's identity as the journal has it."""
        return BlobIdentity(self.packed_on, self.identity.length, self.identity.sha256, self.blob.adler32)


@dataclass(frozen=True, slots=True)
class Migrator:
    """Carries one run at a time through the migration stage."""

    journal: Journal
    artdaqdb: ArtdaqDB
    ucondb: UconDB
    gate: Gate
    policy: FailurePolicy
    required: tuple[str, ...] | None
    """Keys that metadata.fcl must have for the blob to validate; None for no validation."""
    monotonic: Callable[[], float]
    """Seconds of a clock that never jumps, to time uploads."""

    async def __call__(self, run: int) -> None:
        """Upload and prove ``run``; a failure becomes an event of the run, not an exception.

        Raise ArchiverError only if the journal cannot be written.
        """
        row = await self.journal.get(run)
        if row is None or row.state not in WAITING[Stage.MIGRATE]:
            return
        try:
            packed_on = row.packed_on or blobs.packed_on_text(datetime.fromtimestamp(self.policy.clock(), UTC))
            exported = await self.artdaqdb.export(run)
            packed = await asyncio.to_thread(pack, run, packed_on, exported)
            _require_same_blob(row, packed.identity)
        except Exception as error:  # noqa: BLE001 - every failure of a run becomes an event of that run
            await self._fail(row, error)
            return
        with contextlib.suppress(GateShutError):
            async with self.gate.slot():
                await self._upload(row, exported, packed)

    async def _upload(self, row: RunRow, exported: Sequence[ExportedEntity], packed: Packed) -> None:
        """Store and prove a run's blob, the intent written before the first byte is sent (I4)."""
        (row,) = await self.journal.record(
            transitions.upload_begins(row.run, packed.journal_identity(), puts=row.puts + 1)
        )
        begun = self.monotonic()
        try:
            outcome, proven = await self._store(row, exported, packed)
        except Exception as error:  # noqa: BLE001 - every failure of a run becomes an event of that run
            known = as_known_error(error, row.run, _log)
            counts = self.gate.failed(known)
            await self._record_failure(row, known, counts=counts)
        else:
            self.gate.passed(self.monotonic() - begun, packed.identity.length)
            if outcome is StoreOutcome.PROVEN:
                await self._verified(row, proven)
            else:
                await self._record_failure(row, _other_content(row), counts=True)

    async def _store(
        self, row: RunRow, exported: Sequence[ExportedEntity], packed: Packed
    ) -> tuple[StoreOutcome, Packed]:
        """Store a run's blob under its key; return how that ended and the blob found there.

        A run of the backlog is looked up first: if UconDB has its blob it need not be sent.
        """
        key = str(row.run)
        if row.override:
            return await self.ucondb.replace(key, packed.blob, tag=key), packed
        look_first = row.puts > 1 or row.lane is Lane.BACKLOG
        outcome = await self.ucondb.store(key, packed.blob, tag=key, look_first=look_first)
        if outcome is StoreOutcome.CONFLICT:
            return await self._compare_with_found(row.run, exported, packed)
        return outcome, packed

    async def _compare_with_found(
        self, run: int, exported: Sequence[ExportedEntity], ours: Packed
    ) -> tuple[StoreOutcome, Packed]:
        """Return whether the blob found under the run's key is this run's, packed at another time (I5).

        So it is after the loss of a journal, or if the older tool archived the run.
        """
        rebuilt = await rebuild_found(await self.ucondb.summarise(str(run)), run, exported)
        return (StoreOutcome.CONFLICT, ours) if rebuilt is None else (StoreOutcome.PROVEN, rebuilt)

    async def _verified(self, row: RunRow, packed: Packed) -> None:
        """Record the proof and log how long after its stop the run was safe."""
        said = None
        if self.required is not None:
            said = report_validation(validate_metadata(packed.metadata, self.required), row.run)
        now = self.policy.clock()
        proof = transitions.upload_proven(
            row,
            packed.journal_identity(),
            destination=self.journal.here.ucondb,
            verified_at=now,
            validation=said,
        )
        await self.journal.record(proof)
        _log.info("verified in UconDB", run=row.run, bytes=packed.identity.length, **_time_since_stop(row, now))

    async def _fail(self, row: RunRow, error: Exception) -> None:
        """Record a failure before anything was sent, and log it."""
        await self._record_failure(row, as_known_error(error, row.run, _log), counts=True)

    async def _record_failure(self, row: RunRow, error: ArchiverError, *, counts: bool) -> None:
        """Record a failure, and log it unless it is the backend's, which the gate logs once for all runs."""
        await self.journal.record(self.policy.transition(row, error, counts=counts))
        if counts:
            log.failure(_log, error, row.run)


def pack(run: int, packed_on: str, exported: Sequence[ExportedEntity]) -> Packed:
    """Pack a run's exported entities into its blob. Raise BlobCreationError if the format cannot hold them."""
    files = [(f"{entity.name}.fcl", entity.fcl) for entity in exported]
    return Packed(packed_on, Blob.of(*blobs.pack(run, packed_on, files)), dict(files).get(METADATA))


async def rebuild_found(found: BlobSummary, run: int, exported: Sequence[ExportedEntity]) -> Packed | None:
    """Return a run packed with the ``Packed on`` text of the blob that UconDB has; None if the bytes differ (I5)."""
    try:
        its_text = blobs.read_packed_on(found.head)
    except BlobCreationError:
        return None
    rebuilt = await asyncio.to_thread(pack, run, its_text, exported)
    return rebuilt if rebuilt.identity == found.identity else None


def _require_same_blob(row: RunRow, identity: Fingerprint) -> None:
    """Raise VerificationError if a blob that may already have been sent can no longer be rebuilt (I5).

    That of a superseded run is older than its documents by intention; here without an override, its key was free.
    """
    if row.superseded:
        return
    if row.puts and row.blob_sha256 and row.blob_sha256 != identity.sha256:
        raise VerificationError(
            f"The blob of run {row.run} can no longer be rebuilt as it was when it was first sent",
            remedy=f"artdaqDB's content of the run changed; nothing was sent; find out why, then {_decide(row)}",
            context={"recorded_sha256": row.blob_sha256, "rebuilt_sha256": identity.sha256},
        )


def _other_content(row: RunRow) -> UconDBError:
    """Return the error for a key under which UconDB has other content."""
    return UconDBError(
        f"UconDB holds other content under key {row.run}",
        retry=Retry.CONFLICT,
        remedy=f"nothing was overwritten; compare both (`archiverd export`), then {_decide(row)}",
    )


def _decide(row: RunRow) -> str:
    """Return the commands with which an operator decides between two contents."""
    return f"`archiverd release {row.run} --override` (ours replaces it) or `archiverd waive {row.run} --reason …`"


def _time_since_stop(row: RunRow, now: float) -> dict[str, str]:
    """Return the seconds from a fresh run's stop line to its proof, for the log; empty for others."""
    if row.stopped_at is None or row.lane is Lane.BACKLOG:
        return {}
    return {"after_stop": f"{now - row.stopped_at:.1f}s"}
