"""A request's body before it is stored: small ones in memory, large ones in an unnamed file."""

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
"""Bytes read, stored and sent at a time."""


class Spool:
    """Bytes with their checksums. Methods block; for use by one thread at a time.

    Holds at most ``limit`` bytes. Of a longer body it knows only the size, so that the body can be refused at the point
    where the real server refuses it.
    """

    def __init__(self, directory: Path, *, limit: int) -> None:
        """Put the unnamed file into ``directory``; up to ``PIECE`` bytes need none."""
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
        """Whether the body exceeds the limit; ``pieces`` and the checksums are then meaningless."""
        return self.size > self._limit

    def sha256(self) -> bytes:
        """Return the SHA-256 of the bytes added so far."""
        return self._sha256.digest()

    def add(self, data: bytes) -> None:
        """Append ``data``. Raise OSError if it cannot be written to disk."""
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
        """Yield the bytes from the start in pieces of at most ``PIECE``; none for an empty body."""
        if self._file is None:
            if self._memory:
                yield self._memory
            return
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece
