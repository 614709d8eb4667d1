"""Replies and refusals: statuses, content types and texts of ucondb_protocol.md section 9."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archiverd.ucondb_server.store import Blob

HTML = b"text/html; charset=UTF-8"
PLAIN = b"text/plain; charset=UTF-8"
JSON = b"text/json; charset=UTF-8"
JSON_SEQ = b"text/json-seq; charset=UTF-8"
CSV = b"text/csv; charset=UTF-8"
OCTETS = b"application/octet-stream"


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; ``body`` is sent whole, or ``blob`` piece by piece."""

    status: int
    content_type: bytes
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Further headers, in order."""
    blob: Blob | None = None
    framed: bool = True
    """False for replies that the real listener ends by closing the connection (section 10)."""


class Refusal(Exception):  # noqa: N818  # an answer, not a mistake of the program
    """Ends a request with ``reply``, from any depth."""

    def __init__(self, reply: Response) -> None:
        super().__init__(reply.status, reply.body)
        self.reply = reply


def text(body: str, *, status: int = 200) -> Response:
    """Return a short answer as ``text/html``, the server's type for plain words."""
    return Response(status, HTML, body.encode())


def names(values: Iterable[str], *, csv: bool = False) -> Response:
    """Return a list of names: a JSON array, or with ``csv`` a line ``Name`` and one line each (section 3)."""
    if csv:
        return Response(200, CSV, "\n".join(("Name", *values)).encode())
    return Response(200, JSON, json.dumps(list(values)).encode())


def refusal(status: int, body: str) -> Refusal:
    """Return a refusal with a short ``text/html`` body, e.g. 404 ``Version not found``."""
    return Refusal(text(body, status=status))


def failure(reason: str) -> Refusal:
    """Return the 500 for everything without a status of its own, with ``reason`` in the ``<h3>`` line.

    The real page does not escape the reason; here ``<`` is escaped, so that no input becomes mark-up.
    """
    page = (
        "<html><body><h2>Application error</h2>\n"
        f"<h3>{reason.replace('<', '&lt;')}</h3>\n"
        "<p>archiverd ucondb-server</p></body></html>\n"
    )
    return refusal(500, page)


def invalid_value(name: str) -> Refusal:
    """Return the 400 for a character that no parameter may hold (section 2)."""
    body = (
        "400 Bad Request\n\nThe server could not comply with the request since it is either malformed or otherwise"
        f" incorrect. Invalid value for {name}  "
    )
    return Refusal(Response(400, PLAIN, body.encode()))


def unknown_endpoint(path: str) -> Refusal:
    """Return the 404 for a path below the instance's prefix that names no endpoint."""
    body = f"404 Not Found\n\nThe resource could not be found. invalid path: {path}  "
    return Refusal(Response(404, PLAIN, body.encode()))
