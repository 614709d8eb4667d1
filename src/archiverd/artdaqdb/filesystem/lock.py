"""The writer's lock on a database directory: one archiverd at a time. The library knows no lock."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from archiverd.core.errors import ArtdaqDBError, Retry

if TYPE_CHECKING:
    from pathlib import Path

LOCK = ".archiverd.lock"


def take_lock(root: Path) -> int:
    """Return a descriptor that holds the lock on ``root`` until it and its heirs are closed.

    Raise ArtdaqDBError if another archiverd, or what it left running, holds it; OSError as the file system gives it.
    """
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise
        raise ArtdaqDBError(
            f"Another archiverd (process {holder or 'unknown'}) writes to {root}",
            retry=Retry.TRANSIENT,
            remedy="one writer at a time: stop the other, or point one of them at another database_uri",
            context={"database": str(root), "pid": holder},
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
