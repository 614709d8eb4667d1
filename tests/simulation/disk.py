"""A disk that forgets, when the power goes, whatever was not synced: names and contents, each for itself."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.simulation.world import World

FULL, SICK = errno.ENOSPC, errno.EIO


@dataclass(eq=False)
class File:
    """One file, whatever its name: what the platter has, and what has been written over it since."""

    durable: bytes = b""
    written: list[bytes] = field(default_factory=list)
    """Contents since the last sync, oldest first; the last is what a process reads."""
    holes: list[tuple[int, int]] = field(default_factory=list)
    """Ranges the kernel takes for written since their sync failed, and that never reached the platter."""

    @property
    def content(self) -> bytes:
        return self.written[-1] if self.written else self.durable

    def write(self, content: bytes) -> None:
        self.written.append(content)
        self.holes = [(start, end) for start, end in self.holes if start < len(content)]

    def sync(self) -> None:
        content = bytearray(self.content)
        for start, end in self.holes:
            content[start:end] = bytes(max(0, min(end, len(content)) - start))
        self.durable = bytes(content)
        self.written.clear()


class ForgetfulDisk(RealDisk):
    """Real files for the process, and beside them what would be left of each after a power cut.

    A name that no directory sync made durable is there or not, each for itself, so that two renames may survive in the
    other order; bytes that no sync made durable are old, new, short or zero. Every call may fail before it did
    anything, half-way, or at its sync; after a failed sync the bytes count as written and are not (as on Linux).
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._files: dict[Path, File] = {}
        self._names: dict[Path, list[File | None]] = {}
        """For each name that changed since its directory was synced: what it led to, oldest (durable) first."""

    def power_cut(self) -> None:
        """Leave of every file what a platter may have; everything counts as durable then."""
        dice = self._world.dice
        for path in sorted({*self._names, *(path for path, file in self._files.items() if file.written)}):
            file = dice.choice(self._names[path]) if path in self._names else self._files[path]
            if file is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(self._left_of(file))
        self._files.clear()
        self._names.clear()

    def _left_of(self, file: File) -> bytes:
        """Return one of the contents a file may have after the power went."""
        if not file.written:
            return file.durable
        dice, last = self._world.dice, file.content
        pairs = enumerate(zip(file.durable, last, strict=False))
        kept = next((n for n, (a, b) in pairs if a != b), min(len(file.durable), len(last)))  # untouched bytes stay
        cut = dice.randint(kept, len(last))
        return dice.choice((file.durable, dice.choice(file.written), last[:cut], last[:cut] + bytes(len(last) - cut)))

    def write(self, path: Path, data: bytes, *, sync: bool = True) -> None:
        self._begin("write")
        self._change(path, self._file(path) or self._make(path), data)
        if sync:
            self._sync(path)
        self._world.effect("written")

    def create(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        self._begin("create")
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self._change(path, self._make(path), self._garbled(data))
        path.chmod(mode & 0o755)
        self._sync(path)
        self._world.effect("created")

    def append(self, path: Path, data: bytes) -> None:
        self._begin("append")
        file = self._file(path) or self._make(path)
        self._change(path, file, file.content + data, since=len(file.content))
        self._sync(path, since=len(file.content) - len(data))
        self._world.effect("appended")

    def truncate(self, path: Path, length: int) -> None:
        self._begin("truncate")
        file = self._known(path)
        self._change(path, file, file.content[:length], since=length)
        self._sync(path, since=length)
        self._world.effect("truncated")

    def publish(self, path: Path, chunks: Iterable[bytes]) -> None:
        self._begin("publish")
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            self._change(temporary, self._make(temporary), b"".join(chunks))
            self._sync(temporary)
            self._begin("rename")
        except OSError:
            self._name(temporary, None)
            temporary.unlink(missing_ok=True)
            raise
        self._name(path, self._files.pop(temporary))
        self._name(temporary, None)
        temporary.replace(path)
        self._world.effect("renamed")
        self.sync_directory(path.parent)

    def move(self, path: Path, target: Path) -> None:
        self._begin("move")
        self._name(target, self._known(path))
        self._name(path, None)
        path.replace(target)
        self._world.effect("moved")
        self.sync_directory(target.parent)

    def sync_files(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self._begin("sync")
            self._known(path)
            self._sync(path)

    def sync_directory(self, path: Path) -> None:
        self._begin("directory sync")
        if self._world.chance(0.001):
            self._world.note("directory sync fails")
            raise OSError(SICK, os.strerror(SICK), str(path))
        self._names = {name: led_to for name, led_to in self._names.items() if name.parent != path}
        self._world.effect("directory synced")

    def unlink(self, path: Path) -> None:
        self._begin("unlink")
        if path.exists():
            self._known(path)
            self._name(path, None)
            path.unlink()
        self._world.effect("unlinked")

    def _begin(self, what: str) -> None:
        """Be killed, or fail, before anything is done."""
        self._world.effect(f"before {what}")
        if self._world.chance(0.001):
            self._world.note(f"{what} fails")
            raise OSError(FULL, os.strerror(FULL))

    def _change(self, path: Path, file: File, content: bytes, since: int = 0) -> None:
        """Let a process see a new content; not durable yet. May fail with half of what is new from ``since`` on."""
        half = content[: since + (len(content) - since) // 2]
        fails = self._world.chance(0.001)
        file.write(half if fails else content)
        path.write_bytes(file.content)
        if fails:
            self._world.note("write fails half-way")
            raise OSError(FULL, os.strerror(FULL), str(path))
        self._world.effect("written, not synced")

    def _sync(self, path: Path, since: int = 0) -> None:
        """Make a file's bytes durable; if that fails those from ``since`` on only look so."""
        file = self._files[path]
        if self._world.chance(0.001):
            self._world.note("sync fails")
            file.holes.append((since, len(file.content)))
            raise OSError(SICK, os.strerror(SICK), str(path))
        file.sync()

    def _garbled(self, data: bytes) -> bytes:
        """Return what a bad disk makes of a document, now and then: another value."""
        value = re.search(rb"\b[1-9]\d{8}\b", data)
        if value is None or not self._world.chance(0.005):
            return data
        self._world.note("document garbled")
        return data[: value.start()] + value[0][::-1] + data[value.end() :]

    def _file(self, path: Path) -> File | None:
        """Return the file a name leads to now, None if to none; one that somebody else wrote to counts as durable."""
        there = path.read_bytes() if path.exists() else None
        known = self._files.get(path)
        if there is None:
            return None
        if known is None or known.content != there:
            known = self._files[path] = File(there)
        return known

    def _known(self, path: Path) -> File:
        file = self._file(path)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return file

    def _make(self, path: Path) -> File:
        """Give a name a new, empty file."""
        made = File()
        self._name(path, made)
        return made

    def _name(self, path: Path, file: File | None) -> None:
        """Let a name lead to a file or to none; not durable before its directory is synced."""
        self._names.setdefault(path, [self._file(path)]).append(file)
        if file is None:
            self._files.pop(path, None)
        else:
            self._files[path] = file
