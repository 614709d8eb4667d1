"""Which run a directory is of: no two runs start at one time, so its start line tells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from archiverd.runrecord.completeness import time_lines
from archiverd.runrecord.sighting import METADATA

if TYPE_CHECKING:
    from pathlib import Path

_TAIL: Final = 4 << 20
"""Bytes of metadata.txt that are read: its end, where the watch finds the time lines too."""
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def start_line(directory: Path) -> str | None:
    """Return when the run started whose record stands in ``directory``; None if that cannot be told. Blocking.

    Only metadata.txt is read: this is asked of every run there is.
    """
    try:
        descriptor = os.open(directory / METADATA, _READ_FLAGS)
        try:
            size = os.fstat(descriptor).st_size
            return time_lines(os.pread(descriptor, _TAIL, max(0, size - _TAIL))).started
        finally:
            os.close(descriptor)
    except OSError:
        return None
