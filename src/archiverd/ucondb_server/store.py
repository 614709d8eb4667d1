"""Folders, versions, tags and blobs in one SQLite file (the data model of ucondb_protocol.md section 1).

Write-ahead log with full synchronisation and one transaction per put: a version is visible exactly when it and its blob
are durable, and a killed server leaves only whole versions. Every method blocks and may raise sqlite3.Error. Methods
that write must be called from one thread at a time; others from any thread at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from archiverd.ucondb_server.spool import Spool

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE folders (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: a download may outlive its folder's contents
    folder INTEGER NOT NULL,
    data_key INTEGER NOT NULL,
    size INTEGER NOT NULL,
    adler32 INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    UNIQUE (folder, data_key),
    UNIQUE (folder, sha256)
);
CREATE TABLE pieces (blob INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (blob, number));
CREATE TABLE versions (
    folder INTEGER NOT NULL,
    id INTEGER NOT NULL,
    object TEXT NOT NULL,
    key TEXT,
    tv REAL,  -- NULL stands for NaN, which SQLite does not keep; both compare false
    tr REAL NOT NULL,
    data_key INTEGER NOT NULL,
    PRIMARY KEY (folder, id),
    UNIQUE (folder, object, key)
);
CREATE INDEX versions_by_time ON versions (folder, object, tr);
CREATE TABLE tags (
    folder INTEGER NOT NULL,
    version INTEGER NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (folder, version, tag)
) WITHOUT ROWID;
CREATE VIEW records AS
SELECT v.folder, v.id, v.object, v.key, v.tv, v.tr, v.data_key, b.size, b.adler32,
       (SELECT json_group_array(tag) FROM tags WHERE folder = v.folder AND version = v.id) AS tags
FROM versions v JOIN blobs b ON b.folder = v.folder AND b.data_key = v.data_key;
"""

_BY_ID = "SELECT * FROM records WHERE folder = :folder AND id = :id"
_BY_KEY = "SELECT * FROM records WHERE folder = :folder AND object = :object AND key = :key"
_LATEST = """
SELECT * FROM records WHERE folder = :folder AND object = :object AND tv <= :tv AND (:tr IS NULL OR tr < :tr)
AND (:tag IS NULL OR EXISTS (SELECT 1 FROM tags WHERE folder = :folder AND version = records.id AND tag = :tag))
ORDER BY tr DESC LIMIT 1
"""
_LISTING = """
SELECT * FROM records WHERE folder = :folder AND object = :object AND tv <= :tv AND (:tr IS NULL OR tr <= :tr)
AND (:tr_since IS NULL OR tr > :tr_since) ORDER BY tr DESC, tv
"""
_BY_IDS = "SELECT * FROM records WHERE folder = :folder AND id IN (SELECT value FROM json_each(:ids)) ORDER BY id"
_BY_KEYS = """
SELECT * FROM records WHERE folder = :folder AND object = :object
AND key IN (SELECT value FROM json_each(:keys)) ORDER BY key
"""
_BY_KEY_RANGE = """
SELECT * FROM records WHERE folder = :folder AND object = :object AND key IS NOT NULL
AND (:low IS NULL OR key >= :low) AND (:high IS NULL OR key < :high) ORDER BY key
"""

_Values: TypeAlias = "dict[str, object]"


class StoreError(Exception):
    """The directory holds no database of ours; the message names what is there."""


class KeyTakenError(Exception):
    """A version with this object and key was committed first."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Parameters of a put; ``tr`` is the time of the request in epoch seconds, ``tv`` is in seconds or NaN."""

    object: str
    key: str | None
    tv: float
    tr: float
    tags: tuple[str, ...]
    override: bool


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable version; ``size`` in bytes, ``adler32`` unsigned, ``tags`` sorted."""

    id: int
    object: str
    key: str | None
    tv: float
    tr: float
    data_key: int
    size: int
    adler32: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored blob: its number in the database and its size in bytes."""

    id: int
    size: int


