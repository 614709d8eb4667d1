"""The UconDB port over HTTP (ucondb_protocol.md); each method's work is in a module of its own.

HttpUconDB ──▶ storing ──▶ login ──▶ digest        put at most once, prove by reading back
           ──▶ reading                             blobs in a stream
           ──▶ lookup ──▶ records                  what is there, what is proven absent
           ──▶ greeting                            the server's version and time
                  all over site ──▶ wire (httpx); what goes wrong is worded in failures
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from archiverd.core.errors import Retry, UconDBError
from archiverd.ucondb import errors, lookup, upload
from archiverd.ucondb.http import HttpExchange, system_words, tls_context
from archiverd.ucondb.login import Login
from archiverd.ucondb.readback import Received, receive
from archiverd.ucondb.server_info import ServerInfo, read_server_info
from archiverd.ucondb.session import Session
from archiverd.ucondb.settings import UconDBSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from archiverd.config import Settings
    from archiverd.ucondb.port import Fingerprint, StoredVersion, StoreOutcome

__all__ = ["HttpUconDB", "UconDBSettings"]


def random_cnonce() -> str:
    """Return 16 hex digits that nobody can foresee, for a login."""
    return secrets.token_hex(8)


class HttpUconDB:
    """A client of one object in one folder; its methods may be called from any number of tasks of one loop."""

    def __init__(self, settings: UconDBSettings, *, cnonce: Callable[[], str] = random_cnonce) -> None:
        self._settings = settings
        self._cnonce = cnonce
        self._opened: tuple[Session, Login] | None = None

    async def open(self) -> None:
        """See ``port.UconDB``. Raise UconDBError if ``ca_file`` cannot be used."""
        settings = self._settings
        try:
            tls = await asyncio.to_thread(tls_context, verify=settings.verify_tls, ca_file=settings.ca_file)
        except OSError as error:
            raise UconDBError(
                f"{errors.INITIALIZE.text}: cannot use {settings.ca_file}: {system_words(error)}",
                remedy="ucon_db.ca_file must be a readable PEM file of certificates",
            ) from error
        site = Session(settings, HttpExchange(settings.server_url, settings.timeout_seconds, tls))
        self._opened = site, Login(site, self._cnonce)

    async def close(self) -> None:
        """See ``port.UconDB``."""
        if self._opened is not None:
            (site, _), self._opened = self._opened, None
            await site.wire.close()

    async def check(self) -> None:
        """See ``port.UconDB``: server, database, folder, credentials. The error's remedy names the setting."""
        await self.check_server()
        await self.check_login()

    async def check_server(self) -> None:
        """See ``port.UconDB``."""
        purpose = errors.INITIALIZE
        reply = await self._site.get(self._settings.probe_target(), purpose)
        if reply.status != 200:
            raise errors.refused(purpose, reply)
        if reply.body.strip() != b"OK":  # status 200 even when the database is down (T17)
            raise errors.nonsense(purpose, f"UconDB's database does not answer: {errors.detail_of(reply)}")

    async def check_login(self) -> None:
        """See ``port.UconDB``."""
        await self._login.check(errors.INITIALIZE)

    async def read_server_info(self) -> ServerInfo:
        """Ask for the server's version and its time. Raise UconDBError if it does not answer."""
        return await read_server_info(self._site, self._login)

    async def look_up(self, key: str) -> StoredVersion | None:
        """See ``port.UconDB``."""
        return await lookup.look_up(self._site, key, errors.looking_up(key))

    async def store(self, key: str, blob: bytes, *, tag: str, look_first: bool) -> StoreOutcome:
        """See ``port.UconDB``.

        A UconDBError says that nothing was stored, or that what stands under the key could not be read back now.
        Raise VerificationError if UconDB confirms the put and gives other bytes back all the same.
        """
        return await upload.store(self._site, self._login, key, blob, tag=tag, look_first=look_first)

    async def replace(self, key: str, blob: bytes, *, tag: str) -> StoreOutcome:
        """See ``port.UconDB``. Raise as ``store`` does."""
        return await upload.replace(self._site, self._login, key, blob, tag=tag)

    async def read(self, key: str) -> bytes:
        """See ``port.UconDB``. Raise UconDBError also if the key is free, or its bytes do not fit UconDB's checksum."""
        return (await self._receive(key, keep=True)).blob

    async def fingerprint(self, key: str) -> Fingerprint:
        """See ``port.UconDB``. Raise UconDBError as ``read`` does."""
        return (await self._receive(key, keep=False)).identity

    async def list_keys(self) -> Mapping[str, StoredVersion]:
        """See ``port.UconDB``."""
        return await lookup.list_keys(self._site)

    async def look_up_all(self, keys: Collection[str]) -> Mapping[str, StoredVersion]:
        """See ``port.UconDB``."""
        return await lookup.look_up_all(self._site, keys)

    async def _receive(self, key: str, *, keep: bool) -> Received:
        """Read what is under ``key``, whose size a look-up tells first: patience hangs on it."""
        purpose = errors.reading_back(key)
        found = await lookup.look_up(self._site, key, purpose)
        if found is None:
            raise UconDBError(
                f"{purpose.text}: there is no version under that key",
                remedy="check ucon_db.folder_name and object_name; if they are right, the run was never uploaded",
                run=purpose.run,
            )
        received = await receive(self._site, key, found.data_size, purpose, keep=keep)
        if not received.intact:
            raise errors.nonsense(purpose, "the bytes do not fit the checksum UconDB keeps of them")
        return received

    @property
    def _site(self) -> Session:
        return self._demand_open()[0]

    @property
    def _login(self) -> Login:
        return self._demand_open()[1]

    def _demand_open(self) -> tuple[Session, Login]:
        """Return what ``open`` made. Raise UconDBError if it was not called."""
        if self._opened is None:
            raise UconDBError("The UconDB client is not open", retry=Retry.BUG)
        return self._opened


def make_ucondb(settings: Settings, folder: str | None = None) -> HttpUconDB:
    """Return the UconDB client for the folder proper, or for ``folder``."""
    u = settings.ucon_db
    return HttpUconDB(
        UconDBSettings(
            server_url=u.server_url,
            folder=folder or u.folder_name,
            object=u.object_name,
            user=u.writer_user,
            password=u.writer_password.get_secret_value(),
            timeout_seconds=u.timeout_seconds,
            verify_tls=u.verify_tls,
            ca_file=u.ca_file,
            rereads=settings.app.run_process_retries,
        )
    )
