"""Which artdaqDB a configuration names, whoever logs in and however the URI is spelled: light, for `status`."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from archiverd.artdaqdb.mongo.uri import SCHEMES, parse_uri
from archiverd.config.secrecy import without_login
from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from archiverd.config.models import ArtdaqDb

_FILES = "filesystemdb://"
_MONGODB_PORT = "27017"


def canonical_uri(settings: ArtdaqDb) -> str:
    """Return the URI of the configured artdaqDB without credentials and options; equal for equal databases.

    The tools' remote host is part of it. What cannot be parsed is returned without its login.
    """
    uri = settings.database_uri
    if uri.startswith(_FILES):
        uri = _FILES + posixpath.normpath("/" + uri.removeprefix(_FILES).lstrip("/"))
    elif uri.startswith(SCHEMES):
        uri = _mongodb(uri)
    else:
        uri = without_login(uri, "")
    host = settings.remote_host.rpartition("@")[2].lower() if settings.use_tools else ""
    return f"{host}: {uri}" if host else uri


def _mongodb(uri: str) -> str:
    """Return scheme, hosts in order and database of a MongoDB's URI."""
    try:
        shown = parse_uri(uri, os.environ).shown
    except ConfigurationError:
        scheme, _, rest = uri.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"  # whatever a password is made of
    scheme, _, rest = shown.partition("?")[0].partition("://")
    hosts, _, database = rest.rpartition("@")[2].partition("/")
    named = sorted(host.lower().removesuffix(f":{_MONGODB_PORT}") for host in hosts.split(","))
    return f"{scheme}://{','.join(named)}/{database}"
