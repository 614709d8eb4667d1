"""The control socket's file: made for the daemon's group, found from the work directory, removed at the end."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import TYPE_CHECKING

from archiverd.control.protocol import NAME, choose_path
from archiverd.core.errors import ArchiverError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def listening(work_dir: Path) -> Iterator[tuple[socket.socket, Path]]:
    """Yield the listening socket, not blocking, and its path; at the end remove the files that are still ours.

    Raise ArchiverError if the place is taken by something else or is not safe, OSError if the socket cannot be made.
    """
    work_dir = work_dir.absolute()
    path, direct = choose_path(work_dir, os.environ, os.getuid()), work_dir / NAME
    if path != direct:
        _make_private(path.parent)
    for place in {path, direct}:
        _clear(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(path))
        path.chmod(0o660)  # before it listens, nobody can connect
        listener.listen()
        if path != direct:
            direct.symlink_to(path)
        made = [(place, _identity(place)) for place in {path, direct}]
        try:
            yield listener, path
        finally:
            for place, identity in made:
                if _identity(place) == identity:
                    place.unlink(missing_ok=True)


def _make_private(directory: Path) -> None:
    """Make a directory for the socket. Raise ArchiverError for one in which somebody else could put theirs."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ArchiverError(
            f"{directory} is not a directory of ours alone: the control socket cannot be made there",
            remedy=f"remove {directory}, or choose a work_dir with a shorter path",
        )


def _clear(place: Path) -> None:
    """Remove a killed daemon's socket or link. Raise ArchiverError for a file that no daemon left there."""
    try:
        mode = place.lstat().st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISSOCK(mode) or stat.S_ISLNK(mode)):
        raise ArchiverError(
            f"{place} is not a socket: the control socket cannot be made", remedy=f"move {place} out of the way"
        )
    place.unlink(missing_ok=True)


def _identity(place: Path) -> tuple[int, int] | None:
    """Return device and inode, which differ between a file and its successor; None if it cannot be read."""
    try:
        found = place.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
