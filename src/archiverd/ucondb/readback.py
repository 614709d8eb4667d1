"""Reads a blob back (ucondb_protocol.md section 8, step 4)."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import UconDBError
from archiverd.ucondb.errors import from_cache, impossible_reply, refused
from archiverd.ucondb.http import BrokenExchangeError
from archiverd.ucondb.port import HEAD_BYTES, BlobSummary, Fingerprint
from archiverd.ucondb.session import ATTEMPTS, retry_broken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archiverd.ucondb.errors import Purpose
    from archiverd.ucondb.session import Session


@dataclass(frozen=True, slots=True)
class Received:
    """A blob as received; it has as many bytes as UconDB announced."""

    summary: BlobSummary
    blob: bytes
    """The bytes; empty unless read with ``keep``."""
    intact: bool
    """The bytes match the Adler-32 that UconDB keeps of them."""
    md5: str
    """Of the bytes, in lower-case hex; empty unless asked for."""


async def receive(
    session: Session, key: str, size: int, purpose: Purpose, *, keep: bool, md5: bool = False
) -> Received:
    """Read the blob under ``key``; ``size``, the expected bytes, decides the timeout.

    Without ``keep`` memory use is constant. A reply that is short (HTTP does not show it, T2) or does not match its
    checksum is requested again at once, at most ATTEMPTS times; the last one that does not match is returned as not
    intact. Raise UconDBError.
    """
    received = await retry_broken(purpose, lambda: _receive(session, key, size, purpose, keep=keep, md5=md5))
    for _ in range(ATTEMPTS - 1):
        if received.intact:
            break
        received = await retry_broken(purpose, lambda: _receive(session, key, size, purpose, keep=keep, md5=md5))
    return received


async def _receive(session: Session, key: str, size: int, purpose: Purpose, *, keep: bool, md5: bool) -> Received:
    """Read the blob under ``key`` once. Raise UconDBError, or BrokenExchangeError if it is incomplete."""
    target = session.targets.data(key=key)
    async with session.http.exchange("GET", target, seconds=session.timeout(size)) as answer:
        if answer.status != 200:
            raise refused(purpose, await answer.whole())
        _refuse_cached(answer.headers, purpose)
        stored_size, stored_adler32 = _parse_headers(answer.headers, key, purpose)
        if keep and stored_size > session.largest_blob:
            raise _too_long(purpose, stored_size, session.largest_blob)
        digest, adler32, length, kept = hashlib.sha256(), 1, 0, bytearray()
        second = hashlib.md5(usedforsecurity=False) if md5 else None
        async for piece in answer.pieces:
            length += len(piece)
            if length > stored_size:
                raise impossible_reply(purpose, f"UconDB sent more than the {stored_size} bytes it announced")
            digest.update(piece)
            adler32 = zlib.adler32(piece, adler32)
            if second is not None:
                second.update(piece)
            if keep or len(kept) < HEAD_BYTES:
                kept += piece
    if length < stored_size:
        raise BrokenExchangeError(f"UconDB sent {length} of {stored_size} bytes", sent=True, cut=True)
    intact = stored_adler32 is None or adler32 == stored_adler32
    return Received(
        summary=BlobSummary(Fingerprint(length, digest.hexdigest()), adler32, bytes(kept[:HEAD_BYTES])),
        blob=bytes(kept) if keep else b"",
        intact=intact,
        md5="" if second is None else second.hexdigest(),
    )


def _refuse_cached(headers: Mapping[str, str], purpose: Purpose) -> None:
    """Raise UconDBError if a cache on the way gave the reply: that proves nothing of what UconDB has.

    Requests forbid it; a cache that does not care says so in ``Age`` (RFC 9111) or ``X-Cache``.
    """
    age, mark = headers.get("age", "").strip(), headers.get("x-cache", "")
    if age.strip("0") or mark.upper().startswith("HIT"):
        raise from_cache(purpose, f"Age: {age}" if age.strip("0") else f"X-Cache: {mark}")


def _parse_headers(headers: Mapping[str, str], key: str, purpose: Purpose) -> tuple[int, int | None]:
    """Return size and Adler-32 (None if not sent) from a reply's headers. Raise UconDBError for another version.

    The checksum may be given as a negative number (ucondb_protocol.md section 5).
    """
    answered = headers.get("x-ucondb-version-key")
    if answered != key:
        raise impossible_reply(purpose, f"UconDB answered with version {answered!r} instead of {key!r}")
    try:
        size = int(headers["x-ucondb-data-size"])
        adler32 = headers.get("x-ucondb-adler32")
        return size, None if adler32 is None else int(adler32) & 0xFFFFFFFF
    except (KeyError, ValueError):
        raise impossible_reply(purpose, "UconDB did not say how many bytes it holds, or not in numbers") from None


def _too_long(purpose: Purpose, size: int, limit: int) -> UconDBError:
    return UconDBError(
        f"{purpose.text}: UconDB holds {size} bytes under its key, more than the {limit} archiverd takes into memory",
        remedy="archiverd never stores such a blob: find out who did",
        run=purpose.run,
    )