class Store:
    """The database below one data directory."""

    def __init__(self, path: Path) -> None:
        """Open the database file ``path``, created if missing. Raise StoreError for any other content."""
        self._path = path
        self._threads = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._writer = self._connect()
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._writer.close()
            raise StoreError(f"{path} cannot be used as a database: {error}") from error
        except StoreError:
            self._writer.close()
            raise

    def close(self) -> None:
        """Close all connections; no other thread may be in a method."""
        for connection in (*self._readers, self._writer):
            connection.close()

    def create_folder(self, name: str, *, drop: bool = False) -> None:
        """Create the folder ``name`` unless it exists; with ``drop`` remove its versions, tags and blobs."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO folders (name) VALUES (?)", (name,))
            if drop:
                (folder,) = db.execute("SELECT id FROM folders WHERE name = ?", (name,)).fetchone()
                db.execute("DELETE FROM pieces WHERE blob IN (SELECT id FROM blobs WHERE folder = ?)", (folder,))
                for statement in (
                    "DELETE FROM blobs WHERE folder = ?",
                    "DELETE FROM versions WHERE folder = ?",
                    "DELETE FROM tags WHERE folder = ?",
                ):
                    db.execute(statement, (folder,))

    def folders(self) -> list[str]:
        """Return the names of all folders, sorted."""
        return [name for (name,) in self._rows("SELECT name FROM folders ORDER BY name", {})]

    def folder(self, name: str) -> int | None:
        """Return the number of the folder ``name``, or None."""
        rows = self._rows("SELECT id FROM folders WHERE name = :name", {"name": name})
        return rows[0][0] if rows else None

    def objects(self, folder: int) -> list[str]:
        """Return the names of all objects with a version, sorted."""
        sql = "SELECT DISTINCT object FROM versions WHERE folder = :folder ORDER BY object"
        return [name for (name,) in self._rows(sql, {"folder": folder})]

    def has_object(self, folder: int, name: str) -> bool:
        """Return whether the object has any version, whatever its ``tv``."""
        sql = "SELECT 1 FROM versions WHERE folder = :folder AND object = :object LIMIT 1"
        return bool(self._rows(sql, {"folder": folder, "object": name}))

    def tags(self, folder: int) -> list[str]:
        """Return all tags, sorted, each once per version that carries it."""
        return [tag for (tag,) in self._rows("SELECT tag FROM tags WHERE folder = :f ORDER BY tag", {"f": folder})]

    def version(self, folder: int, number: int) -> Version | None:
        """Return the version with the id ``number``."""
        return self._version(_BY_ID, {"folder": folder, "id": number})

    def version_of_key(self, folder: int, name: str, key: str) -> Version | None:
        """Return the version of object ``name`` under ``key``, whatever its ``tv``."""
        return self._version(_BY_KEY, {"folder": folder, "object": name, "key": key})

    def latest(self, folder: int, name: str, *, tag: str | None, tv: float, tr: float | None) -> Version | None:
        """Return the version recorded last among those with ``tag``, valid by ``tv`` and recorded before ``tr``."""
        return self._version(_LATEST, {"folder": folder, "object": name, "tag": tag, "tv": tv, "tr": tr})

    def listing(self, folder: int, name: str, *, tv: float, tr: float | None, tr_since: float | None) -> list[Version]:
        """Return the versions valid by ``tv``, recorded up to ``tr`` and after ``tr_since``; the newest come first."""
        values: _Values = {"folder": folder, "object": name, "tv": tv, "tr": tr, "tr_since": tr_since}
        return self._versions(_LISTING, values)

    def with_ids(self, folder: int, ids: Sequence[int]) -> list[Version]:
        """Return the versions with these ids; unknown ones are left out."""
        return self._versions(_BY_IDS, {"folder": folder, "ids": json.dumps(ids)})

    def with_keys(self, folder: int, name: str, keys: Sequence[str]) -> list[Version]:
        """Return the versions of an object with these keys; unknown ones are left out."""
        return self._versions(_BY_KEYS, {"folder": folder, "object": name, "keys": json.dumps(keys)})

    def in_key_range(self, folder: int, name: str, low: str | None, high: str | None) -> list[Version]:
        """Return the versions with ``low`` <= key < ``high``, in the order of the bytes of their texts."""
        return self._versions(_BY_KEY_RANGE, {"folder": folder, "object": name, "low": low, "high": high})

    def blob(self, folder: int, data_key: int) -> Blob | None:
        """Return the blob with the number ``data_key``."""
        sql = "SELECT id, size FROM blobs WHERE folder = :folder AND data_key = :data_key"
        rows = self._rows(sql, {"folder": folder, "data_key": data_key})
        return Blob(*rows[0]) if rows else None

    def piece(self, blob: Blob, number: int) -> bytes | None:
        """Return the piece ``number`` (from 0) of a blob; None past its end, or when its folder was dropped."""
        sql = "SELECT bytes FROM pieces WHERE blob = :blob AND number = :number"
        rows = self._rows(sql, {"blob": blob.id, "number": number})
        return rows[0][0] if rows else None

    def put(self, folder: int, draft: Draft, body: Spool) -> Version:
        """Store a version and its blob in one transaction; equal bytes share a blob. Raise KeyTakenError."""
        with self._transaction() as db:
            data_key = _blob_of(db, folder, body)
            if draft.override and draft.key is not None:
                released = (folder, draft.object, draft.key)
                db.execute("UPDATE versions SET key = NULL WHERE folder = ? AND object = ? AND key = ?", released)
            (number,) = db.execute("SELECT IFNULL(MAX(id), 0) + 1 FROM versions WHERE folder = ?", (folder,)).fetchone()
            row = (folder, number, draft.object, draft.key, draft.tv, draft.tr, data_key)
            try:
                db.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            except sqlite3.IntegrityError as error:
                raise KeyTakenError from error
            tags = tuple(sorted(set(draft.tags)))
            db.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(folder, number, tag) for tag in tags])
        return Version(number, draft.object, draft.key, draft.tv, draft.tr, data_key, body.size, body.adler32, tags)

    def add_tag(self, folder: int, version: int, tag: str) -> None:
        """Add a tag to an existing version; tags are unique in it."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", (folder, version, tag))

    def _connect(self) -> sqlite3.Connection:
        # Transactions are written out; each connection is used by one thread at a time.
        connection = None
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=60)
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.DatabaseError as error:
            if connection is not None:
                connection.close()
            raise StoreError(f"{self._path} cannot be used as a database: {error}") from error
        return connection

    def _prepare(self) -> None:
        (found,) = self._writer.execute("PRAGMA user_version").fetchone()
        if found not in (0, SCHEMA_VERSION):
            raise StoreError(f"{self._path} has format {found}, this program knows {SCHEMA_VERSION}")
        self._writer.execute("PRAGMA page_size = 16384")  # a put takes half the time it takes with 4096
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute(f"PRAGMA journal_size_limit = {64 << 20}")
        if found == 0:
            self._writer.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:  # a full disk may have ended it already
                self._writer.execute("ROLLBACK")
            raise

    def _rows(self, sql: str, values: _Values) -> list[tuple[Any, ...]]:
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            self._readers.append(connection)
        return connection.execute(sql, values).fetchall()

    def _versions(self, sql: str, values: _Values) -> list[Version]:
        return [_version_of(row) for row in self._rows(sql, values)]

    def _version(self, sql: str, values: _Values) -> Version | None:
        found = self._versions(sql, values)
        return found[0] if found else None


