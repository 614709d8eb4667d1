"""Listening to a port, and what reads a database beside its daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from archiverd.app.call_observer import LastContact, ObservedCall, observed
from archiverd.artdaqdb.backends import make_reader
from archiverd.artdaqdb.filesystem.reader import FileSystemReader
from archiverd.artdaqdb.mongo.store import MongoDB
from archiverd.artdaqdb.tools.store import ToolsDB
from archiverd.config.models import ArtdaqDb
from archiverd.core.errors import ArtdaqDBError, ConfigurationError, FhiclError


class Port:
    """Something with coroutines, and something that is none."""

    name = "port"

    def __init__(self) -> None:
        self.error: BaseException | None = None

    async def work(self, number: int, *, more: int) -> int:
        """Add, or fail."""
        if self.error is not None:
            raise self.error
        return number + more

    def half(self, number: int) -> float:
        """Halve at once."""
        return number / 2


async def test_every_call_is_told_and_nothing_is_changed() -> None:
    """Results, errors and plain attributes come through; each call that ended is observed, however it did."""
    port, calls = Port(), list[ObservedCall]()
    heard = observed(port, calls.append)
    assert await heard.work(1, more=2) == 3
    assert (heard.name, heard.half(3)) == ("port", 1.5)
    port.error = ArtdaqDBError("away")
    with pytest.raises(ArtdaqDBError, match="away"):
        await heard.work(1, more=2)
    port.error = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await heard.work(1, more=2)
    assert [(call.method, call.subject, call.seconds >= 0) for call in calls] == [("work", 1, True)] * 3
    assert [type(call.error) for call in calls] == [type(None), ArtdaqDBError, asyncio.CancelledError]


def test_the_last_call_that_tells_of_the_backend_counts() -> None:
    """An answer clears a failure; what is no FHiCL, and a call that was cancelled, say nothing of the database."""
    contact = LastContact()
    assert contact.to_json() is None
    contact.note(ObservedCall("find", 7, 0.1, ArtdaqDBError("away", remedy="look")), 5.0)
    failed = {"ok": False, "at": 5.0, "error": "ArtdaqDBError: away", "remedy": "look"}
    assert contact.to_json() == failed
    contact.note(ObservedCall("insert", 7, 0.1, FhiclError("bad", file="a", line=1, column=1)), 6.0)
    contact.note(ObservedCall("insert", 7, 0.1, asyncio.CancelledError()), 7.0)
    assert contact.to_json() == failed
    contact.note(ObservedCall("find", 7, 0.1, None), 8.0)
    assert contact.to_json() == {"ok": True, "at": 8.0, "error": "", "remedy": ""}


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"database_uri": "filesystemdb:///db"}, FileSystemReader),
        ({"database_uri": "filesystemdb:///db", "conftoolp_dir": Path("/lib")}, FileSystemReader),
        ({"database_uri": "filesystemdb:///db", "use_tools": True}, FileSystemReader),
        ({"database_uri": "filesystemdb:///db", "use_tools": True, "remote_host": "there"}, ToolsDB),
        ({"database_uri": "mongodb://host/db"}, MongoDB),
        ({"database_uri": "mongodb://host/db", "conftoolp_dir": Path("/lib")}, MongoDB),
    ],
)
def test_what_reads_a_database_beside_its_daemon(settings: dict[str, object], kind: type) -> None:
    """Files are read as files and MongoDB through Motor, whatever writes to them; files elsewhere through the tools."""
    assert type(make_reader(ArtdaqDb(**settings))) is kind  # type: ignore[arg-type]


def test_a_database_that_nobody_reads() -> None:
    """A URI that means nothing is refused in words."""
    with pytest.raises(ConfigurationError, match="cannot write to redis:"):
        make_reader(ArtdaqDb(database_uri="redis://host"))
