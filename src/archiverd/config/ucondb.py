"""Rules of ``[ucon_db]``: what migration requires, and which values can ever work.

The form of names is the server's (ucondb_protocol.md section 2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archiverd.config.models import UconDb

REQUIRED = ("server_url", "folder_name", "object_name", "writer_user", "writer_password")
"""The keys that migration needs."""
URL_FORM = "https://host:port/instance/app"

_FOLDER = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")
_URL_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
_REFUSED = frozenset("<'>\\|;\"")
"""Characters the server refuses in a parameter."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The parts of a server's URL."""

    scheme: str
    host: str
    port: int
    path: str
    """Path of the instance, without a final slash; it ends in ``/app``."""


def parse_server_url(url: str) -> ServerUrl:
    """Return the parts of ``ucon_db.server_url``.

    Raise ValueError, which says what is wrong as a predicate of the key and shows nothing that may be a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("has an impossible port") from None
    if "@" in url:
        raise ValueError("names a user")
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("is not http:// or https:// with a host")
    path = parts.path.rstrip("/")
    if not path.endswith("/app"):
        raise ValueError(f"must end in /app, and ends in {parts.path or 'the host'}")
    if parts.query or parts.fragment or not _URL_PATH.fullmatch(path):
        raise ValueError("has a query, a fragment, or characters other than letters, digits and . _ ~ - in its path")
    return ServerUrl(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], path)


def is_acceptable(text: str) -> bool:
    """Return whether the server takes ``text`` as a key, tag or object name."""
    return bool(text) and text.isprintable() and not _REFUSED.intersection(text)


def missing_for_migration(section: UconDb) -> list[str]:
    """Return the required keys that are not set."""
    values = {**dict(section), "writer_password": section.writer_password.get_secret_value()}
    return [key for key in REQUIRED if not values[key]]


def demand_usable(section: UconDb, place: Callable[[str], str] = lambda key: f"{key} in [ucon_db]") -> None:
    """Raise ConfigurationError for the first value that can never work; it is not shown, it may hold a password.

    ``place`` returns where a key is set, for the remedy.
    """
    for key, problem in _problems(section):
        remedy = f"correct {place(key)}" + (f": the form is {URL_FORM}" if key == "server_url" else "")
        raise ConfigurationError(f"Configuration validation failed: ucon_db.{key} {problem}", remedy=remedy)


def _problems(section: UconDb) -> Iterator[tuple[str, str]]:
    """Yield each key whose value can never work, and the predicate that says so."""
    try:
        parse_server_url(section.server_url)
    except ValueError as problem:
        yield "server_url", str(problem)
    if not _FOLDER.fullmatch(section.folder_name):
        yield "folder_name", "must be letters, digits and _, at most one dot between namespace and name"
    if section.pending_folder_name and section.pending_folder_name.lower() == section.folder_name.lower():
        yield "pending_folder_name", "is folder_name too: a running run's blob would stand where its whole one belongs"
    if not is_acceptable(section.object_name):
        yield "object_name", "must be printable, without < ' > \\ | ; or double quotes"
    if not is_acceptable(section.writer_user) or "," in section.writer_user:
        yield "writer_user", "must be printable, without commas and quotes: digest login cannot carry them"
