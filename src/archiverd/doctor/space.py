"""Room on the disks: bytes, inodes, and what the log file may come to take."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.core.wording import pluralise
from archiverd.detached import run_detached
from archiverd.doctor.examination import Examination
from archiverd.doctor.files import nearest
from archiverd.doctor.finding import Finding, failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from archiverd.config.models import Settings

MEGABYTE = 1_000_000
INODES_WARNED, INODES_NEEDED = 50_000, 1_000
"""A run is some sixty documents of artdaqDB: the first is several hundred runs, the second some."""
FILES = "filesystemdb://"


@dataclass(frozen=True, slots=True)
class Storage:
    """Where something is written, and how much room (in bytes) it needs there, and should have."""

    name: str
    path: Path
    needed: int
    wanted: int


def examinations(settings: Settings) -> list[Examination]:
    """Return the examinations of this module, in the order of the report."""
    places = [Storage("work_dir", settings.app.work_dir, 100 * MEGABYTE, 1_000 * MEGABYTE)]
    if settings.artdaq_db.database_uri.startswith(FILES) and not settings.artdaq_db.remote_host:
        root = Path(settings.artdaq_db.database_uri.removeprefix(FILES))
        places.append(Storage("artdaqDB", root, 1_000 * MEGABYTE, 10_000 * MEGABYTE))
    places.append(Storage("TMPDIR", Path(tempfile.gettempdir()), 50 * MEGABYTE, 500 * MEGABYTE))
    return [_examination(place) for place in places] + [_logs(settings)]


def _examination(place: Storage) -> Examination:
    """Return the examination of one place: its bytes and its inodes."""
    bytes_name, inodes_name = f"disk space of {place.name}", f"inodes of {place.name}"

    async def run() -> AsyncGenerator[Finding]:
        path = nearest(place.path)
        found = await run_detached(lambda: os.statvfs(path))
        yield _bytes_left(bytes_name, place, path, found)
        yield _inodes_left(inodes_name, path, found)

    return Examination((bytes_name, inodes_name), run)


def _bytes_left(name: str, place: Storage, path: Path, found: os.statvfs_result) -> Finding:
    """Is there room, and may it be used?"""
    free = found.f_bavail * found.f_frsize
    message = f"{size(free)} free on {path}"
    if found.f_flag & os.ST_RDONLY:
        return failed(name, f"{path} is mounted read-only", "mount it read-write; if the kernel did that, see `dmesg`")
    if free < place.needed:
        message += f": No space left on device soon, or now (at least {size(place.needed)} are needed)"
        return failed(
            name, message, f"free space there, or move {place.name}; runs that failed are tried again by themselves"
        )
    if free < place.wanted:
        return warning(name, f"{message}, less than {size(place.wanted)}", f"free space there, or move {place.name}")
    return ok(name, message)


def _inodes_left(name: str, path: Path, found: os.statvfs_result) -> Finding:
    """May more files be made? Some file systems make inodes as they go and count none."""
    if not found.f_files:
        return ok(name, "made as they are needed")
    message = f"{found.f_favail} free on {path}"
    remedy = "remove small files there, or use a file system made with more inodes (`df -i` counts them)"
    if found.f_favail < INODES_NEEDED:
        return failed(name, message, remedy)
    return warning(name, message, remedy) if found.f_favail < INODES_WARNED else ok(name, message)


def _logs(settings: Settings) -> Examination:
    """Return the examination of the log file: is there room for all that rotation keeps?"""
    name, app = "log rotation", settings.app

    def measured(path: Path) -> Finding:
        kept = [one for one in path.parent.glob(f"{path.name}*") if one.is_file()] if path.parent.is_dir() else []
        taken = sum(one.stat().st_size for one in kept)
        most = app.log_max_bytes * (app.log_backup_count + 1)
        files = f"{pluralise(len(kept), 'file')}, {size(taken)}"
        message = f"{files}; at most {size(most)}, rotated after {app.log_max_age_days:g} days"
        found = os.statvfs(nearest(path.parent))
        if most - taken > found.f_bavail * found.f_frsize:
            return warning(
                name,
                f"{message}: more than is free on {path.parent}",
                "lower app.log_max_bytes or app.log_backup_count, or remove old logs there",
            )
        return ok(name, message)

    async def run() -> AsyncGenerator[Finding]:
        path = app.log_file
        if path is None:
            yield ok(name, "app.log_file is not set: the systemd journal keeps the log and bounds it")
        else:
            yield await run_detached(lambda: measured(path))

    return Examination((name,), run)


def size(count: float) -> str:
    """Return a number of bytes as people say it."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e3:.0f} kB"
