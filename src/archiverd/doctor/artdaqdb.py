"""artdaqDB: its schema, and the way to it through the backend that is configured. Nothing is written to it."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from archiverd.artdaqdb.backends import choose_backend, make_artdaqdb
from archiverd.artdaqdb.filesystem.index import INDEX, Index
from archiverd.artdaqdb.filesystem.lock import LOCK
from archiverd.artdaqdb.filesystem.redo import Redo
from archiverd.artdaqdb.filesystem.repair import INTENT
from archiverd.artdaqdb.filesystem.store import SCHEME, parse_uri
from archiverd.artdaqdb.filesystem.tree import demand_index
from archiverd.artdaqdb.rules import CONFIGURATION, SCHEMA_FILE, SYSTEM_LAYOUT, SYSTEM_METADATA
from archiverd.artdaqdb.schema import load_schema
from archiverd.config.paths import lock_path
from archiverd.detached import run_detached
from archiverd.disk import RealDisk
from archiverd.doctor import experiment_programs
from archiverd.doctor.examination import LONGEST_SECONDS, USUAL_SECONDS, Examination
from archiverd.doctor.files import can_be_made, nearest, obstacle, permissions
from archiverd.doctor.finding import Finding, Status, failed, ok, warning
from archiverd.doctor.process_state import command_line
from archiverd.doctor.subject import user_name
from archiverd.process import lock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from archiverd.config.models import ArtdaqDb, Settings

URI = "artdaqDB URI"
DIRECTORY, INDEXES, GROUP = "artdaqDB directory", "artdaqDB indexes", "artdaqDB group access"
WRITER = "artdaqDB writer"
SERVER, LOGIN = "artdaqDB server", "artdaqDB login"

SERVER_SECONDS = 4.0
"""Longest time of one command to a MongoDB server."""
LARGEST_INDEX = 64_000_000
"""Largest index.json in bytes that is read here; a larger one (many thousand runs) takes seconds."""


def examinations(settings: Settings) -> list[Examination]:
    """Return the examinations of this module, in the order of the report."""
    database, backend = settings.artdaq_db, choose_backend(settings.artdaq_db)
    found = [Examination((SCHEMA_FILE,), lambda: _schema(database)), _database(database, backend)]
    if database.database_uri.startswith(SCHEME) and backend != "tools":
        found.append(Examination((WRITER,), lambda: _writer(settings)))
    if backend == "conftoolp":
        found += experiment_programs.conftoolp_examinations(database, USUAL_SECONDS)
    if backend == "tools":
        found += experiment_programs.tools_examinations(database)
    return found


def _database(database: ArtdaqDb, backend: str) -> Examination:
    """Return the examination of the database itself, where it can be reached without the experiment's programs."""
    on_files, on_another_host = database.database_uri.startswith(SCHEME), backend == "tools" and database.remote_host
    names: tuple[str, ...] = ()
    further: Callable[[ArtdaqDb], AsyncGenerator[Finding]] | None = None
    if on_files and not on_another_host:
        names, further = (DIRECTORY, INDEXES, GROUP), _files
    elif not on_files and backend != "conftoolp":
        names, further = (SERVER, LOGIN), _server

    async def run() -> AsyncGenerator[Finding]:
        make_artdaqdb(database, workers=1)
        yield ok(URI, f"{database.database_uri.partition('://')[0]}, through {backend}")
        if further is not None:
            async with contextlib.aclosing(further(database)) as findings:
                async for finding in findings:
                    yield finding

    return Examination((URI, *names), run, LONGEST_SECONDS)


async def _files(database: ArtdaqDb) -> AsyncGenerator[Finding]:
    """Check a FileSystemDB's directory until something is wrong."""
    root = parse_uri(database.database_uri)
    for check in (_directory, _indexes, _group):
        finding = await run_detached(lambda check=check: check(root))  # type: ignore[misc]
        yield finding
        if finding.status is Status.FAILED:
            return


async def _schema(database: ArtdaqDb) -> AsyncGenerator[Finding]:
    """Is schema.fcl there, and understood?"""
    schema = await run_detached(lambda: load_schema(database.fcl_conf_dir))
    where = "the one shipped with archiverd" if database.fcl_conf_dir is None else database.fcl_conf_dir / SCHEMA_FILE
    yield ok(SCHEMA_FILE, f"{where}: {len(schema.rules)} rules")


