"""A small UconDB server for demos, tests and staging: the real wire behaviour over one SQLite file.

It speaks the protocol of ucondb_protocol.md (the spec its docstrings cite by section) and shares no code with the
client in ``archiverd.ucondb``, so that neither hides the other's mistakes. The way of a request:

    listener   sockets, uvicorn, signals; reason phrases and unframed bodies on the wire
      └─ app         ASGI: body in, reply out; faults; the faithful single lock
           ├─ target      URL → endpoint and parameters                        (section 2)
           ├─ writing     put, tag, create_folder  ── digest, spool            (sections 4, 7)
           ├─ reading     data, get_blob, versions, lookup_versions, lists     (sections 5, 6)
           └─ store       folders, versions, tags, blobs in SQLite             (section 1)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ServerOptions", "serve"]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a server is started with; ``serve`` says which values it refuses."""

    data: Path
    """Directory of the database; made when missing. One server at a time."""
    host: str
    """Address to listen on."""
    port: int
    """TCP port; 0 takes a free one, which the line on stdout tells."""
    instance: str
    """First word of every URL: ``/<instance>/app``."""
    user: str
    """The one user who may write, to every folder."""
    password: str = field(repr=False)
    """That user's password."""
    namespace: str = "ucon_prd"
    """What qualifies folder names, and so the digest realms."""
    folders: tuple[str, ...] = ()
    """Folders made at start when they are missing."""
    faithful: bool = False
    """The real listener's awkwardness too: unframed blobs and lists, no keep-alive, empty chunked uploads, one lock."""
    fault: str | None = None
    """Drill, e.g. ``latency=0.2,error=0.1,cut=0.05,freeze=0.01,drop=0.01,seed=1`` (see ``faults``)."""


def serve(options: ServerOptions) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code.

    When connections are accepted, the one line ``listening on http://HOST:PORT/INSTANCE/app`` goes to stdout. What is
    refused (impossible options, a data directory in use, a taken port) is told in one line on stderr and returns 1.
    """
    from archiverd.ucondb_server.listener import run  # noqa: PLC0415  # uvicorn must not slow down other commands

    return run(options)
