"""The journal's tables, and the way from one schema version to the next.

``runs`` has one row a run, ``events`` a bounded story of each run, ``manifests`` the fate and content of every file of
a run record (I7), as numbers of ``contents``, which runs share, ``holds`` the backends that are left alone for now,
``logs`` the failure logs as they were last written, ``state_files`` what the state files may say, ``pending`` the first
phase of runs that have only started, ``told`` and ``told_holds`` what people were notified of, ``marks`` what is done
once for all, ``destinations`` which databases runs were archived in, ``elsewhere`` what the configured ones have of
runs archived in others, ``site`` whose journal this is, ``looks`` since when open runs are as they are, ``clock`` how
the wall clock stood to the one that never jumps, ``missing`` which run directories are missing all at once,
``odd_names`` and ``odd_count`` what looks like a run and is none, ``sweep`` how far the comparison of the directories
has come, ``lost_files`` since when files of verified runs are missing, ``scrub`` when verified runs were last proven
again, ``standstill`` why that is not done now. Times are epoch seconds (UTC). ``PRAGMA user_version`` has the schema
version.

SQLite uses an index with a condition only for a query with the condition in the same words: who changes one changes
the other (``tests/journal/test_indexes.py``).
"""

from __future__ import annotations

import os
import sqlite3

from archiverd.core.errors import ArchiverError

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        run INTEGER PRIMARY KEY,
        state TEXT NOT NULL,
        stage TEXT NOT NULL,
        lane INTEGER NOT NULL,
        dead INTEGER NOT NULL DEFAULT 0,
        partition INTEGER,
        started INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        due REAL,
        error TEXT NOT NULL DEFAULT '',
        remedy TEXT NOT NULL DEFAULT '',
        configuration TEXT NOT NULL DEFAULT '',
        packed_on TEXT NOT NULL DEFAULT '',
        blob_length INTEGER,
        blob_sha256 TEXT NOT NULL DEFAULT '',
        puts INTEGER NOT NULL DEFAULT 0,
        validation TEXT NOT NULL DEFAULT '',
        start_line TEXT NOT NULL DEFAULT '',
        stop_line TEXT NOT NULL DEFAULT '',
        seen_at REAL NOT NULL,
        stopped_at REAL,
        ended_at REAL,
        imported_at REAL,
        verified_at REAL,
        changed_at REAL NOT NULL
    ) STRICT;
    CREATE INDEX runs_waiting ON runs (stage, lane, run) WHERE state IN ('queued', 'imported', 'upload_unknown');
    CREATE INDEX runs_due ON runs (due) WHERE due IS NOT NULL;
    CREATE INDEX runs_state ON runs (state);
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        run INTEGER NOT NULL,
        at REAL NOT NULL,
        event TEXT NOT NULL,
        state TEXT NOT NULL,
        note TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_run ON events (run, id);
    CREATE TABLE files (
        run INTEGER NOT NULL,
        name TEXT NOT NULL,
        entity TEXT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (run, name, entity)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE runs ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN source_gone INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN override INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;
    UPDATE runs SET listed = 1 WHERE state IN ('retry_wait', 'quarantined', 'conflict');
    CREATE INDEX runs_listed ON runs (stage, run) WHERE listed;
    CREATE TABLE holds (
        backend TEXT PRIMARY KEY,
        health TEXT NOT NULL,
        since REAL NOT NULL,
        cause TEXT NOT NULL,
        remedy TEXT NOT NULL,
        probes INTEGER NOT NULL,
        probe_at REAL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE logs (
        name TEXT PRIMARY KEY,
        runs TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE pending (
        run INTEGER PRIMARY KEY,
        done INTEGER NOT NULL DEFAULT 0,
        packed_on TEXT NOT NULL DEFAULT '',
        blob_sha256 TEXT NOT NULL DEFAULT '',
        puts INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        due REAL,
        error TEXT NOT NULL DEFAULT ''
    ) STRICT;
    """,
    """
    CREATE TABLE told (
        teller TEXT NOT NULL,
        run INTEGER NOT NULL,
        stage TEXT NOT NULL,
        lasting INTEGER NOT NULL,
        event INTEGER NOT NULL,
        PRIMARY KEY (teller, run)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE told_holds (
        teller TEXT NOT NULL,
        backend TEXT NOT NULL,
        since REAL NOT NULL,
        PRIMARY KEY (teller, backend)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE state_files (
        stage TEXT PRIMARY KEY,
        texts TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    DROP INDEX runs_waiting;
    CREATE INDEX runs_waiting ON runs (stage, lane, run DESC) WHERE state IN ('queued', 'imported', 'upload_unknown');
    CREATE INDEX runs_oldest ON runs (stage, run) WHERE state IN ('queued', 'imported', 'upload_unknown');
    CREATE INDEX runs_not_imported ON runs (run)
        WHERE NOT (imported_at IS NOT NULL OR state IN ('verified', 'waived', 'ignored'));
    CREATE INDEX runs_import_begun ON runs (run)
        WHERE imported_at IS NOT NULL OR state = 'importing' OR (stage = 'import' AND (attempts > 0 OR error <> ''));
    CREATE INDEX runs_not_migrated ON runs (run) WHERE NOT (state IN ('verified', 'waived', 'ignored'));
    CREATE INDEX runs_migration_begun ON runs (run) WHERE puts > 0 OR verified_at IS NOT NULL;
    CREATE INDEX runs_dead ON runs (state, run) WHERE dead AND NOT superseded;
    """,
    """
    CREATE TABLE marks (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    INSERT INTO marks SELECT 'taken over' WHERE EXISTS (SELECT 1 FROM runs);
    """,
    """
    ALTER TABLE runs ADD COLUMN waits_for TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN listing TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN incomplete INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN without TEXT NOT NULL DEFAULT '[]';
    CREATE TABLE contents (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        entity TEXT NOT NULL,
        reason TEXT NOT NULL,
        size INTEGER,
        sha256 BLOB NOT NULL
    ) STRICT;
    CREATE TABLE manifests (run INTEGER PRIMARY KEY, contents TEXT NOT NULL) STRICT;
    INSERT INTO contents (name, entity, reason, sha256) SELECT DISTINCT name, entity, reason, x'' FROM files;
    CREATE UNIQUE INDEX contents_same ON contents (sha256, name, entity, reason, ifnull(size, -1));
    INSERT INTO manifests SELECT run, group_concat(id) FROM files JOIN contents USING (name, entity, reason)
        GROUP BY run;
    DROP TABLE files;
    CREATE TABLE looks (
        run INTEGER PRIMARY KEY,
        digest TEXT NOT NULL,
        wall REAL NOT NULL,
        uptime REAL NOT NULL,
        boot TEXT NOT NULL,
        jumped REAL NOT NULL,
        newest REAL NOT NULL
    ) STRICT;
    CREATE TABLE clock (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        boot TEXT NOT NULL,
        ahead REAL NOT NULL,
        jumped REAL NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE runs ADD COLUMN no_end INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE missing (id INTEGER PRIMARY KEY CHECK (id = 0), runs TEXT NOT NULL, at REAL NOT NULL) STRICT;
    """,
    """
    ALTER TABLE runs ADD COLUMN changed TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN reused TEXT NOT NULL DEFAULT '';
    CREATE INDEX runs_changed ON runs (run) WHERE changed <> '' OR reused <> '';
    CREATE INDEX runs_verified ON runs (verified_at) WHERE verified_at IS NOT NULL;
    CREATE TABLE sweep (id INTEGER PRIMARY KEY CHECK (id = 0), below INTEGER NOT NULL) STRICT;
    """,
    """
    ALTER TABLE runs ADD COLUMN validated INTEGER NOT NULL DEFAULT 0;
    UPDATE runs SET validated = 1 WHERE validation <> '';
    CREATE INDEX runs_unvalidated ON runs (run) WHERE state = 'verified' AND NOT validated;
    CREATE TABLE odd_names (name TEXT PRIMARY KEY, rule TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE odd_count (id INTEGER PRIMARY KEY CHECK (id = 0), count INTEGER NOT NULL) STRICT;
    """,
    """
    ALTER TABLE runs ADD COLUMN blob_adler32 INTEGER;
    ALTER TABLE runs ADD COLUMN blob_fault TEXT;
    ALTER TABLE runs ADD COLUMN proven_at REAL;
    ALTER TABLE runs ADD COLUMN proofs INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN checked_at REAL;
    ALTER TABLE runs ADD COLUMN recheck_at REAL;
    UPDATE runs SET proven_at = verified_at, checked_at = verified_at, proofs = 1 WHERE verified_at IS NOT NULL;
    UPDATE runs SET recheck_at = verified_at + 604800 WHERE verified_at > strftime('%s', 'now') - 604800;
    CREATE INDEX runs_checked ON runs (state, recheck_at, checked_at) WHERE state = 'verified';
    CREATE INDEX runs_proven ON runs (proven_at) WHERE state = 'verified';
    CREATE INDEX runs_faulty ON runs (run) WHERE blob_fault IS NOT NULL;
    CREATE TABLE scrub (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        early_at REAL NOT NULL DEFAULT 0,
        early INTEGER NOT NULL DEFAULT 0,
        counted_at REAL NOT NULL DEFAULT 0,
        others_at REAL NOT NULL DEFAULT 0,
        looked_up_at REAL NOT NULL DEFAULT 0,
        below INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE standstill (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        since REAL NOT NULL,
        fault TEXT NOT NULL,
        why TEXT NOT NULL,
        remedy TEXT NOT NULL,
        runs TEXT NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE destinations (
        id INTEGER PRIMARY KEY,
        artdaqdb TEXT NOT NULL,
        server TEXT NOT NULL,
        folder TEXT NOT NULL,
        object TEXT NOT NULL,
        released INTEGER NOT NULL DEFAULT 0,
        UNIQUE (artdaqdb, server, folder, object)
    ) STRICT;
    CREATE TABLE site (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        name TEXT NOT NULL,
        records TEXT NOT NULL,
        imported_to INTEGER,
        proven_to INTEGER
    ) STRICT;
    CREATE TABLE elsewhere (
        destination INTEGER NOT NULL,
        run INTEGER NOT NULL,
        found TEXT NOT NULL,
        note TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (destination, run)
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE runs ADD COLUMN imported_to INTEGER;
    ALTER TABLE runs ADD COLUMN proven_to INTEGER;
    CREATE INDEX runs_imported_to ON runs (imported_to, run) WHERE state = 'verified';
    CREATE INDEX runs_proven_to ON runs (proven_to, run) WHERE state = 'verified';
    DROP INDEX runs_checked;
    DROP INDEX runs_proven;
    CREATE INDEX runs_checked ON runs (state, proven_to, recheck_at, checked_at) WHERE state = 'verified';
    CREATE INDEX runs_proven ON runs (proven_to, proven_at) WHERE state = 'verified';
    """,
    """
    DROP INDEX contents_same;
    CREATE INDEX contents_same ON contents (substr(sha256, 1, 8), name);
    """,
    """
    CREATE TABLE lost_files (
        run INTEGER NOT NULL,
        name TEXT NOT NULL,
        wall REAL NOT NULL,
        uptime REAL NOT NULL,
        boot TEXT NOT NULL,
        PRIMARY KEY (run, name)
    ) STRICT, WITHOUT ROWID;
    """,
)

VERSION = len(MIGRATIONS)

EVENTS_KEPT = 200
"""Most events kept of one run; the first and the newest stay."""


def select_version(db: sqlite3.Connection) -> int:
    """Return the journal's schema version; 0 where its tables are not made yet."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def select_damage(db: sqlite3.Connection) -> str:
    """Return the first thing that is wrong with tables and pages, indexes left out; empty if sound."""
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    return "" if found == "ok" else str(found)


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring the journal to this program's schema version, in one transaction: a reader sees it before or after.

    Raise ArchiverError if a newer archiverd wrote the journal, or another program the file.
    """
    version = select_version(connection)
    if version > VERSION:
        raise ArchiverError(
            f"The journal has schema version {version}; this archiverd knows versions up to {VERSION}",
            remedy="start the newer archiverd again, or set the journal aside: it can be rebuilt from the databases",
        )
    refuse_foreign(connection, version)
    if version < VERSION:
        steps = ";".join(MIGRATIONS[version:])
        try:
            connection.executescript(f"BEGIN IMMEDIATE;{steps};PRAGMA user_version = {VERSION};COMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def refuse_foreign(connection: sqlite3.Connection, version: int) -> None:
    """Raise ArchiverError if the tables of a file with this schema version are not a journal's.

    Those of a newer program are its own business.
    """
    if version > VERSION:
        return
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if {"runs", "events"} <= tables if version else not tables:
        return
    raise ArchiverError(
        f"The journal's file is a database of another program: it has the tables {', '.join(sorted(tables)) or 'none'}",
        remedy="see that app.work_dir is right; else move journal.sqlite away and start again: directories and "
        "databases show what was archived",
    )


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the journal file: WAL, every commit synced (FULL), explicit transactions.

    A read-only connection sees the last commit of a running daemon and changes nothing. Where the directory cannot be
    written and no daemon has the journal open, the file is opened as immutable, for SQLite cannot make its -shm file.
    """
    uri = f"file:{_quoted(path)}?mode={'ro' if read_only else 'rwc'}"
    if read_only and not os.path.exists(f"{path}-shm") and not os.access(os.path.dirname(path) or ".", os.W_OK):
        uri += "&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10.0)
    connection.row_factory = sqlite3.Row
    if not read_only:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def _quoted(path: str) -> str:
    """Quote ``path`` for an SQLite URI (``?``, ``#`` and ``%`` have a meaning there)."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