def _version_of(row: tuple[Any, ...]) -> Version:
    _folder, number, name, key, tv, tr, data_key, size, adler32, tags = row
    tv = math.nan if tv is None else tv
    return Version(number, name, key, tv, tr, data_key, size, adler32, tuple(sorted(json.loads(tags))))


def _blob_of(db: sqlite3.Connection, folder: int, body: Spool) -> int:
    """Return the data key of the blob with the bytes of ``body``; store them if new.

    Equal means equal byte by byte (section 1): a stored blob that was damaged since is not used again, and from now on
    is found by no hash.
    """
    sql = "SELECT id, data_key FROM blobs WHERE folder = ? AND sha256 = ?"
    known = db.execute(sql, (folder, body.sha256())).fetchone()
    if known is not None and _holds(db, known[0], body):
        return int(known[1])
    if known is not None:
        db.execute("UPDATE blobs SET sha256 = ? WHERE id = ?", (f"damaged {known[0]}".encode(), known[0]))
    (data_key,) = db.execute("SELECT IFNULL(MAX(data_key), 0) + 1 FROM blobs WHERE folder = ?", (folder,)).fetchone()
    blob = db.execute(
        "INSERT INTO blobs (folder, data_key, size, adler32, sha256) VALUES (?, ?, ?, ?, ?)",
        (folder, data_key, body.size, body.adler32, body.sha256()),
    ).lastrowid
    db.executemany("INSERT INTO pieces VALUES (?, ?, ?)", ((blob, n, piece) for n, piece in enumerate(body.pieces())))
    return int(data_key)


def _holds(db: sqlite3.Connection, blob: int, body: Spool) -> bool:
    """Return whether a stored blob still has the bytes of ``body``."""
    digest = hashlib.sha256()
    for (piece,) in db.execute("SELECT bytes FROM pieces WHERE blob = ? ORDER BY number", (blob,)):
        digest.update(piece)
    return digest.digest() == body.sha256()
