"""The adapter of the `ArtdaqDB` port that the configuration chooses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem.store import SCHEME as FILES
from archiverd.artdaqdb.filesystem.store import FileSystemDB, parse_uri
from archiverd.artdaqdb.mongo.uri import SCHEMES as MONGODB
from archiverd.artdaqdb.mongo.uri import parse_uri as parse_mongodb_uri
from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from archiverd.artdaqdb.conftoolp.store import ConftoolpDB
    from archiverd.artdaqdb.port import ArtdaqDB, ArtdaqDBReader
    from archiverd.artdaqdb.tools.listing import Listing
    from archiverd.artdaqdb.tools.store import ToolsDB
    from archiverd.config.models import ArtdaqDb


def choose_backend(settings: ArtdaqDb) -> str:
    """Return which backend ``auto`` means here, and any other as it is."""
    if settings.backend != "auto":
        return settings.backend
    if settings.use_tools:
        return "tools"
    return "builtin" if settings.conftoolp_dir is None else "conftoolp"


def demand_supported_uri(settings: ArtdaqDb) -> None:
    """Raise ConfigurationError for a URI that the configured backend would refuse; nothing is opened.

    The URI of a MongoDB is checked without the driver, which is slow to load.
    """
    if choose_backend(settings) == "builtin" and settings.database_uri.startswith(MONGODB):
        parse_mongodb_uri(settings.database_uri, os.environ)
    else:
        make_artdaqdb(settings, workers=1)


def make_artdaqdb(settings: ArtdaqDb, workers: int) -> ArtdaqDB:
    """Return the adapter for ``[artdaq_db]``; ``workers`` runs are imported at once.

    Raise ConfigurationError for a URI that the backend does not support.
    """
    backend = choose_backend(settings)
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
    """Return a reader of artdaqDB that can be used beside a daemon, whichever backend the daemon uses.

    Raise ConfigurationError as ``make_artdaqdb``.
    """
    uri = settings.database_uri
    if choose_backend(settings) == "tools" and settings.remote_host:
        return through_tools(settings)
    if uri.startswith(FILES):
        from archiverd.artdaqdb.filesystem.reader import FileSystemReader  # noqa: PLC0415 - the daemon does not need it

        return FileSystemReader(uri)
    if uri.startswith(MONGODB):
        return _mongodb(settings, reading=True)
    return make_artdaqdb(settings, workers=1)


def through_tools(settings: ArtdaqDb, listing: Listing | None = None) -> ToolsDB:
    """Return artdaqDB through bulkloader and bulkdownloader, here or on ``remote_host``.

    With a remote host, URI and directories are what they are there. ``listing`` returns the archived runs, which the
    tools cannot list; by default it is Motor for a MongoDB, the index for a FileSystemDB. Raise ConfigurationError for
    a URI or host that cannot be meant.
    """
    from archiverd.artdaqdb.filesystem.external_writer import ExternalWriterFiles  # noqa: PLC0415 - see below
    from archiverd.artdaqdb.tools.command import complete  # noqa: PLC0415 - see below
    from archiverd.artdaqdb.tools.local import LocalHost  # noqa: PLC0415 - see below
    from archiverd.artdaqdb.tools.remote import RemoteHost  # noqa: PLC0415 - see below
    from archiverd.artdaqdb.tools.store import ToolsDB  # noqa: PLC0415 - only where it is configured

    uri, directory, seconds = settings.database_uri, settings.conftoolp_dir, settings.call_timeout_seconds
    if listing is None and uri.startswith(MONGODB):
        listing = _mongodb(settings)
    completed, secrets = complete(uri)
    variables = {"ARTDAQ_DATABASE_URI": uri if settings.remote_host else completed}
    if settings.fcl_conf_dir is not None:
        variables["ARTDAQ_DATABASE_CONFDIR"] = str(settings.fcl_conf_dir)
    if settings.remote_host:
        remote = RemoteHost(settings.remote_host, directory, variables, seconds, secrets=secrets)
        return ToolsDB(uri, remote, listing)
    files = ExternalWriterFiles(parse_uri(uri) if uri.startswith(FILES) else None)
    return ToolsDB(uri, LocalHost(directory, variables, seconds, secrets, files), listing, files)


def through_conftoolp(settings: ArtdaqDb, workers: int) -> ConftoolpDB:
    """Return artdaqDB through the experiment's library."""
    from archiverd.artdaqdb.conftoolp.store import ConftoolpDB  # noqa: PLC0415 - only where it is configured

    return ConftoolpDB(settings, workers)


def _mongodb(settings: ArtdaqDb, *, reading: bool = False) -> ArtdaqDB:
    from archiverd.artdaqdb.mongo.store import MongoDB  # noqa: PLC0415 - a heavy import only MongoDB needs

    return MongoDB(settings, reading=reading)
