"""Errors of the file system as errors of artdaqDB."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, TypeVar

from archiverd.core.errors import ArtdaqDBError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

ACCESS = "Failed to access artdaqDB"
LISTING = "Failed to get configurations"
"""First words of a failure to list; the troubleshooting guide spells them so."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PASSING = (*_FULL, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def run_on_database(work: Callable[[], T], root: Path, failure: str = ACCESS) -> T:
    """Run ``work`` on the database in ``root``; turn OSError into ArtdaqDBError, its message led by ``failure``."""
    try:
        return work()
    except OSError as error:
        remedy = (
            f"free space on the file system of {root}; the run is tried again by itself"
            if error.errno in _FULL
            else f"check {root}: it must be readable and writable by the user archiverd runs as"
        )
        raise ArtdaqDBError(
            f"{failure}: {error}",
            retry=Retry.TRANSIENT if error.errno in _PASSING else Retry.PERMANENT,
            remedy=remedy,
            context={"database": str(root)},
        ) from error
