"""How requests to UconDB are spelled: the targets of one object of one folder (ucondb_protocol.md section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from archiverd.config.ucondb import parse_server_url

if TYPE_CHECKING:
    from archiverd.config.models import UconDb

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""What every front end takes unencoded in a path; anything else goes into the query."""


@dataclass(frozen=True, slots=True)
class RequestTargets:
    """The request targets, that is path and query, of one object of one folder."""

    base: str
    """Path of the instance, without a final slash: ``/instance/app``."""
    folder: str
    """``name`` or ``namespace.name``."""
    object: str

    @classmethod
    def of(cls, section: UconDb) -> RequestTargets:
        """Return the targets of the object in the folder that ``section`` names."""
        return cls(parse_server_url(section.server_url).path, section.folder_name, section.object_name)

    def data(self, **parameters: str) -> str:
        """Return the target of the object's ``/data`` endpoint."""
        if _PLAIN.fullmatch(self.object):
            return self._target(f"data/{self.folder}/{self.object}", parameters)
        return self._target(f"data/{self.folder}", {"object": self.object, **parameters})

    def listing(self, endpoint: str, **parameters: str) -> str:
        """Return the target of ``/versions`` or ``/lookup_versions`` for the object."""
        return self._target(endpoint, {"folder": self.folder, "object": self.object, **parameters})

    def probe(self) -> str:
        """Return the target of ``/probe``."""
        return self._target("probe", {})

    def version(self) -> str:
        """Return the target of ``/version``."""
        return self._target("version", {})

    def _target(self, endpoint: str, parameters: dict[str, str]) -> str:
        """Spell a request target; everything but letters, digits and ``_.-~`` is percent-encoded, commas above all."""
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        return f"{self.base}/{endpoint}" + (f"?{query}" if query else "")
