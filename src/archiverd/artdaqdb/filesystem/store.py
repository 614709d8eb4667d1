"""The built-in engine behind the `ArtdaqDB` port: `FileSystemDB`.

One thread writes (`tree`); exports read documents in other threads. An index.json is published at a bounded share of
time: at most every max(1 s, 20 x the time the last one took), and at closing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from archiverd import fhicl, log
from archiverd.artdaqdb.documents import Place, stored
from archiverd.artdaqdb.filesystem.index import CONFIGURATION, VERSION
from archiverd.artdaqdb.filesystem.tree import SYSTEM_LAYOUT, Tree
from archiverd.artdaqdb.port import ArchivedRun, Entity, ExportedEntity
from archiverd.core.errors import ArtdaqDBError, ConfigurationError, FhiclError, Retry
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from archiverd.disk import Disk

T = TypeVar("T")

_log = log.get("Import")

SCHEME = "filesystemdb://"
SHORTEST_PUBLISH_SECONDS = 1.0
PUBLISH_SHARE = 20
"""Between two publishes at least so many times the last one's duration passes."""

_CONFIGURATION = re.compile(r"([1-9][0-9]{0,17})/(.+)")
_UPDATE = re.compile(r"v([1-9][0-9]{0,8})")


class FileSystemDB:
    """artdaqDB as a directory tree; see `archiverd.artdaqdb.port.ArtdaqDB`."""

    def __init__(
        self,
        uri: str,
        *,
        disk: Disk | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
        new_oid: Callable[[], str] | None = None,
    ) -> None:
        """Name the database by its URI. Raise ConfigurationError if it is not ``filesystemdb:///absolute/path``."""
        self._root = path_of(uri)
        self._tree = Tree(self._root, uri, disk or RealDisk(), clock, new_oid or make_oid)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="artdaqdb")
        self._changed = asyncio.Event()
        self._publisher: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See ``ArtdaqDB.open``."""
        await self._write(self._tree.open)
        for path in await self._write(self._tree.unindexed):
            _log.warning(f"artdaqDB: {path} stands in no index; it is not ours and left alone")
        self._publisher = asyncio.create_task(self._publish_now_and_then(), name="artdaqdb-publish")

    async def close(self) -> None:
        """See ``ArtdaqDB.close``."""
        if self._publisher is not None:
            self._publisher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._publisher
        await self._write(self._tree.close)
        self._writer.shutdown()

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """See ``ArtdaqDB.list_runs``."""
        return await self._write(self._list)

    async def find(self, run: int) -> ArchivedRun | None:
        """See ``ArtdaqDB.find``."""
        return await self._write(lambda: self._find(run))

    async def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        """See ``ArtdaqDB.insert``.

        A run that someone else left half-written (documents of it, but none in SystemLayout) is completed if what is
        there is what was meant, and refused otherwise.
        """
        stored_now = await self._write(lambda: self._insert(run, configuration, entities))
        self._changed.set()
        return stored_now

    async def update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        """See ``ArtdaqDB.update``."""
        version = await self._write(lambda: self._update(run, configuration, entities))
        self._changed.set()
        return version

    async def export(self, run: int) -> Sequence[ExportedEntity]:
        """See ``ArtdaqDB.export``."""
        return await asyncio.to_thread(_told, lambda: self._export(run), self._root)

    async def _write(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the one writing thread; tell its failures in an operator's words."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, lambda: _told(work, self._root))

    async def _publish_now_and_then(self) -> None:
        """Publish changed indexes at a bounded share of time, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            began = time.monotonic()
            try:
                await self._write(self._tree.publish)
            except ArtdaqDBError as error:  # nothing is lost: the redo file holds it; it is tried again
                log.failure(_log, error)
                self._changed.set()
            took = time.monotonic() - began
            await asyncio.sleep(max(SHORTEST_PUBLISH_SECONDS, PUBLISH_SHARE * took))

    def _list(self) -> dict[int, ArchivedRun]:
        self._tree.refresh()
        index = self._tree.indexes.get(SYSTEM_LAYOUT)
        if index is None:
            return {}
        updates: dict[str, int] = {}
        archived: dict[int, ArchivedRun] = {}
        configurations = index.sections[CONFIGURATION]
        for version in index.sections[VERSION]:
            configuration, number = _split(version, configurations)
            updates[configuration] = max(number, updates.get(configuration, 0))
        for configuration in index.sections[VERSION]:
            match = _CONFIGURATION.fullmatch(configuration)
            if match is not None and configuration in configurations:
                run = int(match.group(1))
                archived[run] = ArchivedRun(run, configuration, updates[configuration])
        return archived

    def _find(self, run: int) -> ArchivedRun | None:
        self._tree.refresh()
        index = self._tree.indexes.get(SYSTEM_LAYOUT)
        if index is None:
            return None
        prefix = f"{run}/"
        versions = index.sections[VERSION]
        for configuration in index.sections[CONFIGURATION]:
            if configuration.startswith(prefix) and configuration in versions:
                return ArchivedRun(run, configuration, _newest_update(versions, configuration))
        return None

    def _insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        full = f"{run}/{configuration}"
        found = self._find(run)
        if found is not None and found.configuration != full:
            raise _already(found.configuration, run, f"this record's configuration is {configuration}")
        missing = self._missing(full, full, run, entities)
        if missing:
            self._tree.store(missing, full, full, run)
        return bool(missing)

    def _update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        full = f"{run}/{configuration}"
        found = self._find(run)
        if found is None or found.configuration != full:
            raise ArtdaqDBError(
                f"Configuration {full} not found for update",
                remedy=f"find out what removed it from artdaqDB; `archiverd why {run}` tells when it was imported",
                run=run,
            )
        if found.update:
            newest = f"{full}v{found.update}"
            with contextlib.suppress(ArtdaqDBError):
                missing = self._missing(full, newest, run, entities)
                if missing:
                    self._tree.store(missing, full, newest, run)
                return newest
        version = f"{full}v{found.update + 1}"
        self._tree.store(entities, full, version, run)
        return version

    def _missing(self, configuration: str, version: str, run: int, entities: Sequence[Entity]) -> list[Entity]:
        """Return those of ``entities`` that ``version`` does not hold yet.

        Raise ArtdaqDBError if it holds other content: a run is never changed by storing it again.
        """
        held = {
            (document.collection, document.entities[0]): document.fcl
            for document in self._documents(configuration, run)
            if document.version == version
        }
        if not held:
            return list(entities)
        missing = []
        for entity in entities:
            fcl = held.pop((entity.collection, entity.name), None)
            if fcl is None:
                missing.append(entity)
            elif fcl != _exported(entity):
                raise _already(configuration, run, f"its entity {entity.name} is another")
        if held:
            names = ", ".join(sorted(name for _, name in held))
            raise _already(configuration, run, f"it holds what this record does not: {names}")
        return missing

    def _export(self, run: int) -> list[ExportedEntity]:
        with self._tree.lock:
            found = self._find_for_reading(run)
        newest: dict[tuple[str, str], tuple[int, ExportedEntity]] = {}
        for document in self._documents(found, run):
            number = _split(document.version, (found,))[1]
            one = ExportedEntity(document.collection, document.entities[0], document.version, document.fcl)
            key = (one.collection, one.name)
            if key not in newest or number > newest[key][0]:
                newest[key] = (number, one)
        return [newest[key][1] for key in sorted(newest)]

    def _find_for_reading(self, run: int) -> str:
        """Return the configuration of an archived run; the caller holds the tree's lock."""
        index = self._tree.indexes.get(SYSTEM_LAYOUT)
        prefix = f"{run}/"
        for configuration in index.sections[CONFIGURATION] if index is not None else ():
            if configuration.startswith(prefix):
                return configuration
        raise ArtdaqDBError(
            f"Run {run} is not in artdaqDB",
            remedy="it was there when it was imported: find out what removed it; nothing was uploaded",
            run=run,
        )

    def _documents(self, configuration: str, run: int) -> list[fhicl.Document]:
        """Read every document indexed under ``configuration``, each proven to be the one asked for."""
        with self._tree.lock:
            paths = [
                (collection, self._root / collection / f"{oid}.json")
                for collection, index in self._tree.indexes.items()
                for oid in index.of(CONFIGURATION, configuration)
            ]
        return [self._document(path, collection, configuration, run) for collection, path in paths]

    def _document(self, path: Path, collection: str, configuration: str, run: int) -> fhicl.Document:
        """Read one document. Raise ArtdaqDBError if it is missing, damaged, or not the one its index promises."""
        try:
            document = fhicl.read_document(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise _wrong(path, run, "is in the index but not there") from None
        except FhiclError as error:
            raise _wrong(path, run, f"is damaged: {error}") from error
        if configuration not in document.configurations:
            raise _wrong(path, run, f"is not of configuration {configuration}")
        if len(document.entities) != 1 or document.collection != collection:
            raise _wrong(path, run, f"is not one entity of collection {collection}")
        if document.runs and str(run) not in document.runs:
            raise _wrong(path, run, f"is not of run {run}")
        return document


def path_of(uri: str) -> Path:
    """Return the directory a URI names (A.1). Raise ConfigurationError if the library would not read it so."""
    path = uri.removeprefix(SCHEME)
    if path == uri or not path.startswith("/"):
        raise ConfigurationError(
            f"Configuration validation failed: artdaq_db.database_uri is not filesystemdb:///absolute/path: {uri}",
            remedy="note the three slashes: filesystemdb:// and an absolute path",
        )
    if re.search(r"[\s$`\"'\\*?\[~&|;<>(){}#]", path):
        raise ConfigurationError(
            f"Configuration validation failed: artdaq_db.database_uri holds a character artdaqDB cannot take: {uri}",
            remedy="the library expands the path as a shell does: use letters, digits and / . _ - + = , : @ only",
        )
    return Path(path)


def make_oid() -> str:
    """Return a fresh object id: the first 24 hexadecimal digits of a random UUID (A.3)."""
    digits = bytearray(os.urandom(12))
    digits[6] = 0x40 | digits[6] & 0x0F
    digits[8] = 0x80 | digits[8] & 0x3F
    return digits.hex()


def _split(version: str, configurations: Sequence[str] | Mapping[str, object]) -> tuple[str, int]:
    """Return a version's configuration and update number, 0 for the first archiving."""
    if version in configurations:
        return version, 0
    configuration, _, number = version.rpartition("v")
    if configuration in configurations and number.isdecimal():
        return configuration, int(number)
    return version, 0


def _newest_update(versions: Mapping[str, object], configuration: str) -> int:
    """Return the greatest update number of a configuration, 0 if it was never updated."""
    length = len(configuration)
    numbers = [
        int(match.group(1))
        for version in versions
        if version.startswith(configuration) and (match := _UPDATE.fullmatch(version, length)) is not None
    ]
    return max(numbers, default=0)


def _exported(entity: Entity) -> bytes:
    """Return an entity's FHiCL as artdaqDB would export it."""
    document = stored(entity, Place("0" * 24, entity.collection, "0/x", "0/x", 0, ""))
    return fhicl.from_json(document, f"{entity.name}.fcl")


def _already(configuration: str, run: int, why: str) -> ArtdaqDBError:
    return ArtdaqDBError(
        f"Configuration {configuration} is already archived.",
        remedy=f"{why}: a reused run number? nothing was changed; compare, then `archiverd waive {run} --reason …`",
        run=run,
        context={"difference": why},
    )


def _wrong(path: Path, run: int, what: str) -> ArtdaqDBError:
    return ArtdaqDBError(
        f"Document {path} {what}",
        remedy="restore it from a backup of artdaqDB; nothing was uploaded",
        run=run,
        context={"path": str(path)},
    )


def _told(work: Callable[[], T], root: Path) -> T:
    """Run ``work``; turn what the file system says into ArtdaqDBError."""
    try:
        return work()
    except OSError as error:
        passing = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)
        remedy = (
            f"free space on the file system of {root}; the run is tried again by itself"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else f"check {root}: it must be readable and writable by the user archiverd runs as"
        )
        raise ArtdaqDBError(
            f"Failed to access artdaqDB: {error}",
            retry=Retry.TRANSIENT if passing else Retry.PERMANENT,
            remedy=remedy,
            context={"database": str(root)},
        ) from error
