"""Where one object of one UconDB folder is, who may write there, and how its URLs are spelled."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE = 1_000_000

_FOLDER = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")
_BASE_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""What every front end takes unencoded in a path; anything else goes into the query (ucondb_protocol.md section 2)."""
_REFUSED = frozenset("<'>\\|;\"")
"""Characters the server refuses in a parameter (ucondb_protocol.md section 2)."""


def acceptable(text: str) -> bool:
    """Tell whether the server takes ``text`` as a key, tag or object name (ucondb_protocol.md section 2)."""
    return bool(text) and text.isprintable() and not _REFUSED.intersection(text)


@dataclass(frozen=True, slots=True)
class UconDBSettings:
    """One object of one folder, and how patient to be. Raise ConfigurationError for what can never work."""

    server_url: str
    """Base of every URL: ``scheme://host[:port]/instance/app``."""
    folder: str
    """``name`` or ``namespace.name``."""
    object: str
    user: str
    password: str = field(repr=False)
    timeout_seconds: float = 10.0
    """Patience for a request without a blob; a blob adds a second for every whole megabyte."""
    verify_tls: bool = True
    ca_file: Path | None = None
    """PEM certificates to trust instead of the system's."""
    rereads: int = 2
    """How often a blob is read again that does not come back as it was stored."""
    max_blob_bytes: int = 255 * MEGABYTE
    """Larger blobs are not sent: the server fails a little above, near 2^28 bytes (ucondb_protocol.md section 4)."""

    def __post_init__(self) -> None:
        if not _possible_url(self.server_url):
            raise _impossible("server_url", "http:// or https://, host[:port], /instance/app, and no user or password")
        if not _FOLDER.fullmatch(self.folder):
            raise _impossible("folder_name", "letters, digits and _, at most one dot between namespace and name")
        if not acceptable(self.object):
            raise _impossible("object_name", "printable, without < ' > \\ | ; or double quotes")
        if not acceptable(self.user) or "," in self.user:
            raise _impossible("writer_user", "printable, without commas and quotes: digest login cannot carry them")
        if self.timeout_seconds <= 0:
            raise _impossible("timeout_seconds", "more than 0")

    def patience(self, blob_bytes: int = 0) -> float:
        """Return the timeout in seconds of a request that carries or fetches so many bytes of blob."""
        return self.timeout_seconds + blob_bytes // MEGABYTE

    def data_target(self, **parameters: str) -> str:
        """Return the request target of our object's ``/data`` endpoint."""
        if _PLAIN.fullmatch(self.object):
            return self._target(f"data/{self.folder}/{self.object}", parameters)
        return self._target(f"data/{self.folder}", {"object": self.object, **parameters})

    def listing_target(self, endpoint: str, **parameters: str) -> str:
        """Return the request target of ``/versions`` or ``/lookup_versions`` for our object."""
        return self._target(endpoint, {"folder": self.folder, "object": self.object, **parameters})

    def probe_target(self) -> str:
        """Return the request target of ``/probe``."""
        return self._target("probe", {})

    def version_target(self) -> str:
        """Return the request target of ``/version``."""
        return self._target("version", {})

    def _target(self, endpoint: str, parameters: dict[str, str]) -> str:
        """Spell a request target; everything but letters, digits and ``_.-~`` is percent-encoded, commas above all."""
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        return f"{urlsplit(self.server_url).path.rstrip('/')}/{endpoint}" + (f"?{query}" if query else "")


def _possible_url(url: str) -> bool:
    """Tell whether ``url`` can be a server's base; one with credentials would show them in every error."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or "@" in parts.netloc) and _BASE_PATH.fullmatch(parts.path)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and bool(plain)


def _impossible(key: str, form: str) -> ConfigurationError:
    """Return the error for an impossible value; the value itself is not shown, it may hold a password."""
    return ConfigurationError(
        f"Configuration validation failed: ucon_db.{key} must be {form}", remedy=f"correct {key} in [ucon_db]"
    )
