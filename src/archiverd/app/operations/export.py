"""The operation `export`: a run's files, from UconDB or artdaqDB to a directory, beside a daemon or without one."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from archiverd.app import export_directory
from archiverd.artdaqdb.backends import make_reader
from archiverd.artdaqdb.filesystem.store import SCHEME, parse_uri
from archiverd.artdaqdb.rules import no_run_to_export
from archiverd.config.paths import journal_path
from archiverd.config.ucondb import missing_for_migration
from archiverd.core.errors import ArchiverError, ArtdaqDBError, ConfigurationError, VerificationError
from archiverd.core.machine import State
from archiverd.disk import RealDisk
from archiverd.journal.queries import select_run
from archiverd.journal.reader import reading_if_there
from archiverd.runrecord import blob as blobs
from archiverd.ucondb.client import make_ucondb

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.app.export_directory import Files, Written
    from archiverd.artdaqdb.port import ArtdaqDBReader
    from archiverd.config.models import Settings
    from archiverd.ucondb.port import UconDB

Source = Literal["artdaqdb", "ucondb"]


@dataclass(frozen=True, slots=True)
class Content:
    """A run's files as a database gives them, and the SHA-256 of the blob they came in (empty from artdaqDB)."""

    files: Files
    blob_sha256: str = ""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Write the files of ``run`` to ``destination``."""

    run: int
    destination: Path
    source: Source | None
    """Where from; None for UconDB, or artdaqDB where no UconDB is configured."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written."""

    run: int
    source: Source
    directory: Path
    files: list[Written]
    proven: bool | None
    """Whether these are the bytes that were read back when the run was verified; None if the journal does not know."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        files = [asdict(file) for file in self.files]
        return {
            "version": 1,
            "run": self.run,
            "source": self.source,
            "directory": str(self.directory),
            "proven": self.proven,
            "files": files,
        }


async def export(settings: Settings, request: ExportRequest) -> ExportResult:
    """Write a run's files to a directory.

    Raise UconDBError, ArtdaqDBError, BlobCreationError or ArchiverError; then nothing was written.
    """
    run, destination = request.run, request.destination
    chosen: Source = request.source or ("ucondb" if _has_ucondb(settings) else "artdaqdb")
    content = await (_from_ucondb(settings, run) if chosen == "ucondb" else _from_artdaqdb(settings, run))
    uri = settings.artdaq_db.database_uri
    closed = [settings.source_files.run_records_dir, *([parse_uri(uri)] if uri.startswith(SCHEME) else [])]
    written = await asyncio.to_thread(export_directory.write, RealDisk(), content.files, destination, closed)
    return ExportResult(run, chosen, destination, written, await asyncio.to_thread(_proven, settings, run, content))


def _has_ucondb(settings: Settings) -> bool:
    """Return whether blobs can be read from UconDB; reading needs no password."""
    return not set(missing_for_migration(settings.ucon_db)) - {"writer_user", "writer_password"}


async def _from_ucondb(settings: Settings, run: int) -> Content:
    if not _has_ucondb(settings):
        raise ConfigurationError(
            "[ucon_db] is not configured: there is no UconDB to export from",
            remedy="set server_url, folder_name and object_name, or export --from artdaqdb",
        )
    ucondb = make_ucondb(settings)
    await ucondb.open()
    try:
        return await read_ucondb(ucondb, run)
    except ArchiverError as error:
        error.remedy += f"; `archiverd why {run}` tells what is known of it; --from artdaqdb asks artdaqDB instead"
        raise
    finally:
        await ucondb.close()


async def _from_artdaqdb(settings: Settings, run: int) -> Content:
    artdaqdb = make_reader(settings.artdaq_db)
    await artdaqdb.open()
    try:
        return await read_artdaqdb(artdaqdb, run)
    except ArtdaqDBError as error:
        if str(error) == str(no_run_to_export(run)):
            error.remedy = f"`archiverd why {run}` tells what became of it; --from ucondb asks UconDB instead"
        raise
    finally:
        await artdaqdb.close()


def _proven(settings: Settings, run: int, content: Content) -> bool | None:
    """Return whether the content is what was proven when the run was verified; None if the journal does not know."""
    if not content.blob_sha256:
        return None
    with reading_if_there(journal_path(settings)) as db:
        row = None if db is None else select_run(db, run)
    if row is None or row.state is not State.VERIFIED or not row.blob_sha256:
        return None
    return row.blob_sha256 == content.blob_sha256


async def read_ucondb(ucondb: UconDB, run: int) -> Content:
    """Return the files of the blob under ``run``'s key, byte for byte as they were packed.

    Raise UconDBError if there is none or it cannot be read, BlobCreationError if it is no blob, VerificationError if it
    is another run's.
    """
    blob = await ucondb.read(str(run))
    unpacked = await asyncio.to_thread(blobs.unpack, blob)
    if unpacked.run != run:
        raise VerificationError(
            f"The blob under key {run} says that it is run {unpacked.run}'s",
            remedy="find out who uploaded it; `archiverd export --from artdaqdb` gives what artdaqDB has",
            run=run,
        )
    return Content(unpacked.files, hashlib.sha256(blob).hexdigest())


async def read_artdaqdb(artdaqdb: ArtdaqDBReader, run: int) -> Content:
    """Return a run's entities as artdaqDB exports them, each as ``<entity>.fcl``: the files its blob is packed of.

    An entity name that two collections have gets the collection's before it: ``<collection>.<entity>.fcl``.
    Raise ArtdaqDBError if the run is not there or cannot be read.
    """
    exported = await artdaqdb.export(run)
    times = Counter(entity.name for entity in exported)
    return Content(
        [
            (f"{entity.name}.fcl" if times[entity.name] == 1 else f"{entity.collection}.{entity.name}.fcl", entity.fcl)
            for entity in exported
        ]
    )
