"""The database by itself: races for a key, broken bodies, foreign formats."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from archiverd.ucondb_server.digest import Credentials
from archiverd.ucondb_server.instance import Instance, RequestContext
from archiverd.ucondb_server.replies import Refusal
from archiverd.ucondb_server.spool import PIECE, Spool
from archiverd.ucondb_server.store import Draft, KeyTakenError, Store, StoreError
from archiverd.ucondb_server.target import Parameters
from archiverd.ucondb_server.write_endpoints import check, locate, store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

from tests.ucondb_server.conftest import digest


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Store]:
    """A database with the folder ``test01``."""
    opened = Store(tmp_path / "ucondb.sqlite")
    opened.create_folder("test01")
    yield opened
    opened.close()


def draft(key: str | None, *, override: bool = False) -> Draft:
    """Return a put of the object ``o``."""
    return Draft("o", key, 0.0, 1.0, (), override)


def spooled(directory: Path, data: bytes, limit: int = 1 << 28) -> Spool:
    """Return ``data`` as a body that came in."""
    body = Spool(directory, limit=limit)
    body.add(data)
    return body


def test_the_loser_of_a_race_is_told_in_the_words_of_the_unique_index(database: Store, tmp_path: Path) -> None:
    """Two puts that both found the key free: the second one to store gets the recorded second wording."""
    site = Instance(database, "ucon_prd", Credentials("u", "p"))
    values = {"folder": ("test01",), "object": ("race",), "key": ("race1795473900_0",)}
    login = digest("POST", "/x", "ucon_prd.test01", user="u", password="p").encode()
    call = RequestContext("data", "POST", Parameters(values), login, 1.0)
    place = locate(site, call)
    with spooled(tmp_path, b"racer 0\n") as body:
        first, second = check(site, call, place, body), check(site, call, place, body)
        assert store(site, call, place, first, body).status == 200
        with pytest.raises(Refusal) as refused:
            store(site, call, place, second, body)
        with pytest.raises(Refusal) as later:
            check(site, call, place, body)
    assert refused.value.reply.status == 500
    assert (
        '<h3>duplicate key value violates unique constraint "test01_object_key_inx"\n'
        "DETAIL:  Key (object, key)=(race, race1795473900_0) already exists.\n</h3>"
    ) in refused.value.reply.body.decode()
    assert b"<h3>Version of object race with key race1795473900_0 already exists</h3>" in later.value.reply.body


def test_a_blob_above_the_real_limit_is_refused_after_the_other_checks(database: Store, tmp_path: Path) -> None:
    """Too large a body gets PostgreSQL's error text, but a taken key is reported first."""
    site = Instance(database, "ucon_prd", Credentials("u", "p"))
    login = digest("POST", "/x", "ucon_prd.test01", user="u", password="p").encode()
    call = RequestContext(
        "data", "POST", Parameters({"folder": ("test01",), "object": ("o",), "key": ("1",)}), login, 1.0
    )
    place = locate(site, call)
    with spooled(tmp_path, b"12345", limit=4) as body:
        with pytest.raises(Refusal) as refused:
            check(site, call, place, body)
        assert b"<h3>invalid memory alloc request size 1073741824\n</h3>" in refused.value.reply.body
        with spooled(tmp_path, b"1234", limit=4) as small:
            database.put(place.folder.number, check(site, call, place, small), small)
        with pytest.raises(Refusal) as refused:
            check(site, call, place, body)
        assert b"already exists" in refused.value.reply.body


def test_a_put_that_fails_half_way_leaves_nothing(database: Store, tmp_path: Path) -> None:
    """When the body cannot be read to its end, neither blob nor version nor number is taken."""

    class Broken(Spool):
        def pieces(self) -> Iterator[bytes]:
            yield b"begin"
            raise OSError(5, "Input/output error")

    folder = database.folder("test01")
    assert folder is not None
    broken = Broken(tmp_path, limit=100)
    broken.add(b"begin and end")
    with pytest.raises(OSError, match="Input/output"):
        database.put(folder, draft("1"), broken)
    assert database.objects(folder) == []
    with spooled(tmp_path, b"begin and end") as body:
        version = database.put(folder, draft("1"), body)
    assert (version.id, version.data_key) == (1, 1)
    blob = database.blob(folder, 1)
    assert blob is not None
    assert database.piece(blob, 0) == b"begin and end"


def test_a_taken_key_takes_no_blob_and_no_number(database: Store, tmp_path: Path) -> None:
    """The loser of a race leaves no row behind; override moves the key and keeps the old version without one."""
    folder = database.folder("test01")
    assert folder is not None
    for data, key, override in ((b"a", "1", False), (b"c", "1", True)):
        with spooled(tmp_path, data) as body:
            database.put(folder, draft(key, override=override), body)
        with spooled(tmp_path, b"b") as body, pytest.raises(KeyTakenError):
            database.put(folder, draft("1"), body)
    first, second = database.version(folder, 1), database.version(folder, 2)
    assert first is not None
    assert second is not None
    assert (first.key, first.data_key, second.key, second.data_key) == (None, 1, "1", 2)
    assert database.blob(folder, 3) is None


def test_a_damaged_blob_is_not_taken_for_an_equal_one(database: Store, tmp_path: Path) -> None:
    """Equal bytes share a blob as long as what is stored really has them (section 1: compared byte by byte)."""
    folder = database.folder("test01")
    assert folder is not None
    for key in ("1", "2"):
        with spooled(tmp_path, b"the same") as body:
            assert database.put(folder, draft(key), body).data_key == 1
    database._writer.execute("UPDATE pieces SET bytes = ?", (b"the sbme",))
    for key in ("3", "4"):
        with spooled(tmp_path, b"the same") as body:
            assert database.put(folder, draft(key), body).data_key == 2
    blob = database.blob(folder, 2)
    assert blob is not None
    assert database.piece(blob, 0) == b"the same"


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5])
def test_a_spool_gives_back_what_it_took(tmp_path: Path, size: int) -> None:
    """Bytes added in uneven parts come out in pieces, in order, from memory or from the file."""
    data = bytes(range(256)) * (size // 256 + 1)
    with Spool(tmp_path, limit=1 << 28) as body:
        for start in range(0, size, 300_007):
            body.add(data[start : min(start + 300_007, size)])
        pieces = list(body.pieces())
    assert b"".join(pieces) == data[:size]
    assert all(0 < len(piece) <= PIECE for piece in pieces)
    assert body.size == size


def test_a_database_of_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    """A format this program does not know is refused by name."""
    path = tmp_path / "ucondb.sqlite"
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreError, match="has format 99"):
        Store(path)
