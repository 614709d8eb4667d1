"""The login of a writer, sent with the request it is for (ucondb_protocol.md section 7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from archiverd.ucondb.digest import Challenge, authorization, parse_challenge
from archiverd.ucondb.errors import detail_of, refused
from archiverd.ucondb.session import retry_broken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archiverd.ucondb.errors import Purpose
    from archiverd.ucondb.http import Reply
    from archiverd.ucondb.session import Session


class Login:
    """The server's challenge, learned once and used while the server accepts it.

    It is learned from an empty POST whose validity time is not a number: the server checks that after the login and
    before it stores anything.
    """

    def __init__(self, session: Session, cnonce: Callable[[], str]) -> None:
        self._session = session
        self._cnonce = cnonce
        self._target = session.targets.data(tv="x")
        self._challenge: Challenge | None = None
        self._not_needed = False
        self._count = 0
        self._learning = asyncio.Lock()

    async def headers(self, method: str, target: str, purpose: Purpose) -> Mapping[str, str]:
        """Return the headers that log a request in; none if the server asks for no login. Raise UconDBError."""
        async with self._learning:
            if self._challenge is None and not self._not_needed:
                await self._learn(purpose)
        return self._signed(method, target)

    async def check(self, purpose: Purpose) -> None:
        """Raise UconDBError unless our user may write to our folder; nothing can be stored."""
        async with self._learning:
            self.forget()
            await self._learn(purpose)
        if self._not_needed:
            return
        reply = await self._probe(purpose, self._signed("POST", self._target))
        if not _reached_the_number(reply):
            raise refused(purpose, reply)

    async def fresh_challenge(self, purpose: Purpose) -> Challenge | None:
        """Return a challenge made now, None if the server asks for no login. Raise UconDBError."""
        async with self._learning:
            self.forget()
            await self._learn(purpose)
        return self._challenge

    def learn_from(self, reply: Reply) -> bool:
        """Take the challenge from a 401; return False if it has none, which means that our login was refused."""
        challenge = parse_challenge(reply.headers.get("www-authenticate", ""))
        if challenge is None:
            return False
        self._challenge, self._not_needed, self._count = challenge, False, 0
        return True

    def forget(self) -> None:
        """Learn the challenge again before the next request."""
        self._challenge, self._not_needed = None, False

    async def _learn(self, purpose: Purpose) -> None:
        """Get the challenge, or find that no login is needed. Raise UconDBError."""
        reply = await self._probe(purpose, {})
        if reply.status == 401 and self.learn_from(reply):
            return
        if not _reached_the_number(reply):
            raise refused(purpose, reply)
        self._not_needed = True

    async def _probe(self, purpose: Purpose, headers: Mapping[str, str]) -> Reply:
        return await retry_broken(purpose, lambda: self._session.http.ask("POST", self._target, headers=headers))

    def _signed(self, method: str, target: str) -> Mapping[str, str]:
        """Return the headers for one use of the challenge, and count it."""
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
    """Return whether the probe failed at its impossible validity time, that is after the login."""
    return reply.status == 500 and "could not convert string to float" in detail_of(reply)
