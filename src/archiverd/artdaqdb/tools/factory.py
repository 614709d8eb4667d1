"""The tools' adapter, made of an installation's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem.external_writer import ExternalWriterFiles
from archiverd.artdaqdb.filesystem.store import SCHEME as FILES
from archiverd.artdaqdb.filesystem.store import parse_uri
from archiverd.artdaqdb.tools.command import complete
from archiverd.artdaqdb.tools.local import LocalHost
from archiverd.artdaqdb.tools.remote import RemoteHost
from archiverd.artdaqdb.tools.store import ToolsDB

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.artdaqdb.tools.listing import Listing


def make_tools_db(
    uri: str,
    *,
    directory: Path | None,
    remote_host: str,
    schema_dir: Path | None,
    call_timeout_seconds: float,
    listing: Listing | None = None,
) -> ToolsDB:
    """Return artdaqDB through the tools of ``directory`` (None: those on PATH), here or on ``remote_host``.

    With a remote host, ``uri``, ``directory`` and ``schema_dir`` are what they are there. See `ToolsDB` for
    ``listing``, which MongoDB needs. Raise ConfigurationError for a URI or host that cannot be meant.
    """
    completed, secrets = complete(uri)
    variables = {"ARTDAQ_DATABASE_URI": uri if remote_host else completed}
    if schema_dir is not None:
        variables["ARTDAQ_DATABASE_CONFDIR"] = str(schema_dir)
    if remote_host:
        return ToolsDB(
            uri, RemoteHost(remote_host, directory, variables, call_timeout_seconds, secrets=secrets), listing
        )
    files = ExternalWriterFiles(parse_uri(uri) if uri.startswith(FILES) else None)
    return ToolsDB(uri, LocalHost(directory, variables, call_timeout_seconds, secrets, files), listing, files)
