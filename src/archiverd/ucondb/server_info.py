"""Who is there: whether the server answers, its version, and what time it has (ucondb_protocol.md sections 3, 7)."""

from __future__ import annotations

import base64
import binascii
import contextlib
import email.utils
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import UconDBError
from archiverd.ucondb.errors import INITIALIZE, detail_of, impossible_reply, refused

if TYPE_CHECKING:
    from archiverd.ucondb.errors import Purpose
    from archiverd.ucondb.login import Login
    from archiverd.ucondb.session import Session


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says of itself."""

    version: str
    clock: float | None
    """Its time in epoch seconds, to the second, when it answered; None if unknown."""


async def check_server(session: Session, purpose: Purpose) -> None:
    """Prove that server and database answer. Raise UconDBError if they do not."""
    reply = await session.get(session.targets.probe(), purpose)
    if reply.status != 200:
        raise refused(purpose, reply)
    if reply.body.strip() != b"OK":  # status 200 even when the database is down (T17)
        raise impossible_reply(purpose, f"UconDB's database does not answer: {detail_of(reply)}")


async def read_server_info(session: Session, login: Login) -> ServerInfo:
    """Ask a server who it is. Raise UconDBError if it does not answer.

    Its time is in the header Date, which webpie does not send, and in the nonce of its challenge: base64 of the
    epoch second, in Python's ``b'…'``.
    """
    reply = await session.get(session.targets.version(), INITIALIZE)
    if reply.status != 200:
        raise refused(INITIALIZE, reply)
    clock = date_of(reply.headers.get("date", ""))
    if clock is None:
        with contextlib.suppress(UconDBError):  # there may be no such folder
            challenge = await login.fresh_challenge(INITIALIZE)
            clock = None if challenge is None else second_in(challenge.nonce)
    return ServerInfo(detail_of(reply), clock)


def date_of(header: str) -> float | None:
    """Return the time in a Date header, in epoch seconds; None if there is none."""
    try:
        return email.utils.parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError):
        return None


def second_in(nonce: str) -> float | None:
    """Return the epoch second a nonce is made of; None if it is made otherwise."""
    try:
        text = base64.b64decode(nonce.removeprefix("b'").removesuffix("'"), validate=True)
        return float(int(text.decode("ascii")))
    except (ValueError, binascii.Error):
        return None
