"""Which run a directory is of: no two runs start at one time, so its start line tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.runrecord.completeness import time_lines
from archiverd.runrecord.snapshot import METADATA, tail

if TYPE_CHECKING:
    from pathlib import Path


def start_line(directory: Path) -> str | None:
    """Return when the run started whose record stands in ``directory``; None if that cannot be told. Blocking.

    Only metadata.txt is read: this is asked of every run there is.
    """
    try:
        return time_lines(tail(directory / METADATA)).started
    except OSError:
        return None
