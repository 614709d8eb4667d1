"""A scan of the run-records directory: which run directories there are, and what else looks like one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archiverd.core.errors import ArchiverError, Retry
from archiverd.core.runset import LAST_RUN
from archiverd.runrecord.record import parse_run_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from archiverd.config.models import Settings

NAMES_KEPT: Final = 100
"""Most names that are listed; all are counted."""

_LIKE_A_RUN: Final = re.compile(r"[+-]?\d")
"""How a name begins that looks like a run; ``\\d`` has every script's digits. ``²`` is none, see ``_rule``."""
_FILESYSTEM: Final = "filesystemdb://"


@dataclass(frozen=True, slots=True)
class OddName:
    """A name in the run-records directory that looks like a run and is none, and the rule it breaks."""

    name: str
    rule: str


@dataclass(frozen=True, slots=True)
class OddNames:
    """The names that look like runs and are none: how many, and the first of them by name."""

    count: int = 0
    names: tuple[OddName, ...] = ()


@dataclass(frozen=True, slots=True)
class DirectoryScan:
    """The result of one scan of the run-records directory."""

    runs: frozenset[int]
    mtime_ns: int
    """The directory's modification time, taken before the scan."""
    identity: tuple[int, int] = (0, 0)
    """Device and inode of the directory."""
    doubles: Mapping[int, int] = field(default_factory=dict)
    """Runs whose directory is a link to that of another run, and which."""
    odd: OddNames = field(default_factory=OddNames)


def scan_records(settings: Settings) -> DirectoryScan:
    """Scan the run-records directory of ``settings``. Blocking; raise ArchiverError."""
    apart = [settings.app.work_dir]
    uri = settings.artdaq_db.database_uri
    if uri.startswith(_FILESYSTEM):
        apart.append(Path(uri.removeprefix(_FILESYSTEM)))
    return scan(settings.source_files.run_records_dir, apart)


def scan(root: Path, apart: Sequence[Path] = ()) -> DirectoryScan:
    """List the run directories of ``root``: names that are run numbers, of directories or links to directories.

    A link may not lead into the directories ``apart``, which are archiverd's own. Blocking. Raise ArchiverError
    ``Cannot read run records directory`` in the runbook's words.
    """
    runs: dict[int, int] = {}
    links: list[tuple[int, str]] = []
    odd: list[OddName] = []
    try:
        status = os.stat(root)
        with os.scandir(root) as entries:
            for entry in entries:
                run = parse_run_number(entry.name)
                if run is not None and entry.is_dir(follow_symlinks=False):
                    runs[run] = entry.inode()
                elif run is not None and entry.is_symlink():
                    links.append((run, entry.path))
                elif (rule := _rule(entry.name, run)) is not None:
                    odd.append(OddName(entry.name, rule))
    except OSError as error:
        raise ArchiverError(
            f"Cannot read run records directory: {OSError(error.errno, error.strerror)}",
            retry=Retry.TRANSIENT,
            remedy="check source_files.run_records_dir, its mount, and that the user archiverd runs as may read it",
            context={"directory": str(root)},
        ) from error
    doubles: dict[int, int] = {}
    followed: set[int] = set()
    if links:
        doubles = _follow(root, links, {(status.st_dev, inode): run for run, inode in runs.items()}, apart, odd)
        followed = {run for run, _ in links} - {int(one.name) for one in odd if parse_run_number(one.name) is not None}
    first = tuple(sorted(odd, key=lambda one: one.name)[:NAMES_KEPT])
    identity = (status.st_dev, status.st_ino)
    found = frozenset(runs) | followed if followed else frozenset(runs)
    return DirectoryScan(found, status.st_mtime_ns, identity, doubles, OddNames(len(odd), first))


def _rule(name: str, run: int | None) -> str | None:
    """Return the rule that a name breaks that looks like a run; None if it does not look like one."""
    if run is not None:
        return "not a directory"
    if not (name[:1].isdigit() or _LIKE_A_RUN.match(name)):
        return None
    if name.isascii() and name.isdecimal():
        return "a run number has no zero in front" if name[0] == "0" else f"a run number is at most {LAST_RUN}"
    return "a run number has decimal digits and nothing else"


def _follow(
    root: Path,
    links: Iterable[tuple[int, str]],
    taken: dict[tuple[int, int], int],
    apart: Sequence[Path],
    odd: list[OddName],
) -> dict[int, int]:
    """Follow links in ``root`` that have a run's name; return those that lead to another run's directory, and whose.

    ``taken`` has the runs by device and inode of their directories. What leads nowhere, or where no record can be, is
    added to ``odd``.
    """
    doubles: dict[int, int] = {}
    own = [os.path.realpath(path) for path in apart]
    above = os.path.realpath(root) + os.sep
    for run, path in sorted(links):
        try:
            status, target = os.stat(path), os.path.realpath(path)
        except OSError as error:
            odd.append(OddName(str(run), f"a link that leads nowhere ({error.strerror})"))
            continue
        if not os.path.isdir(path):
            odd.append(OddName(str(run), "a link to a file"))
        elif above.startswith(target.rstrip(os.sep) + os.sep):
            odd.append(OddName(str(run), "a link to the run-records directory, or above it"))
        elif any(target == one or target.startswith(one + os.sep) for one in own):
            odd.append(OddName(str(run), "a link into archiverd's own directories"))
        elif (other := taken.setdefault((status.st_dev, status.st_ino), run)) != run:
            doubles[run] = other
    return doubles
