"""A UconDB as verified runs are proven again against it: what it holds, and what is wrong with that."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd.core.errors import Blame, Retry, UconDBError
from archiverd.core.machine import Event
from archiverd.core.priority import Lane
from archiverd.core.proofs import next_proof_at
from archiverd.journal.transitions import Transition
from archiverd.ucondb.port import HEAD_BYTES, BlobSummary, Examination, Finding, Fingerprint, StoredVersion

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from archiverd.journal.journal import Journal


def blob(run: int) -> bytes:
    """Return the blob of a run."""
    return f"blob of run {run}".encode()


def identity(data: bytes) -> Fingerprint:
    """Return a blob's length and SHA-256."""
    return Fingerprint(len(data), hashlib.sha256(data).hexdigest())


@dataclass
class Held:
    """What UconDB holds, by run."""

    blobs: dict[int, bytes]
    wrong: dict[int, Finding] = field(default_factory=dict)
    """What is found instead of a run's blob."""
    once: dict[int, Finding] = field(default_factory=dict)
    """The same, for one reading only."""
    away: bool = False
    read: list[int] = field(default_factory=list)
    """The runs whose blobs were read, in order."""
    looked_up: int = 0

    async def examine(self, key: str) -> Examination:
        """See ``UconDB.examine``."""
        run = int(key)
        await self.check_server()
        if run not in self.blobs:
            return Examination(Finding.ABSENT)
        self.read.append(run)
        if run in self.once:
            return Examination(self.once.pop(run), f"run {key} cannot be read this time")
        if run in self.wrong:
            return Examination(self.wrong[run], f"run {key} cannot be read")
        data = self.blobs[run]
        return Examination(Finding.SOUND, "", BlobSummary(identity(data), zlib.adler32(data), data[:HEAD_BYTES]))

    async def look_up(self, key: str) -> StoredVersion | None:
        """See ``UconDB.look_up``."""
        return (await self.look_up_all([key])).get(key)

    async def look_up_all(self, keys: Collection[str]) -> Mapping[str, StoredVersion]:
        """See ``UconDB.look_up_all``."""
        await self.check_server()
        self.looked_up += len(keys)
        held = {key: self.blobs[int(key)] for key in keys if int(key) in self.blobs}
        return {key: StoredVersion(key, 1, len(data), zlib.adler32(data)) for key, data in held.items()}

    async def check_server(self) -> None:
        """See ``UconDB.check_server``."""
        if self.away:
            raise UconDBError("Connection refused", retry=Retry.TRANSIENT, blame=Blame.BACKEND)


async def verify(journal: Journal, runs: Collection[int], at: float) -> None:
    """Let runs be verified at this time."""
    await journal.see(runs, Lane.FRESH)
    for event in (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS):
        await journal.record(*(Transition(run, event) for run in runs))
    for run in runs:
        ours = identity(blob(run))
        changes = {
            "blob_length": ours.length,
            "blob_sha256": ours.sha256,
            "blob_adler32": zlib.adler32(blob(run)),
            "verified_at": at,
            "proven_at": at,
            "checked_at": at,
            "recheck_at": next_proof_at(at, at),
            "proofs": 1,
        }
        await journal.record(Transition(run, Event.UPLOAD_PROVEN, "", changes))  # type: ignore[arg-type]
