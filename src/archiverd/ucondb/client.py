"""The UconDB port over HTTP (ucondb_protocol.md); each method's work is in a module of its own.

HttpUconDB ──▶ upload ──▶ login ──▶ digest     put at most once, prove by reading back
           ──▶ readback                        blobs in a stream
           ──▶ lookup ──▶ records              what is stored, what is proven absent
           ──▶ examination                     whether what is wrong is wrong with one key alone
           ──▶ server_info                     whether the server answers, its version and time
               all through session ──▶ urls, http; errors words what goes wrong
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from archiverd.config.ucondb import demand_usable
from archiverd.core.errors import Retry, UconDBError
from archiverd.ucondb import errors, examination, lookup, upload
from archiverd.ucondb.http import HttpExchange, system_message, tls_context
from archiverd.ucondb.login import Login
from archiverd.ucondb.readback import Received, receive
from archiverd.ucondb.server_info import ServerInfo, check_server, read_server_info
from archiverd.ucondb.session import LARGEST_BLOB, Session
from archiverd.ucondb.urls import RequestTargets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from archiverd.config.models import Settings, UconDb
    from archiverd.ucondb.port import Blob, BlobSummary, Examination, StoredVersion, StoreOutcome


def random_cnonce() -> str:
    """Return 16 random hex digits, a login's client nonce."""
    return secrets.token_hex(8)


class HttpUconDB:
    """A client of one object in one folder; its methods may be called from any number of tasks of one loop."""

    def __init__(
        self,
        settings: UconDb,
        *,
        rereads: int,
        folder: str | None = None,
        cnonce: Callable[[], str] = random_cnonce,
        largest_blob: int = LARGEST_BLOB,
    ) -> None:
        """Name the object by its section of the configuration; ``folder`` takes the place of ``folder_name``.

        ``rereads`` is how often a blob that does not come back as it was stored is read again; ``cnonce`` returns a
        fresh client nonce for each login; ``largest_blob`` is in bytes. Raise ConfigurationError for a value that can
        never work.
        """
        self._settings = (
            settings
            if folder is None
            else settings.model_copy(update={"folder_name": folder, "pending_folder_name": ""})
        )
        demand_usable(self._settings)
        self._rereads = rereads
        self._cnonce = cnonce
        self._largest_blob = largest_blob
        self._opened: tuple[Session, Login] | None = None

    async def open(self) -> None:
        """See ``port.UconDB``. Raise UconDBError if ``ca_file`` cannot be used."""
        settings = self._settings
        try:
            tls = await asyncio.to_thread(tls_context, verify=settings.verify_tls, ca_file=settings.ca_file)
        except OSError as error:
            raise UconDBError(
                f"{errors.INITIALIZE.text}: cannot use {settings.ca_file}: {system_message(error)}",
                remedy="ucon_db.ca_file must be a readable PEM file of certificates",
            ) from error
        http = HttpExchange(settings.server_url, settings.timeout_seconds, tls)
        session = Session(settings, RequestTargets.of(settings), http, self._rereads, self._largest_blob)
        self._opened = session, Login(session, self._cnonce)

    async def close(self) -> None:
        """See ``port.UconDB``."""
        if self._opened is not None:
            (session, _), self._opened = self._opened, None
            await session.http.close()

    async def check(self) -> None:
        """See ``port.UconDB``: server, database, folder, credentials. The error's remedy names the setting."""
        await self.check_server()
        await self.check_login()

    async def check_server(self) -> None:
        """See ``port.UconDB``."""
        await check_server(self._session, errors.INITIALIZE)

    async def check_login(self) -> None:
        """See ``port.UconDB``."""
        await self._login.check(errors.INITIALIZE)

    async def read_server_info(self) -> ServerInfo:
        """Return the server's version and time. Raise UconDBError if it does not answer."""
        return await read_server_info(self._session, self._login)

    async def look_up(self, key: str) -> StoredVersion | None:
        """See ``port.UconDB``."""
        return await lookup.look_up(self._session, key, errors.looking_up(key))

    async def store(self, key: str, blob: Blob, *, tag: str, look_first: bool) -> StoreOutcome:
        """See ``port.UconDB``.

        A UconDBError means that nothing was stored, or that the blob under the key could not be read back now.
        Raise VerificationError if UconDB confirms the put and gives other bytes back all the same.
        """
        return await upload.store(self._session, self._login, key, blob, tag=tag, look_first=look_first)

    async def replace(self, key: str, blob: Blob, *, tag: str) -> StoreOutcome:
        """See ``port.UconDB``. Raise as ``store`` does."""
        return await upload.replace(self._session, self._login, key, blob, tag=tag)

    async def read(self, key: str) -> bytes:
        """See ``port.UconDB``. Raise UconDBError also if the key is free, or its bytes do not fit UconDB's checksum."""
        return (await self._receive(key, keep=True)).blob

    async def summarise(self, key: str) -> BlobSummary:
        """See ``port.UconDB``. Raise UconDBError as ``read`` does."""
        return (await self._receive(key, keep=False)).summary

    async def examine(self, key: str) -> Examination:
        """See ``port.UconDB``."""
        return await examination.examine(self._session, key)

    async def list_keys(self) -> Mapping[str, StoredVersion]:
        """See ``port.UconDB``."""
        return await lookup.list_keys(self._session)

    async def look_up_all(self, keys: Collection[str]) -> Mapping[str, StoredVersion]:
        """See ``port.UconDB``."""
        return await lookup.look_up_all(self._session, keys)

    async def _receive(self, key: str, *, keep: bool) -> Received:
        """Read the blob under ``key``, after a look-up of its size, which decides the timeout."""
        purpose = errors.reading_back(key)
        found = await lookup.look_up(self._session, key, purpose)
        if found is None:
            raise UconDBError(
                f"{purpose.text}: there is no version under that key",
                remedy="check ucon_db.folder_name and object_name; if they are right, the run was never uploaded, or "
                "UconDB has lost it",
                run=purpose.run,
            )
        received = await receive(self._session, key, found.data_size, purpose, keep=keep)
        if not received.intact:
            raise errors.impossible_reply(purpose, "the bytes do not fit the checksum UconDB keeps of them")
        return received

    @property
    def _session(self) -> Session:
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
    return HttpUconDB(settings.ucon_db, folder=folder, rereads=settings.app.run_process_retries)
