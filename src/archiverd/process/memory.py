"""Memory that a process uses and may use (proc(5), cgroups(7))."""

from __future__ import annotations

import os
import re
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def resident_bytes(pid: int | None = None) -> int:
    """Return the resident memory of a process (by default ours) in bytes; 0 where the system does not say."""
    try:
        text = (PROC / _name(pid) / "statm").read_text(encoding="ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def allowed_bytes(pid: int | None = None) -> int:
    """Return the bytes that systemd's MemoryMax or a container allows a process; without a limit, the machine's memory.

    The smallest limit of its control groups counts; 0 where the system does not say.
    """
    limits = [_machine_bytes(), *_group_limits(_name(pid))]
    return min((limit for limit in limits if limit), default=0)


def available_bytes() -> int:
    """Return the bytes of memory that the machine has available; 0 where the system does not say."""
    try:
        text = (PROC / "meminfo").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return 0
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _name(pid: int | None) -> str:
    return "self" if pid is None else str(pid)


def _machine_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _group_limits(process: str) -> list[int]:
    """Return the limits of a process's control groups and of their parents, versions 1 and 2."""
    try:
        lines = (PROC / process / "cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    limits = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top, name = (CGROUPS, "memory.max") if not controllers else (CGROUPS / controllers, "memory.limit_in_bytes")
        below = top / group.lstrip("/")
        limits += [_limit(place / name) for place in (below, *below.parents) if top in (place, *place.parents)]
    return limits


def _limit(path: Path) -> int:
    """Return the number in a limit's file, 0 if there is none (``max``)."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
