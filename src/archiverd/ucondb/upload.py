"""Stores a blob at most once, and proves it (ucondb_protocol.md section 8).

    look up ──taken──────────────────────────────▶ compare ─▶ PROVEN | CONFLICT
       │free (or not asked: the first attempt)        ▲
       ▼                                              │found
      put ──reply: stored──▶ read back ─▶ PROVEN      │
       │                         └ not ours ─▶ VerificationError
       ├──refused, or nothing was sent──▶ UconDBError │
       └──anything else──▶ look up ───────────────────┘
                              └ not found, or no answer ─▶ UconDBError: unknown

A key is never overwritten (except by ``replace``, for an operator), and only bytes that were read back are a proof.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from archiverd.core.errors import Retry, UconDBError, VerificationError
from archiverd.ucondb.errors import impossible_reply, reading_back, refused, unreachable, uploading
from archiverd.ucondb.examination import examine
from archiverd.ucondb.http import BrokenExchangeError
from archiverd.ucondb.lookup import demand_key, look_up
from archiverd.ucondb.port import StoreOutcome
from archiverd.ucondb.readback import receive
from archiverd.ucondb.records import parse_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archiverd.ucondb.errors import Purpose
    from archiverd.ucondb.http import Reply
    from archiverd.ucondb.login import Login
    from archiverd.ucondb.port import Blob
    from archiverd.ucondb.session import Session


async def store(session: Session, login: Login, key: str, blob: Blob, *, tag: str, look_first: bool) -> StoreOutcome:
    """Store ``blob`` under ``key`` (see ``port.UconDB.store``). Raise UconDBError or VerificationError."""
    purpose = uploading(key)
    _demand_acceptable(session, key, blob, tag, purpose)
    if look_first and await look_up(session, key, purpose) is not None:
        return await _compare(session, key, blob)
    try:
        as_sent = await _put(session, login, key, blob, tag, purpose)
    except UconDBError as doubt:
        if doubt.retry is not Retry.UNKNOWN:
            raise
        return await _resolve(session, key, blob, doubt)
    return await _prove(session, key, blob, as_sent=as_sent)


async def replace(session: Session, login: Login, key: str, blob: Blob, *, tag: str) -> StoreOutcome:
    """Give ``key`` to ``blob`` (see ``port.UconDB.replace``). Raise UconDBError or VerificationError.

    Each override that succeeds makes a version (ucondb_protocol.md section 8, step 5), so what is there is examined
    first: an attempt that seemed to fail may have stored it. If it cannot be read while the server answers, that is
    what is to be replaced.
    """
    purpose = uploading(key)
    _demand_acceptable(session, key, blob, tag, purpose)
    if (await examine(session, key)).identity == blob.identity:
        return StoreOutcome.PROVEN
    as_sent = await _put(session, login, key, blob, tag, purpose, override=True)
    return await _prove(session, key, blob, as_sent=as_sent)


def _demand_acceptable(session: Session, key: str, blob: Blob, tag: str, purpose: Purpose) -> None:
    """Raise UconDBError (permanent) for a blob, key or tag that cannot be sent."""
    demand_key(key, purpose)
    demand_key(tag, purpose)
    if blob.identity.length > session.largest_blob:
        raise _too_long(purpose, blob.identity.length, session.largest_blob)


async def _prove(session: Session, key: str, blob: Blob, *, as_sent: bool) -> StoreOutcome:
    """Read back what a confirmed put has stored; ``as_sent``: its size and checksum were confirmed too."""
    if as_sent and await _compare(session, key, blob) is StoreOutcome.PROVEN:
        return StoreOutcome.PROVEN
    return await _reread(session, key, blob)


async def _put(
    session: Session, login: Login, key: str, blob: Blob, tag: str, purpose: Purpose, *, override: bool = False
) -> bool:
    """Send the blob; return whether UconDB reports its size and checksum as stored.

    Raise UconDBError: of the retry class UNKNOWN if the blob may have been stored, of another if not.
    """
    parameters = {"full_meta": "yes", "key": key, "tag": tag, **({"override": "yes"} if override else {})}
    reply = await _send(session, login, session.targets.data(**parameters), blob, purpose)
    if reply.status != 200:
        raise refused(purpose, reply, Retry.UNKNOWN)
    stored = parse_metadata(reply.body)
    if stored is None or stored.key != key:
        raise impossible_reply(purpose, f"UconDB did not answer with the metadata of key {key}", Retry.UNKNOWN)
    return (stored.data_size, stored.adler32) == (blob.identity.length, blob.adler32)


async def _send(session: Session, login: Login, target: str, blob: Blob, purpose: Purpose) -> Reply:
    """Send the blob with our login, again if the server wants the login for a new challenge."""
    for last in (False, True):
        headers = await login.headers("POST", target, purpose)
        try:
            reply = await session.http.ask(
                "POST", target, headers=headers, body=blob.parts, seconds=session.timeout(blob.identity.length)
            )
        except BrokenExchangeError as broken:
            raise unreachable(purpose, broken, Retry.UNKNOWN if broken.sent else Retry.TRANSIENT) from broken
        if reply.status != 401:
            break
        if last or not login.learn_from(reply):
            login.forget()
            break
    return reply


async def _resolve(session: Session, key: str, blob: Blob, doubt: UconDBError) -> StoreOutcome:
    """Find out the result of a put by comparing the version that is under the key now.

    Without one raise ``doubt``, of the retry class UNKNOWN: it may still come (a frozen database stores late). So too
    if the look-up fails.
    """
    try:
        if await look_up(session, key, uploading(key)) is not None:
            return await _compare(session, key, blob)
    except UconDBError as error:
        doubt.context["look_up"] = error.message
    raise doubt


async def _compare(session: Session, key: str, blob: Blob) -> StoreOutcome:
    """Compare the blob under the key with ours, by SHA-256."""
    theirs = await receive(session, key, blob.identity.length, reading_back(key), keep=False)
    return StoreOutcome.PROVEN if theirs.summary.identity == blob.identity else StoreOutcome.CONFLICT


async def _reread(session: Session, key: str, blob: Blob) -> StoreOutcome:
    """Read again what UconDB stored of our blob; raise VerificationError if it is never the blob."""
    for _ in range(max(1, session.rereads)):
        again = await receive(session, key, blob.identity.length, reading_back(key), keep=False, md5=True)
        if again.summary.identity == blob.identity:
            return StoreOutcome.PROVEN
    raise VerificationError(
        "MD5 mismatch between generated and downloaded blobs",
        retry=Retry.CONFLICT,
        remedy=f"compare both (`archiverd export`); `archiverd release {key} --override` replaces UconDB's version",
        run=reading_back(key).run,
        context={
            "generated_md5": await asyncio.to_thread(_md5, blob.parts),
            "downloaded_md5": again.md5,
            "generated_sha256": blob.identity.sha256,
            "downloaded_sha256": again.summary.identity.sha256,
        },
    )


def _md5(parts: Iterable[bytes]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _too_long(purpose: Purpose, size: int, limit: int) -> UconDBError:
    return UconDBError(
        f"{purpose.text}: the blob has {size} bytes, more than the {limit} that UconDB can store",
        remedy="nothing was sent; make the run's files smaller, then `archiverd release` the run",
        run=purpose.run,
    )
