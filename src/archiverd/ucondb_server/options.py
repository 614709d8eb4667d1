"""The options of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of one server; ``serve`` refuses impossible ones."""

    data: Path
    """Directory of the database, made if missing; one server at a time uses it."""
    host: str
    """Address to listen on."""
    port: int
    """TCP port; 0 for a free one, which the line on stdout names."""
    instance: str
    """First word of every URL: ``/<instance>/app``."""
    user: str
    """The one user who may write, to every folder."""
    password: str = field(repr=False)
    """That user's password."""
    namespace: str = "ucon_prd"
    """Prefix of folder names, and so of the digest realms."""
    folders: tuple[str, ...] = ()
    """Folders created at start if missing."""
    faithful: bool = False
    """Imitate the real listener: unframed blobs and lists, no keep-alive, chunked uploads taken for empty, one lock."""
    fault: str | None = None
    """Faults to inject, e.g. ``latency=0.2,error=0.1,cut=0.05,freeze=0.01,drop=0.01,seed=1`` (see ``faults``)."""
