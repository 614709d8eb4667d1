"""Look-ups in UconDB; an absence is reported only when it is proven (ucondb_protocol.md T11, T12)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from archiverd.config.ucondb import is_acceptable
from archiverd.core.errors import UconDBError
from archiverd.ucondb.errors import LIST, Purpose, blames_request, impossible_reply, refused
from archiverd.ucondb.records import parse_listing, parse_metadata, parse_sequence
from archiverd.ucondb.session import retry_broken

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from archiverd.ucondb.http import Reply
    from archiverd.ucondb.port import StoredVersion
    from archiverd.ucondb.session import Session

LISTING_LIMIT = 1 << 28
"""Most bytes of a list: more than a million versions of about 216 bytes."""
KEYS_AT_ONCE = 1000
"""Keys in one ``/lookup_versions`` request: 0.18 s of the server's time (ucondb_protocol.md section 6)."""
LISTING_SECONDS = 60.0
"""Added to the timeout for a list: 12 000 records took up to 6.7 s (ucondb_protocol.md section 6)."""

_ALL_TIMES = "1e12"
"""Validity time up to which versions are listed; without it future ones are left out (T13)."""


async def look_up(session: Session, key: str, purpose: Purpose) -> StoredVersion | None:
    """Return the version under ``key``, or None if its absence is proven. Raise UconDBError."""
    demand_key(key, purpose)
    for last in (False, True):
        reply = await session.get(session.targets.data(key=key, meta_only="yes"), purpose)
        if reply.status == 200:
            found = parse_metadata(reply.body)
            if found is None or found.key != key:
                raise impossible_reply(purpose, f"UconDB did not answer with the metadata of key {key}")
            return found
        if reply.status == 404 and reply.body.strip() == b"Version not found":
            return None
        if reply.status != 500 or b"'NoneType' object has no attribute" not in reply.body:
            break
        if await _is_object_absent(session, reply, purpose):
            return None
        if last:
            break
        # the object got its first version between the two requests: a put of ours that was late
    raise refused(purpose, reply)


def demand_key(key: str, purpose: Purpose) -> None:
    """Raise UconDBError (permanent) if the server would refuse ``key``, or return it changed."""
    if not is_acceptable(key) or key != key.strip():  # blanks around it are lost in the reply's header
        raise UconDBError(f"{purpose.text}: {key!r} cannot be a key", remedy="keys are run numbers", run=purpose.run)


async def look_up_all(session: Session, keys: Collection[str]) -> Mapping[str, StoredVersion]:
    """Return the versions under those of ``keys`` that are taken; the absence of the others is proven.

    Asks for many keys at once; each that is not in the answer is looked up by itself, because a short answer proves
    nothing. Raise UconDBError.
    """
    found: dict[str, StoredVersion] = {}
    wanted = list(dict.fromkeys(keys))
    for start in range(0, len(wanted), KEYS_AT_ONCE):
        some = wanted[start : start + KEYS_AT_ONCE]
        answered = await _look_up_some(session, some)
        if answered is None:
            return {}
        for key in some:
            version = answered.get(key) or await look_up(session, key, LIST)
            if version is not None:
                found[key] = version
    return found


async def list_keys(session: Session) -> Mapping[str, StoredVersion]:
    """Return all versions with a key that ``/versions`` lists, by key.

    A key that is missing may be taken: versions marked deleted are not listed (T13). Raise UconDBError,
    transient when the list breaks off.
    """
    target = session.targets.listing("versions", tv=_ALL_TIMES)
    seconds = session.settings.timeout_seconds + LISTING_SECONDS
    reply = await retry_broken(LIST, lambda: session.http.ask("GET", target, seconds=seconds, limit=LISTING_LIMIT))
    if _object_absent(reply):
        return {}
    if reply.status != 200:
        raise refused(LIST, reply)
    try:
        return await asyncio.to_thread(parse_listing, reply.body)
    except (ValueError, RecursionError) as error:
        problem = f"UconDB's list of versions broke off or cannot be read ({len(reply.body)} bytes)"
        raise impossible_reply(LIST, problem) from error


async def _look_up_some(session: Session, keys: Sequence[str]) -> Mapping[str, StoredVersion] | None:
    """Return those of ``keys`` that ``/lookup_versions`` finds, or None if the object has no version at all."""
    target = session.targets.listing("lookup_versions")
    body = json.dumps({"keys": keys}).encode()
    seconds = session.settings.timeout_seconds + LISTING_SECONDS
    reply = await retry_broken(
        LIST, lambda: session.http.ask("POST", target, body=[body], seconds=seconds, limit=LISTING_LIMIT)
    )
    if _object_absent(reply):
        return None
    if reply.status != 200:
        raise refused(LIST, reply)
    return parse_sequence(reply.body)


async def _is_object_absent(session: Session, failed: Reply, purpose: Purpose) -> bool:
    """Return whether the object has no version yet, which explains the reply ``failed``; False if it has one by now.

    Reading an unknown folder fails in the same way: raise UconDBError for that, and for any other reply.
    """
    reply = await session.get(session.targets.listing("versions", tv=_ALL_TIMES), purpose)
    if not _object_absent(reply) and reply.status != 200:
        raise refused(purpose, reply if blames_request(reply.status) else failed)
    return reply.status != 200


def _object_absent(reply: Reply) -> bool:
    """Return whether a listing's reply says that the object has no version (``Object X not found``)."""
    return reply.status == 404 and reply.body.startswith(b"Object ") and reply.body.rstrip().endswith(b" not found")
