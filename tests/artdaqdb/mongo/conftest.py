"""Databases in MongoDB to work on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import uuid
from typing import TYPE_CHECKING

import pytest
from pymongo import MongoClient

from archiverd.artdaqdb.mongo.store import MongoDB
from archiverd.config.models import ArtdaqDb
from tests.artdaqdb.conftest import WHEN

from .scripted import Scripted
from .servers import LOGIN, URI_VARIABLE, Server, bson_server, ferretdb, missing, mongod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path
    from typing import Any


@pytest.fixture(scope="session")
def server_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URI, without a database, of a server that holds nested arrays and dotted keys."""
    given = os.environ.get(URI_VARIABLE)
    if given:
        yield given
        return
    server = mongod(tmp_path_factory.mktemp("mongod")) or bson_server()
    if server is None:
        missing(f"{URI_VARIABLE}, mongod on PATH or mongo-java-server")
        return
    server.start()
    yield f"mongodb://127.0.0.1:{server.port}"
    server.kill()


@pytest.fixture
def uri(server_uri: str) -> Iterator[str]:
    """Give the URI of an empty database, which is dropped in the end."""
    name = f"archiverd_test_{uuid.uuid4().hex}"
    head, question, query = server_uri.partition("?")
    base = re.match(r"mongodb(\+srv)?://[^/]+", head)
    assert base is not None
    yield f"{base[0]}/{name}{question}{query}"
    with MongoClient(server_uri) as client:
        client.drop_database(name)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """Give a function that opens a database; all are closed in the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def opening(uri: str, **changes: Any) -> MongoDB:
            seconds = changes.pop("call_timeout_seconds", 20.0)
            settings = ArtdaqDb(database_uri=uri, call_timeout_seconds=seconds)
            db = MongoDB(settings, environment={}, clock=lambda: WHEN, **changes)
            await db.open()
            stack.push_async_callback(db.close)
            return db

        yield opening


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    """Give a server that keeps every byte and fails as scripted."""
    server = Scripted()
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    server.uri = f"mongodb://127.0.0.1:{listening.sockets[0].getsockname()[1]}/runs_db"
    yield server
    server.released.set()
    listening.close()
    await asyncio.gather(*server.serving)


@pytest.fixture
def ferret(tmp_path: Path) -> Iterator[Server]:
    """Give a FerretDB that keeps its data in files and wants a login."""
    (tmp_path / "ferretdb").mkdir()
    server = ferretdb(tmp_path / "ferretdb")
    if server is None:
        missing("FerretDB")
        return
    server.start()
    yield server
    server.kill()


@pytest.fixture
def ferret_uri(ferret: Server) -> str:
    """Give the URI of FerretDB's database, with the password."""
    return f"mongodb://{LOGIN}@127.0.0.1:{ferret.port}/runs_db"