def _directory(root: Path) -> Finding:
    """May the database's directory be read and written, its collections too?"""
    if not os.path.lexists(root):
        if can_be_made(root):
            return ok(DIRECTORY, f"{root} is not there yet; the first import makes it")
        why = obstacle(nearest(root))
        return failed(
            DIRECTORY,
            f"Failed to get configurations: {root} is not there and {user_name()} cannot make it{why}",
            f"correct artdaq_db.database_uri, or mkdir -p {root} && chown {user_name()} {root} (as root)",
        )
    remedy = f"chown -R {user_name()} {root} and chmod -R u+rwX {root} (as root)"
    try:
        with os.scandir(root) as entries:
            directories = [root, *(root / entry.name for entry in entries if entry.is_dir())]
    except NotADirectoryError:
        return failed(DIRECTORY, f"Failed to get configurations: {root} is a file", "correct artdaq_db.database_uri")
    except OSError as error:
        return failed(DIRECTORY, f"Failed to get configurations: {error}{obstacle(root)}", remedy)
    wanted = [
        *((one, os.R_OK | os.W_OK | os.X_OK) for one in directories),
        *((one / INDEX, os.R_OK) for one in directories),
    ]
    for path, mode in wanted:
        if os.path.lexists(path) and not os.access(path, mode, effective_ids=True):
            message = f"Failed to get configurations: Permission denied: {path}{obstacle(path)}"
            return failed(DIRECTORY, message, remedy)
    return ok(DIRECTORY, f"{root} ({permissions(root)})")


def _indexes(root: Path) -> Finding:
    """Can every collection's index.json be understood? The documents are what `archiverd artdaqdb check` reads.

    Raise ArtdaqDBError, whose remedy makes it anew, for the first that cannot be, or is lost.
    """
    runs = collections = 0
    for collection in sorted(_collections(root)):
        path = collection / INDEX
        try:
            length = path.stat().st_size
            if length > LARGEST_INDEX:
                return ok(INDEXES, f"{path} has {length} bytes: `archiverd artdaqdb check` reads it")
            index = Index.parse(path.read_bytes(), str(path))
        except FileNotFoundError:
            if not (root / INTENT).exists():
                demand_index(collection, Redo(root, RealDisk()))
            continue  # a collection that is just being made
        collections += 1
        if collection.name == SYSTEM_LAYOUT:
            runs = len(index.keys(CONFIGURATION))
    return ok(INDEXES, f"{collections} collections, {runs} configurations; `archiverd artdaqdb check` reads it all")


def _group(root: Path) -> Finding:
    """May the group read what was written? A narrow umask of an earlier writer shows here."""
    if not root.is_dir():
        return ok(GROUP, "nothing is there yet")
    for path in (root, *sorted(_collections(root)), *(one / INDEX for one in sorted(_collections(root)))):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue
        if not mode & stat.S_IRGRP:
            return warning(
                GROUP,
                f"{path} may not be read by its group ({permissions(path)}): other users of artdaqDB are locked out",
                f'chmod -R g+rX {root}; app.umask = "0022" keeps it so, for archiverd',
            )
    return ok(GROUP, "the group may read it")


async def _writer(settings: Settings) -> AsyncGenerator[Finding]:
    """Check that no other archiverd, of another work directory, writes to the same database."""
    root = parse_uri(settings.artdaq_db.database_uri)
    holder, ours = await run_detached(lambda: (lock.find_holder(root / LOCK), lock.find_holder(lock_path(settings))))
    if holder is None or not holder.held:
        yield ok(WRITER, "nobody writes to it now")
    elif ours is not None and ours.held and ours.pid == holder.pid:
        yield ok(WRITER, f"process {holder.pid}, which works on {settings.app.work_dir}")
    else:
        running = None if holder.pid is None else command_line(holder.pid)
        yield failed(
            WRITER,
            f"Another archiverd (process {holder.pid or 'unknown'}: {running or 'not seen here'}) writes to {root}",
            "one writer at a time: stop the other, or point one of them at another database_uri",
        )


def _collections(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        return [root / one.name for one in entries if one.is_dir() and one.name != SYSTEM_METADATA]


async def _server(database: ArtdaqDb) -> AsyncGenerator[Finding]:
    """Ask a MongoDB server whether it is there, takes our login, and lets us write."""
    from archiverd.artdaqdb.mongo.connection import Connection  # noqa: PLC0415 - a heavy import only MongoDB needs
    from archiverd.artdaqdb.mongo.uri import parse_uri as parse_address  # noqa: PLC0415 - only where it is configured

    address = parse_address(database.database_uri, os.environ)
    connection = Connection(address, min(database.call_timeout_seconds, SERVER_SECONDS))
    await connection.open()
    try:
        await connection.ping()
        yield ok(SERVER, f"{address.shown} answers")
        collections = await connection.collections("Failed to get configurations")
        if await connection.may_write() is False:
            yield failed(
                LOGIN,
                f"Failed to get configurations: the user may read {address.database} but not write to it",
                f"have the MongoDB administrators grant the role readWrite on {address.database}",
            )
            return
        yield ok(LOGIN, f"{len(collections)} collections of {address.database} can be listed")
    finally:
        await connection.close()
