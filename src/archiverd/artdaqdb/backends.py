"""Which adapter stands behind the `ArtdaqDB` port, by configuration."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem.store import SCHEME as FILES
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.mongo.uri import SCHEMES as MONGODB
from archiverd.artdaqdb.mongo.uri import parse_uri as parse_mongodb_uri
from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from archiverd.artdaqdb.conftoolp.store import ConftoolpDB
    from archiverd.artdaqdb.port import ArtdaqDB, ArtdaqDBReader
    from archiverd.artdaqdb.tools.store import ToolsDB
    from archiverd.config.models import ArtdaqDb


def chosen(settings: ArtdaqDb) -> str:
    """Return which backend ``auto`` means here, and any other as it is."""
    if settings.backend != "auto":
        return settings.backend
    if settings.use_tools:
        return "tools"
    return "builtin" if settings.conftoolp_dir is None else "conftoolp"


def refuse_unspoken(settings: ArtdaqDb) -> None:
    """Raise ConfigurationError for a URI that the configured backend would refuse at the start; nothing is opened.

    A MongoDB's is looked at without the driver, which takes its time to load.
    """
    if chosen(settings) == "builtin" and settings.database_uri.startswith(MONGODB):
        parse_mongodb_uri(settings.database_uri, os.environ)
    else:
        make_artdaqdb(settings, workers=1)


def make_artdaqdb(settings: ArtdaqDb, workers: int) -> ArtdaqDB:
    """Return the adapter for ``[artdaq_db]``; ``workers`` runs are imported at once.

    Raise ConfigurationError for a URI or backend that we do not speak.
    """
    backend = chosen(settings)
    if backend == "tools":
        return through_tools(settings)
    if backend == "conftoolp":
        return through_conftoolp(settings, workers)
    uri = settings.database_uri
    if uri.startswith(FILES):
        return FileSystemDB(uri)
    if uri.startswith(MONGODB):
        return _mongodb(settings)
    scheme = uri.split(":", 1)[0]
    raise ConfigurationError(
        f"Configuration validation failed: artdaq_db.database_uri: this archiverd cannot write to {scheme}:",
        remedy="use filesystemdb:///absolute/path or mongodb://host/database",
    )


def make_reader(settings: ArtdaqDb) -> ArtdaqDBReader:
    """Return what reads artdaqDB beside a daemon that writes to it, whichever backend that goes through.

    Raise ConfigurationError as ``make_artdaqdb``.
    """
    uri = settings.database_uri
    if chosen(settings) == "tools" and settings.remote_host:
        return through_tools(settings)
    if uri.startswith(FILES):
        from archiverd.artdaqdb.filesystem.reader import FileSystemReader  # noqa: PLC0415 - the daemon needs it never

        return FileSystemReader(uri)
    if uri.startswith(MONGODB):
        return _mongodb(settings, reading=True)
    return make_artdaqdb(settings, workers=1)


def through_tools(settings: ArtdaqDb) -> ToolsDB:
    """Return artdaqDB through bulkloader and bulkdownloader; they cannot list what a MongoDB holds, Motor can."""
    from archiverd.artdaqdb.tools.factory import make_tools_db  # noqa: PLC0415 - only where it is configured

    return make_tools_db(
        settings.database_uri,
        directory=settings.conftoolp_dir,
        remote_host=settings.remote_host,
        schema_dir=settings.fcl_conf_dir,
        call_timeout_seconds=settings.call_timeout_seconds,
        listing=_mongodb(settings) if settings.database_uri.startswith(MONGODB) else None,
    )


def through_conftoolp(settings: ArtdaqDb, workers: int) -> ConftoolpDB:
    """Return artdaqDB through the experiment's library."""
    from archiverd.artdaqdb.conftoolp import store  # noqa: PLC0415 - only where it is configured

    if settings.conftoolp_dir is None:
        raise ConfigurationError(
            "Configuration validation failed: conftoolp_dir is required",
            remedy='set artdaq_db.conftoolp_dir to the directory of conftoolp.py, or backend = "builtin"',
        )
    return store.ConftoolpDB(
        settings.database_uri,
        settings.conftoolp_dir,
        settings.conftoolp_python or sys.executable,
        workers,
        settings.call_timeout_seconds,
    )


def _mongodb(settings: ArtdaqDb, *, reading: bool = False) -> ArtdaqDB:
    from archiverd.artdaqdb.mongo.store import MongoDB  # noqa: PLC0415 - a heavy import only MongoDB needs

    return MongoDB(settings.database_uri, call_timeout_seconds=settings.call_timeout_seconds, reading=reading)
