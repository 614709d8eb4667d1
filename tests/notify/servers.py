"""Real servers for the adapters: SMTP (aiosmtpd), an HTTP server that answers as Slack's API, Carbon."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import warnings
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult

from tests.waiting import DEADLINE_SECONDS, NEVER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

PEM = Path(__file__).parents[1] / "data" / "ucondb_client" / "tls.pem"
"""A self-signed certificate for 127.0.0.1, with its key."""


def trusting() -> ssl.SSLContext:
    """Return the TLS context of a client that trusts PEM alone."""
    return ssl.create_default_context(cafile=str(PEM))


def certified() -> ssl.SSLContext:
    """Return the TLS context of a server with PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@dataclass
class Mailbox:
    """An SMTP server with its demands, its refusals, and the mails it got."""

    tls: bool = False
    """With STARTTLS."""
    implicit_tls: bool = False
    """TLS before anything else."""
    login: tuple[str, str] | None = None
    refused: dict[str, str] = field(default_factory=dict)
    """By recipient: the answer to it."""
    answer: str = "250 OK"
    """To a whole mail."""
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    sessions: list[bool] = field(default_factory=list)
    """For each mail, whether it came over TLS."""
    verbs: list[str] = field(default_factory=list)
    port: int = 0
    _protocols: list[SMTP] = field(default_factory=list)

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, session: Any, _envelope: Any, name: str, responses: list[str]
    ) -> list[str]:
        """Accept a greeting."""
        session.host_name = name
        self.verbs.append("EHLO")
        return responses

    async def handle_NOOP(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, _envelope: Any, _text: str
    ) -> str:
        """Do nothing."""
        self.verbs.append("NOOP")
        return "250 OK"

    async def handle_QUIT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, _envelope: Any
    ) -> str:
        """Accept the end of a session."""
        self.verbs.append("QUIT")
        return "221 Bye"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Accept or refuse a recipient."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, session: Any, envelope: Any
    ) -> str:
        """Accept or refuse a mail."""
        if self.answer.startswith("2"):
            mail: Any = message_from_bytes(envelope.content, policy=policy.default)
            self.mails.append(mail)
            self.recipients.append(envelope.rcpt_tos)
            self.sessions.append(session.ssl is not None)
        return self.answer

    def _log_in(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.verbs.append("AUTH")
        good = (data.login.decode(), data.password.decode()) == self.login
        return AuthResult(success=good, handled=False)

    def _protocol(self) -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it does not like logins without TLS
            self._protocols.append(self._server())
        return self._protocols[-1]

    def _server(self) -> SMTP:
        return SMTP(
            self,
            hostname="mail.test",
            tls_context=certified() if self.tls else None,
            require_starttls=self.tls,
            authenticator=self._log_in if self.login else None,
            auth_required=self.login is not None,
            auth_require_tls=self.tls,
            loop=asyncio.get_running_loop(),
        )

    @contextlib.contextmanager
    def serving(self) -> Iterator[Mailbox]:
        """Serve, in a thread, while the block runs; on the port it had before, if it served before."""
        ready, stop = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready, stop)))
        thread.start()
        ready.wait(DEADLINE_SECONDS)
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    async def _serve(self, ready: threading.Event, stop: threading.Event) -> None:
        server = await asyncio.get_running_loop().create_server(
            self._protocol, "127.0.0.1", self.port, ssl=certified() if self.implicit_tls else None
        )
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.02)
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for protocol in self._protocols:
            if protocol.transport is not None:
                protocol.transport.abort()
        self._protocols.clear()
        await asyncio.sleep(0)


@dataclass
class SlackApi:
    """An HTTP server with Slack's methods, its answers, and the requests it got."""

    token: str = "xoxb-good"
    answers: list[tuple[int, dict[str, str], object]] = field(default_factory=list)
    """The first answers, one a request: status, headers, body; later requests succeed."""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""
    frozen: threading.Event | None = None
    """Requests are answered once it is set."""

    @contextlib.contextmanager
    def serving(self) -> Iterator[SlackApi]:
        """Serve while the block runs."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
                with contextlib.suppress(OSError):
                    api._answer(self, body)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's form
                """Log nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.url = "http://{}:{}/api/".format(*server.server_address[:2])
        try:
            yield self
        finally:
            if self.frozen is not None:
                self.frozen.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, body: str) -> None:
        self.calls.append((handler.path.removeprefix("/api/"), json.loads(body) if body.startswith("{") else {}))
        if self.frozen is not None:
            self.frozen.wait(NEVER_SECONDS)
        status, headers, answer = 200, {}, {"ok": True}
        if self.answers:
            status, headers, answer = self.answers.pop(0)
        elif handler.headers["Authorization"] != f"Bearer {self.token}":
            answer = {"ok": False, "error": "invalid_auth"}
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)


@dataclass
class Graphite:
    """A TCP server that collects lines."""

    port: int = 0
    lines: list[str] = field(default_factory=list)
    connections: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def serving(self) -> Any:
        """Serve while the block runs; then every connection is cut."""
        server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
            self._writers.clear()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.lines.append(line.decode())
