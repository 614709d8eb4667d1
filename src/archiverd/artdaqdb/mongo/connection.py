"""A connection through Motor, which only this module imports: reads, writes, and errors as ours.

Motor is past its feature life; pymongo's own asyncio client takes its place by changing this file alone
(docs/decisions, "MongoDB through Motor").
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pymongo
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import BulkWriteError, InvalidURI, OperationFailure, PyMongoError
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from archiverd.artdaqdb.mongo.errors import INDEXED_OTHERWISE, UNAUTHORIZED, codes, only_duplicates, to_archiver_error
from archiverd.detached import run_detached

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archiverd.artdaqdb.mongo.uri import Address

SELECTION_SECONDS = 30.0
"""Longest wait for a server before a call, unless the URI sets serverSelectionTimeoutMS."""
CLOSE_SECONDS = 3.0
"""Longest wait for a server to confirm that our sessions end; otherwise it expires them."""
BATCH_BYTES = 32 * 1024 * 1024
"""Most bytes of documents in one insert; a message may have 48,000,000."""

_RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)


class Connection:
    """A database of a MongoDB server. Every method raises ``ArtdaqDBError``, whose message begins with the purpose.

    Each command is limited to ``seconds``, and the wait for a server before it to SELECTION_SECONDS. Reads go to the
    primary; writes are acknowledged by a majority and its journals unless the URI says otherwise.
    """

    def __init__(self, address: Address, seconds: float) -> None:
        """Name the database and the limit of each command in seconds."""
        self._address = address
        self._seconds = seconds
        self._client: AsyncIOMotorClient[Any] | None = None

    @property
    def address(self) -> Address:
        """What this is a connection to."""
        return self._address

    async def open(self) -> None:
        """Make the client. Raise ConfigurationError for a URI that the driver cannot take; no server is asked yet."""
        with self._translated("Failed to open artdaqDB", None):
            # in a thread: certificates are read from files, and mongodb+srv:// asks a name server
            try:
                self._client = await asyncio.to_thread(self._make_client, asyncio.get_running_loop())
            except (ValueError, OSError) as error:  # an option's value, a file with certificates
                raise InvalidURI(str(error)) from error

    async def close(self) -> None:
        """End our sessions on the server and close every socket."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(TimeoutError):
                await run_detached(client.close, CLOSE_SECONDS)

    async def ping(self) -> None:
        """Return if the server answers."""
        with self._translated("Failed to get configurations", None):
            await self._ping()

    async def may_write(self) -> bool | None:
        """Return whether our login may insert documents; None if the server does not say, or asks for no login."""
        with self._translated("Failed to reach artdaqDB", None):
            try:
                status = await (await self._writable_database()).command("connectionStatus", showPrivileges=True)
            except OperationFailure:  # not every server that speaks MongoDB's protocol knows the command
                return None
        login = status.get("authInfo", {})
        if not login.get("authenticatedUsers"):
            return None
        return any(
            "insert" in one["actions"] and one["resource"].get("db") in ("", self._address.database)
            for one in login.get("authenticatedUserPrivileges", ())
        )

    async def collections(self, purpose: str) -> list[str]:
        """Return the names of the collections that we may see, sorted; the server's own are left out."""
        with self._translated(purpose, None):
            names = await (await self._writable_database()).list_collection_names(authorizedCollections=True)
        return sorted(name for name in names if not name.startswith("system."))

    async def find(self, collection: str, wanted: Mapping[str, object], purpose: str, run: int | None) -> list[bytes]:
        """Return the matching documents as BSON, in no particular order."""
        with self._translated(purpose, run):
            database = await self._writable_database()
            cursor = database.get_collection(collection, codec_options=_RAW).find(wanted)
            return [bytes(one.raw) async for one in cursor]  # a large one is a view

    async def project(
        self, collection: str, wanted: Mapping[str, object], fields: Sequence[str], purpose: str, run: int | None = None
    ) -> list[dict[str, Any]]:
        """Return of each matching document only these fields."""
        with self._translated(purpose, run):
            database = await self._writable_database()
            cursor = database.get_collection(collection).find(wanted, {"_id": 0, **dict.fromkeys(fields, 1)})
            return [one async for one in cursor]

    async def insert(self, collection: str, documents: Sequence[bytes], purpose: str, run: int | None) -> int:
        """Store documents that bring their ``_id``; return how many. One whose ``_id`` is there is left as it is."""
        stored = 0
        for batch in _batches(documents):
            stored += len(batch)
            with self._translated(purpose, run):
                target = (await self._writable_database()).get_collection(collection, codec_options=_RAW)
                try:
                    await target.insert_many([RawBSONDocument(one) for one in batch], ordered=False)
                except BulkWriteError as error:
                    if not only_duplicates(error):
                        raise
                    stored -= len((error.details or {})["writeErrors"])  # not every server counts nInserted right
        return stored

    async def index(self, collection: str, field: str) -> bool:
        """Make an index on a field if there is none, however it is called; return False if we are not allowed to."""
        with self._translated("Failed to index artdaqDB", None):
            database = await self._writable_database()
            try:
                await database.get_collection(collection).create_index([(field, 1)])
            except OperationFailure as error:
                if not codes(error) & {UNAUTHORIZED, *INDEXED_OTHERWISE}:
                    raise
                return UNAUTHORIZED not in codes(error)
        return True

    @property
    def _opened(self) -> Any:  # Motor's type hints take its properties for methods
        if self._client is None:
            raise RuntimeError("the connection is not open")
        return self._client

    @property
    def _database(self) -> Any:
        return self._opened.get_database(
            self._address.database, read_preference=ReadPreference.PRIMARY, write_concern=self._concern()
        )

    async def _writable_database(self) -> Any:
        """Return the database once the driver knows a server that takes writes."""
        if not self._opened.topology_description.has_writable_server():
            await self._ping()
        return self._database

    async def _ping(self) -> None:
        """Ping a server, with a time limit of its own: for a command the driver heeds only ``timeoutMS``."""
        options = self._opened.options
        with pymongo.timeout(min(options.server_selection_timeout, options.timeout or float("inf"))):
            await self._database.command("ping")

    def _concern(self) -> WriteConcern | None:
        """Return the write concern, None if the URI sets it."""
        return None if self._address.options & {"w", "journal", "wtimeoutms"} else WriteConcern("majority", j=True)

    def _make_client(self, loop: asyncio.AbstractEventLoop) -> AsyncIOMotorClient[Any]:
        limits = {
            "timeoutMS": self._seconds,
            "serverSelectionTimeoutMS": min(self._seconds, SELECTION_SECONDS),
            "connectTimeoutMS": min(self._seconds, SELECTION_SECONDS),
        }
        parse_uri(self._address.uri, warn=False)  # the client would only warn of an option and go on without it
        added: dict[str, Any] = {
            name: int(value * 1000) for name, value in limits.items() if name.lower() not in self._address.options
        }
        return AsyncIOMotorClient(self._address.uri, io_loop=loop, appname="archiverd", **added)

    @contextmanager
    def _translated(self, purpose: str, run: int | None) -> Iterator[None]:
        """Raise errors of the driver and the server as ours."""
        try:
            yield
        except (PyMongoError, BSONError) as error:
            raise to_archiver_error(error, purpose, self._address, run) from error


def _batches(documents: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield documents in their order, at most BATCH_BYTES at once."""
    batch: list[bytes] = []
    size = 0
    for document in documents:
        if batch and size + len(document) > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document)
    if batch:
        yield batch
