"""A request's body on its way into the database: small ones stay in memory, large ones wait in an unnamed file."""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import IO

PIECE = 1 << 20
"""Bytes read, kept and sent at a time."""


class Spool:
    """Bytes with their checksums; its methods block, and one thread at a time may use it.

    No more than ``limit`` bytes are kept: of a longer body only the size is known, so that it can be refused at the
    point where the real server refuses it.
    """

    def __init__(self, directory: Path, *, limit: int) -> None:
        """``directory`` takes the unnamed file; no file is made below ``PIECE`` bytes."""
        self.size = 0
        self.adler32 = zlib.adler32(b"")
        self._sha256 = hashlib.sha256()
        self._directory = directory
        self._limit = limit
        self._memory = b""
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def too_long(self) -> bool:
        """Tell whether more than the limit came in; ``pieces`` and the checksums are then of no use."""
        return self.size > self._limit

    def sha256(self) -> bytes:
        """Return the SHA-256 of what came in so far."""
        return self._sha256.digest()

    def add(self, data: bytes) -> None:
        """Append ``data``. Raises ``OSError`` when the disk does not take it."""
        self.size += len(data)
        if self.too_long:
            return
        self.adler32 = zlib.adler32(data, self.adler32)
        self._sha256.update(data)
        if self.size <= PIECE:
            self._memory += data
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115  # closed by __exit__
            self._file.write(self._memory)
            self._memory = b""
        self._file.write(data)

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes from the start, at most ``PIECE`` at a time; nothing for an empty body."""
        if self._file is None:
            if self._memory:
                yield self._memory
            return
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece
