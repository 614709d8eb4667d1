"""The port to UconDB, whichever client implements it."""

from __future__ import annotations

import enum
import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A blob's length in bytes and SHA-256 in lower-case hex."""

    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes to store, in parts to be joined; a big blob is never in memory as one piece."""

    parts: Sequence[bytes]
    identity: Fingerprint
    adler32: int
    """Adler-32 of the bytes, as an unsigned number."""

    @staticmethod
    def of(*parts: bytes) -> Blob:
        """Return the blob of these parts. Hashes them all: not for the event loop, unless they are few."""
        digest, adler32, length = hashlib.sha256(), 1, 0
        for part in parts:
            digest.update(part)
            adler32 = zlib.adler32(part, adler32)
            length += len(part)
        return Blob(parts, Fingerprint(length, digest.hexdigest()), adler32)


@dataclass(frozen=True, slots=True)
class BlobSummary:
    """What is kept of a blob that was read in a stream."""

    identity: Fingerprint
    adler32: int
    head: bytes
    """Its first bytes, at most ``HEAD_BYTES``."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """Metadata of the version stored under a key (ucondb_protocol.md section 4)."""

    key: str
    version_id: int
    data_size: int
    adler32: int
    """Adler-32 of the bytes, as an unsigned number (``uadler32``)."""


HEAD_BYTES: Final = 256
"""Most bytes that a summary keeps of a blob: more than its first lines have (runrecord/blob.py)."""


class StoreOutcome(enum.Enum):
    """The result of an attempt to store a blob. Only PROVEN may be called verified."""

    PROVEN = "proven"
    """The bytes were read back under the key and are ours."""
    CONFLICT = "conflict"
    """The key has other bytes; nothing was overwritten."""


class Finding(enum.Enum):
    """What an examination of one key found. The server itself answered in each case."""

    SOUND = "sound"
    """The whole blob was read, and its bytes fit the checksum that UconDB keeps of them."""
    ABSENT = "absent"
    """No version has the key; proven by the 404 of the key itself."""
    UNSOUND = "unsound"
    """The bytes do not fit the checksum that UconDB keeps of them."""
    UNREADABLE = "unreadable"
    """The reply for this key is an error, or ends too early, though the server answers."""
    SILENT = "silent"
    """There is no reply for this key, though the server answers."""


@dataclass(frozen=True, slots=True)
class Examination:
    """The result of examining one key."""

    finding: Finding
    why: str = ""
    """In words, what is wrong; empty for SOUND and ABSENT."""
    blob: BlobSummary | None = None
    """What was read; None unless the finding is SOUND."""

    @property
    def identity(self) -> Fingerprint | None:
        """The length and SHA-256 of what was read; None if it could not be."""
        return None if self.blob is None else self.blob.identity


class UconDB(Protocol):
    """The port. Every method raises ``UconDBError``; its ``retry`` says whether waiting helps."""

    async def open(self) -> None:
        """Make the connection pool; no request is sent."""

    async def close(self) -> None:
        """Close the connection pool."""

    async def check(self) -> None:
        """Prove that the server answers and that our credentials may write, without side effects."""

    async def check_server(self) -> None:
        """Prove that the server and its database answer."""

    async def check_login(self) -> None:
        """Prove that our credentials may write, with the one request that can never store anything."""

    async def look_up(self, key: str) -> StoredVersion | None:
        """Return what is stored under ``key``, or None if its absence is proven."""

    async def store(self, key: str, blob: Blob, *, tag: str, look_first: bool) -> StoreOutcome:
        """Store ``blob`` under ``key`` at most once and prove it by reading it back.

        With ``look_first`` a look-up precedes the put: needed after any earlier attempt; on a first one the server's
        unique index makes it safe to omit. Never overwrites.

        Raise UconDBError of the retry class UNKNOWN when a put was sent and its result is unknown: call again later,
        with ``look_first``.
        """

    async def replace(self, key: str, blob: Blob, *, tag: str) -> StoreOutcome:
        """Store ``blob`` under ``key`` in place of what is there, and prove it; only on an operator's decision.

        Nothing is sent if the key has these bytes already. What cannot be read of this key alone is replaced too. Raise
        as ``store`` does; after UNKNOWN call again.
        """

    async def read(self, key: str) -> bytes:
        """Return the whole blob stored under ``key``."""

    async def summarise(self, key: str) -> BlobSummary:
        """Read the blob under ``key`` back in a stream and return what it is; memory use is constant."""

    async def examine(self, key: str) -> Examination:
        """Read the blob under ``key`` back in a stream and say what was found, past caches; memory use is constant.

        Raise UconDBError only when the server itself does not answer, or refuses us: that says nothing of the key.
        """

    async def list_keys(self) -> Mapping[str, StoredVersion]:
        """Return every version that has a key, by key; never only a part of them."""

    async def look_up_all(self, keys: Collection[str]) -> Mapping[str, StoredVersion]:
        """Return what is stored under those of ``keys`` that are taken; the absence of every other is proven."""
