"""The run-records directory in memory: a file server's clock, permissions that come and go, a mount that goes.

``FileServer.os`` stands for the module ``os`` where run records are read; whatever is not below the run-records
directory goes to the real one.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FIRST_DESCRIPTOR = 1_000_000
"""Above every descriptor of the real operating system."""


@dataclass(slots=True, eq=False)
class Node:
    """A file or a directory: one with ``entries``."""

    inode: int
    mode: int
    data: bytes = b""
    entries: dict[str, Node] | None = None
    mtime_ns: int = 0
    ctime_ns: int = 0
    denied: int = 0
    """The error that opening it makes; 0 for none."""


@dataclass(slots=True)
class Status:
    """What stat says of a node."""

    st_mode: int
    st_ino: int
    st_dev: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int


@dataclass(slots=True)
class Entry:
    """One entry of a directory."""

    name: str
    node: Node
    device: int

    def stat(self, *, follow_symlinks: bool) -> Status:  # noqa: ARG002 - there are no links
        return status_of(self.node, self.device)

    def is_dir(self, *, follow_symlinks: bool) -> bool:  # noqa: ARG002 - there are no links
        return self.node.entries is not None

    def is_symlink(self) -> bool:
        return False

    def inode(self) -> int:
        return self.node.inode


@dataclass(slots=True)
class _Open:
    node: Node
    position: int = 0


class _Entries:
    """What scandir returns."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries

    def __enter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""


def status_of(node: Node, device: int) -> Status:
    """Return the status of a node."""
    kind = stat.S_IFREG if node.entries is None else stat.S_IFDIR
    return Status(kind | node.mode, node.inode, device, len(node.data), node.mtime_ns, node.ctime_ns)


@dataclass(eq=False)
class FileServer:
    """The file server with the run records below ``root``; ``clock`` gives its time in epoch seconds."""

    root: Path
    clock: Callable[[], float]
    trouble: int = 0
    """The error that every access makes, as a mount that fails does; 0 for none."""
    on_read: Callable[[Node], None] = lambda _directory: None
    """Is told before a file of a directory is opened for its content, and may change anything."""
    _stamps: Iterator[int] = field(default_factory=itertools.count)
    _inodes: Iterator[int] = field(default_factory=lambda: itertools.count(100))

    def __post_init__(self) -> None:
        self._above = f"{self.root}/"
        self._open: dict[int, _Open] = {}
        self._descriptors = itertools.count(_FIRST_DESCRIPTOR)
        self.device = 50
        self.top = self.make_directory()
        self._mounted = self.top
        self.os = _Os(self)
        self.reading_os = _ReadingOs(self)

    @property
    def mounted(self) -> bool:
        """Whether the run records are where they should be."""
        return self.top is self._mounted and not self.trouble

    def unmount(self) -> None:
        """Leave an empty mount point."""
        self.top, self.device = self.make_directory(), 1

    def mount(self) -> None:
        """Put everything back."""
        self.top, self.device, self.trouble = self._mounted, 50, 0

    # what writers do

    def make_directory(self) -> Node:
        """Return a new, empty directory that has no name yet."""
        now = self._now()
        return Node(next(self._inodes), 0o755, entries={}, mtime_ns=now, ctime_ns=now)

    def enter(self, name: str, node: Node) -> None:
        """Give the run-records directory an entry."""
        self._put(self._mounted, name, node)

    def drop(self, name: str) -> None:
        """Take an entry out of the run-records directory."""
        self._put(self._mounted, name, None)

    def write(self, directory: Node, name: str, data: bytes, *, mtime: float | None = None) -> None:
        """Write a file, which is made if there is none; ``mtime`` is set afterwards, as ``touch -r`` does."""
        entries = _entries(directory)
        node = entries.get(name)
        if node is None:
            node = Node(next(self._inodes), 0o644)
            self._put(directory, name, node)
        node.data = data
        node.mtime_ns = node.ctime_ns = self._now()
        if mtime is not None:
            node.mtime_ns = int(mtime * 1e9)

    def rename(self, directory: Node, name: str, new: str) -> None:
        """Give a file another name, over whatever has it."""
        node = _entries(directory)[name]
        self._put(directory, name, None)
        self._put(directory, new, node)
        node.ctime_ns = self._now()

    def remove(self, directory: Node, name: str) -> None:
        """Remove a file."""
        self._put(directory, name, None)

    def change_modes(self, directory: Node, mode: int) -> None:
        """Change the mode of every file, as ``chmod -R`` does."""
        for node in (directory, *_entries(directory).values()):
            node.mode = mode | (0o111 if node is directory else 0)
            node.ctime_ns = self._now()

    def _put(self, directory: Node, name: str, node: Node | None) -> None:
        entries = _entries(directory)
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node
        directory.mtime_ns = directory.ctime_ns = self._now()

    def _now(self) -> int:
        """Return a time stamp; no two changes have the same one."""
        return int(self.clock() * 1e6) * 1000 + next(self._stamps) % 1000

    # what readers ask

    def is_below(self, path: Any) -> bool:
        """Tell whether a path is the run-records directory or below it."""
        text = os.fspath(path)
        return isinstance(text, str) and (text == self._above[:-1] or text.startswith(self._above))

    def is_ours(self, descriptor: int) -> bool:
        """Tell whether a descriptor was given out here."""
        return descriptor >= _FIRST_DESCRIPTOR

    def find(self, path: Any, directory: int | None) -> Node:
        """Return what a path leads to, from the directory that is open if one is. Raise OSError."""
        if self.trouble:
            raise OSError(self.trouble, os.strerror(self.trouble), os.fspath(path))
        node = self.top if directory is None else self.opened(directory).node
        parts = os.fspath(path)[len(self._above) :].split("/") if directory is None else [os.fspath(path)]
        for part in filter(None, parts):
            if node.denied:
                raise OSError(node.denied, os.strerror(node.denied), os.fspath(path))
            found = None if node.entries is None else node.entries.get(part)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
            node = found
        return node

    def opened(self, descriptor: int) -> _Open:
        """Return what is open as a descriptor."""
        if self.trouble:
            raise OSError(self.trouble, os.strerror(self.trouble))
        return self._open[descriptor]

    def open(self, node: Node, path: Any) -> int:
        """Open a node. Raise OSError if it may not be read."""
        if node.denied:
            raise OSError(node.denied, os.strerror(node.denied), os.fspath(path))
        descriptor = next(self._descriptors)
        self._open[descriptor] = _Open(node)
        return descriptor

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        del self._open[descriptor]


