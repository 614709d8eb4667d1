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

from archiverd.ucondb_server.options import ServerOptions

__all__ = ["ServerOptions", "serve"]


def serve(options: ServerOptions) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code.

    Print ``listening on http://HOST:PORT/INSTANCE/app`` on stdout once connections are accepted. For impossible
    options, a data directory in use or a taken port print one line on stderr and return 1.
    """
    from archiverd.ucondb_server.listener import run  # noqa: PLC0415  # uvicorn must not slow down other commands

    return run(options)
