"""Logging in to write, in one pass: the login goes out with the request it is for (ucondb_protocol.md section 7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from archiverd.ucondb.digest import Challenge, authorization, parse_challenge
from archiverd.ucondb.errors import detail_of, refused
from archiverd.ucondb.session import persistently

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archiverd.ucondb.errors import Purpose
    from archiverd.ucondb.http import Reply
    from archiverd.ucondb.session import Session


class Login:
    """What the server asks of a writer: its challenge, learned once and used for as long as it is taken.

    It is learned from an empty POST whose validity time is no number: the server checks that only after the login
    and before it stores anything.
    """

    def __init__(self, session: Session, cnonce: Callable[[], str]) -> None:
        self._session = session
        self._cnonce = cnonce
        self._target = session.targets.data(tv="x")
        self._challenge: Challenge | None = None
        self._needless = False
        self._count = 0
        self._learning = asyncio.Lock()

    async def headers(self, method: str, target: str, purpose: Purpose) -> Mapping[str, str]:
        """Return the headers that log a request in; none if the server asks for no login. Raise UconDBError."""
        async with self._learning:
            if self._challenge is None and not self._needless:
                await self._learn(purpose)
        return self._signed(method, target)

    async def check(self, purpose: Purpose) -> None:
        """Prove that our user may write to our folder; nothing can be stored. Raise UconDBError."""
        async with self._learning:
            self.forget()
            await self._learn(purpose)
        if self._needless:
            return
        reply = await self._probe(purpose, self._signed("POST", self._target))
        if not _reached_the_number(reply):
            raise refused(purpose, reply)

    async def fresh_challenge(self, purpose: Purpose) -> Challenge | None:
        """Return the challenge as the server makes it now, None if it asks for no login. Raise UconDBError."""
        async with self._learning:
            self.forget()
            await self._learn(purpose)
        return self._challenge

    def take(self, reply: Reply) -> bool:
        """Learn the challenge in a 401; return False if there is none, which means that our login was refused."""
        challenge = parse_challenge(reply.headers.get("www-authenticate", ""))
        if challenge is None:
            return False
        self._challenge, self._needless, self._count = challenge, False, 0
        return True

    def forget(self) -> None:
        """Learn the challenge again before the next request."""
        self._challenge, self._needless = None, False

    async def _learn(self, purpose: Purpose) -> None:
        """Get the challenge, or find that there is none. Raise UconDBError."""
        reply = await self._probe(purpose, {})
        if reply.status == 401 and self.take(reply):
            return
        if not _reached_the_number(reply):
            raise refused(purpose, reply)
        self._needless = True

    async def _probe(self, purpose: Purpose, headers: Mapping[str, str]) -> Reply:
        return await persistently(purpose, lambda: self._session.http.ask("POST", self._target, headers=headers))

    def _signed(self, method: str, target: str) -> Mapping[str, str]:
        """Return the headers for one use of the challenge, counted."""
        if self._challenge is None:
            return {}
        self._count += 1
        settings = self._session.settings
        value = authorization(
            self._challenge,
            settings.writer_user,
            settings.writer_password.get_secret_value(),
            method=method,
            target=target,
            count=self._count,
            cnonce=self._cnonce(),
        )
        return {"Authorization": value}


def _reached_the_number(reply: Reply) -> bool:
    """Tell whether the probe came as far as its impossible validity time, that is past the login."""
    return reply.status == 500 and "could not convert string to float" in detail_of(reply)