class _Os:
    """The part of the module ``os`` that reads run records."""

    def __init__(self, server: FileServer) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        server = self._server
        if dir_fd is None and not server.is_below(path):
            return os.open(path, flags, mode)
        return server.open(server.find(path, dir_fd), path)

    def close(self, descriptor: int) -> None:
        if self._server.is_ours(descriptor):
            self._server.close(descriptor)
        else:
            os.close(descriptor)

    def stat(self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> Any:
        server = self._server
        if dir_fd is None and not server.is_below(path):
            return os.stat(path, follow_symlinks=follow_symlinks)
        return status_of(server.find(path, dir_fd), server.device)

    def fstat(self, descriptor: int) -> Status:
        return status_of(self._server.opened(descriptor).node, self._server.device)

    def scandir(self, where: Any) -> _Entries:
        server = self._server
        node = server.opened(where).node if isinstance(where, int) else server.find(where, None)
        if node.denied:
            raise OSError(node.denied, os.strerror(node.denied))
        return _Entries([Entry(name, one, server.device) for name, one in _entries(node).items()])

    def read(self, descriptor: int, most: int) -> bytes:
        held = self._server.opened(descriptor)
        piece = held.node.data[held.position : held.position + most]
        held.position += len(piece)
        return piece

    def pread(self, descriptor: int, most: int, offset: int) -> bytes:
        return self._server.opened(descriptor).node.data[offset : offset + most]

    def fdopen(self, descriptor: int, _mode: str, *, closefd: bool) -> io.BytesIO:  # noqa: ARG002 - it stays open
        return io.BytesIO(self._server.opened(descriptor).node.data)


class _ReadingOs(_Os):
    """The same where the importer reads content: something may change while it does."""

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if dir_fd is not None:
            self._server.on_read(self._server.opened(dir_fd).node)
        return super().open(path, flags, mode, dir_fd=dir_fd)


def _entries(node: Node) -> dict[str, Node]:
    """Return a directory's entries. Raise OSError if it is a file."""
    if node.entries is None:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return node.entries
