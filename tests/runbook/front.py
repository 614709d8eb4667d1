"""A front end before a UconDB server, as Apache is before the real one: a process of its own would hide its faults.

It passes everything on, and does wrong what it is told to.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

OWN = ("connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding")
"""Headers that each connection has of its own; all others are passed on, both ways."""


class Front(ThreadingHTTPServer):
    """Stands before the server at ``url``; the attributes say what it does wrong."""

    daemon_threads = False
    block_on_close = True

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        """Listen on a free port of loopback, with ``tls`` if given."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.parts = urlsplit(url)
        self.forbids_writing = False
        """Answers 403 to what would store something."""
        self.corrupts = False
        """Changes one byte of every blob on its way back."""
        self.storing_seconds = 0.0
        """Seconds before a request that stores a blob is passed on."""
        self.scheme = "http"
        if tls is not None:
            self.scheme = "https"
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """The front end's own address of the server."""
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}{self.parts.path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Leave a client that went away, or did not want our certificate, alone."""

    @contextlib.contextmanager
    def running(self) -> Iterator[Front]:
        """Serve while the block runs."""
        serving = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield self
        finally:
            self.shutdown()
            serving.join()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One connection, one exchange at a time."""

    server: Front
    timeout = 30
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.forbids_writing:
            self._answer(403, {}, b"")
            return
        threading.Event().wait(self.server.storing_seconds if body else 0.0)
        self._pass_on(body)

    def _pass_on(self, body: bytes) -> None:
        """Ask the server behind, and answer as it does."""
        behind = http.client.HTTPConnection(
            self.server.parts.hostname or "", self.server.parts.port or 0, timeout=DEADLINE_SECONDS
        )
        headers = {name: value for name, value in self.headers.items() if name.lower() not in OWN}
        behind.request(self.command, self.path, body=body or None, headers=headers)
        reply = behind.getresponse()
        content = reply.read()
        behind.close()
        if self.server.corrupts and content.startswith(b"Start of Record"):
            content = content.replace(b"Start of Record", b"Start of Rec0rd", 1)
        self._answer(reply.status, dict(reply.getheaders()), content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in OWN:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
