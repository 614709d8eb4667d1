"""A TCP relay that counts what passes."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Relay:
    """Stands before a server on loopback; ``sent`` counts the bytes that went to it."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.sent = 0

    @property
    def address(self) -> str:
        return "{}:{}".format(*self._listener.getsockname())

    @contextlib.contextmanager
    def running(self) -> Iterator[Relay]:
        """Relay while the block runs; its connections must have been closed by their clients before the end."""
        accepting = threading.Thread(target=self._accept)
        accepting.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            self._listener.close()
            for thread in self._threads:
                thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._relay, args=(client,))
                thread.start()
                self._threads.append(thread)

    def _relay(self, client: socket.socket) -> None:
        """Pass bytes both ways until one side closes."""
        with client, socket.create_connection(self._target) as server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            with contextlib.suppress(OSError):
                while True:
                    for key, _ in ready.select():
                        data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                        if not data:
                            return
                        key.data.sendall(data)
                        if key.fileobj is client:
                            with self._lock:
                                self.sent += len(data)
