"""A small UconDB server for demos, tests and staging: the real wire behaviour over one SQLite file.

It speaks the protocol of ucondb_protocol.md, which its docstrings cite by section, and shares no code with the client
in ``archiverd.ucondb``, so that neither hides the other's mistakes. A request passes through:

    listener   sockets, uvicorn, signals; reason phrases and unframed bodies on the wire
      └─ app         ASGI: body in, reply out; faults; the faithful single lock
           ├─ target            URL → endpoint and parameters                        (section 2)
           ├─ write_endpoints   put, tag, create_folder  ── digest, spool            (sections 4, 7)
           ├─ read_endpoints    data, get_blob, versions, lookup_versions, lists     (sections 5, 6)
           └─ store             folders, versions, tags, blobs in SQLite             (section 1)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ServerOptions", "serve"]


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


def serve(options: ServerOptions) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code.

    Print ``listening on http://HOST:PORT/INSTANCE/app`` on stdout once connections are accepted. For impossible
    options, a data directory in use or a taken port print one line on stderr and return 1.
    """
    from archiverd.ucondb_server.listener import run  # noqa: PLC0415  # uvicorn must not slow down other commands

    return run(options)
