"""One request and its reply, over ASGI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class ClientLeftError(Exception):
    """The connection ended before the exchange did."""


class Exchange:
    """A request's head, its body on the way in and its reply on the way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the time, in epoch seconds: it becomes a put's ``tr`` (ucondb_protocol.md section 1)."""
        self.received = time.time()
        self.method: str = scope["method"]
        self.raw_path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._scope = scope
        self._receive = receive
        self._send = send

    @property
    def line(self) -> str:
        """Method and target, as they came."""
        return f"{self.method} {(self.raw_path + b'?' + self.query).decode('latin-1')}"

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks instead of with a length."""
        return self.header(b"transfer-encoding") is not None

    def header(self, name: bytes) -> bytes | None:
        """Return the first header ``name`` (lower case), or None."""
        return next((value for given, value in self._headers if given == name), None)

    async def receive(self) -> tuple[bytes, bool]:
        """Return the next part of the body, and whether more follows. Raise ClientLeftError."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        return message.get("body", b""), message.get("more_body", False)

    async def send_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send status line and headers."""
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send_body(self, data: bytes, *, more: bool) -> None:
        """Send part of the body; waits while the client is slow."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def hang_up(self) -> NoReturn:
        """Close the connection after what was sent so far. Raise ClientLeftError."""
        self._scope["state"]["hang_up"]()  # put there by the listener
        await self.never_answer()

    async def never_answer(self) -> NoReturn:
        """Discard input until the client gives up. Raise ClientLeftError."""
        while True:
            await self.receive()
