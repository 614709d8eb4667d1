"""Opening a run directory: it may be a link, for a run that was moved to another disk; nothing in it may be."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[int]:
    """Open a run directory, through a link if it is one, and yield its descriptor. Blocking. Raise OSError."""
    descriptor = os.open(directory, _FLAGS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
