"""MongoDB passes the conformance suite: on a server that keeps every byte, and on a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.mongo.store import MongoDB
from archiverd.config.models import ArtdaqDb
from tests.artdaqdb.conformance import *  # noqa: F403

from .servers import holds_duplicate_keys

if TYPE_CHECKING:
    from tests.artdaqdb.conformance import MakeDatabase

    from .scripted import Scripted


@pytest.fixture(params=["every byte", "real"])
def make_database(request: pytest.FixtureRequest) -> MakeDatabase:
    """Return what connects to the server."""
    if request.param == "real":
        uri = request.getfixturevalue("uri")
        if "key twice" in request.node.name and not holds_duplicate_keys():
            pytest.skip("mongo-java-server breaks the connection at a key that comes twice; mongod holds it")
    else:
        scripted: Scripted = request.getfixturevalue("scripted")
        uri = scripted.uri
    return lambda: MongoDB(ArtdaqDb(database_uri=uri, call_timeout_seconds=20.0), environment={})


async def test_the_suite_is_this_ones(make_database: MakeDatabase) -> None:
    """What is tested is MongoDB, and the server is there."""
    database = make_database()
    assert isinstance(database, MongoDB)
    await database.open()
    await database.ping()
    await database.close()
