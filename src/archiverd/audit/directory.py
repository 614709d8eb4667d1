"""Whether the directory of an archived run still holds what was archived.

The status of its files is compared first; only where that differs are files read and hashed. Mode, owner, inode and
device are no difference, nor is a time: what counts is a file's content (I8).
"""

from __future__ import annotations

import enum
import hashlib
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from archiverd.journal.rows import Differences, FileFate, legible
from archiverd.pipeline.import_plan import NEVER_CAME
from archiverd.runrecord.completeness import start_line
from archiverd.runrecord.directory import opened
from archiverd.runrecord.listing import digest_of, list_files, status_of
from archiverd.runrecord.record import LARGEST_FILE, NO_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archiverd.journal.rows import RunRow
    from archiverd.runrecord.listing import FileStatus
    from archiverd.runrecord.record import RunRecord

STANDS: Final = "an operator lets stand what was archived"
"""Why a file that is different now is not archived again."""
_PIECE: Final = 1 << 20
"""Bytes read at a time."""


class Verdict(enum.Enum):
    """What a comparison of a directory with what was archived came to."""

    SAME = "its files are as they were"
    CHANGED = "files were added, edited or removed"
    REUSED = "it holds the record of another run"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of comparing one directory."""

    verdict: Verdict
    listing: str = ""
    """Digest of the listing that was compared."""
    differences: Differences = field(default_factory=Differences)
    started: str = ""
    """The start line of the other run."""
    hashed: int = 0
    """How many bytes were read."""


def look_at(directory: Path) -> tuple[str, int]:
    """Return the digest of a directory's listing, and its number of files; empty if it cannot be read. Blocking."""
    try:
        with opened(directory) as descriptor:
            files = list_files(descriptor).files
            return digest_of(files), len(files)
    except OSError:
        return "", 0


def compare_directory(
    directory: Path, row: RunRow, manifest: Sequence[FileFate], *, network: bool = False
) -> Comparison:
    """Compare a run's directory with what was archived of it. Blocking; raises no OSError.

    What cannot be read, changes meanwhile or is not there at all is unknown, and so is a run of which no content is
    known, but for its start line.
    """
    try:
        with opened(directory) as descriptor:
            return _compare(descriptor, directory, row, manifest, network=network)
    except OSError:
        return Comparison(Verdict.UNKNOWN)


def accepted(manifest: Sequence[FileFate], record: RunRecord) -> list[FileFate]:
    """Return the manifest of a run whose archive stands although its directory is as ``record`` by now."""
    read = {legible(file.name): (len(file.data), hashlib.sha256(file.data).hexdigest()) for file in record.files}
    fates = []
    for fate in manifest:
        if is_awaited(fate) and read.get(fate.name, (0, ""))[0]:  # it came after all: among the new ones
            continue
        if not fate.sha256:  # nothing of it was archived as it was read: it never came, or another program left it out
            fates.append(fate)
            continue
        size, sha256 = read.get(fate.name, (None, ""))
        since = "removed" if size is None else "edited"
        reason = fate.reason if sha256 == fate.sha256 else f"{since} since it was archived: {STANDS}"
        fates.append(replace(fate, reason=reason, size=size, sha256=sha256))
    new = sorted(read.keys() - {fate.name for fate in fates})
    return [*fates, *(FileFate(name, "", f"added since it was archived: {STANDS}", *read[name]) for name in new)]


def is_awaited(fate: FileFate) -> bool:
    """Return whether there was no file of this name when the run was archived: if one comes it was added.

    Its record promises it and it never came, or a link or a directory had its name.
    """
    return fate.reason == NEVER_CAME or fate.reason in NO_FILE


def _compare(
    descriptor: int, directory: Path, row: RunRow, manifest: Sequence[FileFate], *, network: bool
) -> Comparison:
    """Compare the directory that is open as ``descriptor``. Raise OSError."""
    files = list_files(descriptor, network=network).files
    listing = digest_of(files)
    if listing == row.listing and not row.changed:
        return Comparison(Verdict.SAME, listing)
    found = start_line(directory)
    if row.start_line and found not in (None, row.start_line):
        return Comparison(Verdict.REUSED, listing, started=found or "")
    known = {fate.name: fate for fate in manifest if fate.sha256}
    if not known:
        return Comparison(Verdict.UNKNOWN, listing)
    there = {legible(file.name): file for file in files}
    same_size = [name for name, fate in known.items() if name in there and there[name].size == fate.size]
    contents = {name: _hash(descriptor, there[name]) for name in same_size}
    awaited = {fate.name for fate in manifest if is_awaited(fate) and fate.name in there and there[fate.name].size}
    differences = Differences(
        added=tuple(sorted(there.keys() - {fate.name for fate in manifest} | awaited)),
        edited=tuple(sorted(name for name in known.keys() & there.keys() if contents.get(name) != known[name].sha256)),
        removed=tuple(sorted(known.keys() - there.keys())),
    )
    hashed = sum(there[name].size for name in same_size)
    return Comparison(Verdict.CHANGED if differences else Verdict.SAME, listing, differences, hashed=hashed)


def _hash(directory: int, listed: FileStatus) -> str:
    """Return a file's SHA-256 in hex. Raise OSError, also if it changed meanwhile."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(listed.name, flags, dir_fd=directory)
    try:
        digest, left = hashlib.sha256(), LARGEST_FILE
        while left > 0 and (piece := os.read(descriptor, _PIECE)):
            digest.update(piece)
            left -= len(piece)
        if status_of(listed.name, os.fstat(descriptor)) != listed:
            raise OSError(f"{listed.name} changed while it was read")
        return digest.hexdigest()
    finally:
        os.close(descriptor)
