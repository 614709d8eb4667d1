"""artdaqDB through the experiment's own library (conftoolp), behind the `ArtdaqDB` port.

The library runs in child processes: it blocks, keeps Python's lock for the whole of a call, and ends its process on
some errors. It stores documents one by one and checks for no duplicates, so a run is looked up before it is stored, its
documents are read back, and the one in SystemLayout, which alone makes the run count as archived, is stored last.
An interrupted store is completed by repeating it.

A FileSystemDB is written by one child at a time, because the library locks nothing, and what a killed child left is
repaired before the next call (`filesystem.external_writer`).
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from archiverd import fhicl
from archiverd.artdaqdb.conftoolp.errors import not_as_meant, wrong_answer
from archiverd.artdaqdb.conftoolp.library import Library
from archiverd.artdaqdb.conftoolp.pool import Pool
from archiverd.artdaqdb.conftoolp.process import Launch, Worker, deaths_raised
from archiverd.artdaqdb.filesystem.external_writer import ExternalWriterFiles
from archiverd.artdaqdb.filesystem.repair import Intent
from archiverd.artdaqdb.filesystem.store import SCHEME as FILES
from archiverd.artdaqdb.filesystem.store import parse_uri
from archiverd.artdaqdb.mongo.uri import SCHEMES as MONGODB
from archiverd.artdaqdb.port import ExportedEntity
from archiverd.artdaqdb.rules import (
    LAST_UPDATE_IN_ORDER,
    SYSTEM_LAYOUT,
    archived,
    check_names,
    decide_insert,
    decide_update,
    demand_archived,
    has_other_name,
    layout_last,
    no_run_to_export,
    not_as_stored,
    run_of,
    update_number,
)
from archiverd.artdaqdb.tools.command import complete, environment
from archiverd.core.errors import ArtdaqDBError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from archiverd.artdaqdb.port import ArchivedRun, Entity
    from archiverd.artdaqdb.rules import Key
    from archiverd.config.models import ArtdaqDb
    from archiverd.fhicl import Document

T = TypeVar("T")

CLOSE_SECONDS = 10.0
"""Longest wait of closing for calls under way; then their children are killed."""
LEAST_MEMORY = 1 << 30
"""Least memory limit of a child in bytes."""
_TURNS = 64
"""Number of locks: runs with the same remainder are stored and read one at a time."""


class ConftoolpDB:
    """artdaqDB through the library; see `archiverd.artdaqdb.port.ArtdaqDB`."""

    def __init__(self, settings: ArtdaqDb, workers: int) -> None:
        """Name the database, the library's directory and its Python by their section of the configuration.

        ``workers`` children call at once, but one only on a FileSystemDB. Raise ConfigurationError without a directory,
        and for a URI that the library would take for something else: it does not complain.
        """
        uri, directory = settings.database_uri, settings.conftoolp_dir
        if directory is None:
            raise ConfigurationError(
                "Configuration validation failed: conftoolp_dir is required",
                remedy='set artdaq_db.conftoolp_dir to the directory of conftoolp.py, or backend = "builtin"',
            )
        root: Path | None = None
        secrets: tuple[bytes, ...] = ()
        if uri.startswith(FILES):
            root = parse_uri(uri)
        elif uri.startswith(MONGODB):
            uri, hidden = complete(uri)
            secrets = tuple(sorted(map(str.encode, hidden), key=len, reverse=True))
        else:
            raise ConfigurationError(
                "Configuration validation failed: artdaq_db.database_uri is neither filesystemdb:// nor mongodb://",
                remedy="the library knows these two, and takes any other for a database elsewhere",
            )
        self._files = ExternalWriterFiles(root)
        self.workers = 1 if root else max(1, workers)
        """Most children at once."""
        self._launch = Launch(
            python=settings.conftoolp_python or sys.executable,
            variables=_variables(uri, str(directory)),
            memory=memory_limit(self.workers),
            secrets=secrets,
            prepare=self._prepare,
        )
        self._pool = Pool(self.workers, self._launch, settings.call_timeout_seconds)
        self._library = Library(self._pool)
        self._turns = [asyncio.Lock() for _ in range(_TURNS)]
        self._begun: set[asyncio.Task[Any]] = set()

    @property
    def pids(self) -> list[int]:
        """The process ids of the living children."""
        return self._pool.pids

    async def check_import(self) -> None:
        """Import the library without touching the database. Raise ArtdaqDBError if that fails."""
        worker = Worker(replace(self._launch, prepare=_inherit_nothing), CLOSE_SECONDS)
        try:
            with deaths_raised():
                await worker.start()
        finally:
            await worker.close()

    async def open(self) -> None:
        """See ``ArtdaqDB.open``. Raise ArtdaqDBError if the library cannot be imported or the database not listed."""
        try:
            await self._files.open()
            await self._pool.open()
            await self._library.versions(SYSTEM_LAYOUT)
        except BaseException:
            await self._pool.close()
            self._files.close()
            raise

    async def close(self) -> None:
        """See ``ArtdaqDB.close``. A run that is half stored then is completed by its next insert."""
        self._pool.stop()
        if self._begun:
            await asyncio.wait(self._begun, timeout=CLOSE_SECONDS)
        for task in self._begun:
            task.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)
        await self._pool.close()
        self._files.close()

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """See ``ArtdaqDB.list_runs``."""
        return await self._to_its_end(self._list)

    async def find(self, run: int) -> ArchivedRun | None:
        """See ``ArtdaqDB.find``."""
        return await self._to_its_end(lambda: self._find(run))

    async def insert(self, run: int, configuration: str, entities: Sequence[Entity]) -> bool:
        """See ``ArtdaqDB.insert``.

        A run that was left half-written (documents, but none in SystemLayout) is completed if its documents are as
        meant, and refused otherwise.
        """
        full = _storable(run, configuration, entities)
        await asyncio.to_thread(_check, entities)
        return await self._in_turn(run, lambda: self._insert(run, full, entities))

    async def update(self, run: int, configuration: str, entities: Sequence[Entity]) -> str:
        """See ``ArtdaqDB.update``. An update that was left half-written is completed if it was this one."""
        full = _storable(run, configuration, entities)
        await asyncio.to_thread(_check, entities)
        return await self._in_turn(run, lambda: self._update(run, full, entities))

    async def export(self, run: int) -> Sequence[ExportedEntity]:
        """See ``ArtdaqDB.export``."""
        return await self._in_turn(run, lambda: self._export(run))

    async def _in_turn(self, run: int, work: Callable[[], Awaitable[T]]) -> T:
        """Run ``work`` under the run's lock and to its end; see `_to_its_end`."""

        async def in_turn() -> T:
            async with self._turns[run % _TURNS]:
                return await work()

        return await self._to_its_end(in_turn)

    async def _to_its_end(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run ``work`` to its end even if the caller is cancelled: killing the library in a call may do harm."""
        task = asyncio.create_task(work(), name="conftoolp")
        self._begun.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """Forget a task; an error whose caller was cancelled is met again by the next attempt."""
        self._begun.discard(task)
        if not task.cancelled():
            task.exception()

    async def _list(self) -> Mapping[int, ArchivedRun]:
        configurations = await self._library.configurations("*")
        versions = await self._library.versions(SYSTEM_LAYOUT)
        return await asyncio.to_thread(_archived, configurations, versions)

    async def _find(self, run: int) -> ArchivedRun | None:
        assigned = _ranked([one for one in await self._library.configurations(f"{run}/*") if run_of(one) == run])
        versions = {version for one in assigned for version in await self._library.versions(SYSTEM_LAYOUT, one)}
        return archived(run, versions, assigned)

    async def _insert(self, run: int, full: str, entities: Sequence[Entity]) -> bool:
        found = await self._find(run)
        composition = set() if has_other_name(found, full) else await self._library.composition(full)
        held = await self._held(composition, full, full, run)
        unread = sorted(composition - held.keys())
        if unread and found is None:  # no update explains it, and stored again it would be there twice
            raise wrong_answer("read_document", f"{full} has an entity {unread[0][1]}, but it gives another", run)
        decision = await asyncio.to_thread(decide_insert, found, full, held, entities)
        missing = decision.to_store(run)
        await self._store(missing, full, full, run)
        return bool(missing)

    async def _update(self, run: int, full: str, entities: Sequence[Entity]) -> str:
        demand_archived(await self._find(run), full, run)
        composition = await self._library.composition(full)
        collections = {SYSTEM_LAYOUT, *(collection for collection, _ in composition)}
        versions = {one: await self._library.versions(one, full) for one in sorted(collections)}
        numbers = {update_number(one, (full,)): one for those in versions.values() for one in those}
        number = max(numbers, default=0)
        newest = numbers.get(number, full)
        held = await self._held(composition, full, newest, run) if number else {}
        whole = newest in versions[SYSTEM_LAYOUT]
        decision = await asyncio.to_thread(decide_update, full, number, newest, held, entities, whole=whole)
        await self._store(decision.missing, full, decision.version, run)
        return decision.version

    async def _export(self, run: int) -> Sequence[ExportedEntity]:
        found = await self._find(run)
        if found is None:
            raise no_run_to_export(run)
        full = found.configuration
        composition = await self._library.composition(full)
        versions = {one: await self._library.versions(one, full) for one in sorted({key[0] for key in composition})}
        exported = []
        for key in sorted(composition):
            document = await self._newest(key, full, versions[key[0]], run)
            exported.append(ExportedEntity(*key, document.version, document.fcl))
        return exported

    async def _newest(self, key: Key, full: str, versions: Collection[str], run: int) -> Document:
        """Return an entity's newest version, of these of its configuration. Raise ArtdaqDBError if there is none."""
        in_order = {full, *(f"{full}v{number}" for number in range(1, LAST_UPDATE_IN_ORDER + 1))}
        if in_order.issuperset(versions):  # the library takes the same for the newest: one call instead of several
            document = await self._library.load(key, full, None, run)
            if document is not None and document.version in versions:
                return document
        for version in sorted(versions, key=lambda one: update_number(one, (full,)), reverse=True):
            document = await self._library.load(key, full, version, run)
            if document is not None:
                return document
        raise wrong_answer("read_document", f"no version of {full} has its entity {key[1]}", run)

    async def _prepare(self) -> Sequence[int]:
        """Prepare for a new child; return the descriptors it inherits."""
        await self._files.prepare()
        return self._files.descriptors

    async def _held(self, keys: set[Key], configuration: str, version: str, run: int) -> dict[Key, bytes]:
        """Return the exported FHiCL of what a version holds of ``keys``."""
        held = {key: await self._library.load(key, configuration, version, run) for key in sorted(keys)}
        return {key: document.fcl for key, document in held.items() if document is not None}

    async def _store(self, entities: Sequence[Entity], configuration: str, version: str, run: int) -> None:
        """Store entities that are not there, durably."""
        if entities:
            intent = Intent(configuration, version, tuple(dict.fromkeys(one.collection for one in entities)))
            async with self._files.storing(intent):
                await self._store_all(entities, configuration, version, run)

    async def _store_all(self, entities: Sequence[Entity], configuration: str, version: str, run: int) -> None:
        """Store entities, those of SystemLayout after all others were read back."""
        for some in layout_last(entities):
            for one in some:
                await self._library.store(one, configuration, version, run)
            keys = {(one.collection, one.name) for one in some}
            held = await self._held(keys, configuration, version, run)
            if why := await asyncio.to_thread(not_as_stored, held, some):
                raise not_as_meant(version, why, run, [one.name for one in some])


def memory_limit(workers: int) -> int:
    """Return the memory limit in bytes of each of ``workers`` children, which share half the machine's memory."""
    return max(LEAST_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 // workers)


def _variables(uri: str, directory: str) -> dict[str, str]:
    """Return a child's environment."""
    path = ":".join(part for part in (directory, os.environ.get("PYTHONPATH", "")) if part)
    return environment(os.environ, {"ARTDAQ_DATABASE_URI": uri, "PYTHONPATH": path}, directory)


def _archived(configurations: Sequence[str], versions: Collection[str]) -> dict[int, ArchivedRun]:
    """Return the archived runs, by all configurations (last assigned first) and SystemLayout's versions."""
    runs: dict[int, list[str]] = {}
    for version in versions:
        run = run_of(version)
        if run is not None:
            runs.setdefault(run, []).append(version)
    assigned: dict[int, dict[str, str]] = {}
    for name, rank in _ranked(configurations).items():
        assigned.setdefault(run_of(name) or 0, {})[name] = rank
    found = (archived(run, runs[run], assigned.get(run, {})) for run in sorted(runs))
    return {one.run: one for one in found if one is not None}


def _ranked(configurations: Sequence[str]) -> dict[str, str]:
    """Return configurations, given last assigned first, each with a text that sorts like its time."""
    return {name: f"{len(configurations) - place:012d}" for place, name in enumerate(configurations)}


def _storable(run: int, configuration: str, entities: Sequence[Entity]) -> str:
    """Return ``<run>/<configuration>``. Raise ArtdaqDBError for names that the library could not find again."""
    for name in (configuration, *(one.name for one in entities)):
        if name.endswith("*"):
            raise ArtdaqDBError(f"conftoolp cannot look for {name!r}: a * at the end matches anything", run=run)
    return check_names(run, configuration, entities)


def _check(entities: Sequence[Entity]) -> None:
    """Raise FhiclError for the first entity that is not FHiCL: on some errors the library ends its process."""
    for one in entities:
        fhicl.to_json(one.fcl, f"{one.name}.fcl", "")


async def _inherit_nothing() -> Sequence[int]:
    """Prepare a child that does not touch the database: it inherits no descriptors."""
    return ()
