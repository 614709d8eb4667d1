"""A scan of the run-records directory: which run directories there are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError, Retry
from archiverd.runrecord.record import parse_run_number

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class DirectoryScan:
    """The result of one scan of the run-records directory."""

    runs: frozenset[int]
    mtime_ns: int
    """The directory's modification time, taken before the scan."""
    identity: tuple[int, int] = (0, 0)
    """Device and inode of the directory."""


def scan(root: Path) -> DirectoryScan:
    """List the run directories of ``root``: names that are run numbers, real directories only.

    Raise ArchiverError ``Cannot read run records directory`` in the runbook's words.
    """
    try:
        status = os.stat(root)
        with os.scandir(root) as entries:
            return DirectoryScan(frozenset(_runs(entries)), status.st_mtime_ns, (status.st_dev, status.st_ino))
    except OSError as error:
        raise ArchiverError(
            f"Cannot read run records directory: {OSError(error.errno, error.strerror)}",
            retry=Retry.TRANSIENT,
            remedy="check source_files.run_records_dir, its mount, and that the user archiverd runs as may read it",
            context={"directory": str(root)},
        ) from error


def _runs(entries: Iterable[os.DirEntry[str]]) -> Iterable[int]:
    """Yield the run numbers among directory entries."""
    for entry in entries:
        run = parse_run_number(entry.name)
        if run is not None and entry.is_dir(follow_symlinks=False):
            yield run
