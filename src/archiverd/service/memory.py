"""How much memory this process uses, and how much it may."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def resident_bytes() -> int:
    """Return the process's resident memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def allowed_bytes() -> int:
    """Return what systemd's MemoryMax, or a container, allows the process; without one all the machine has.

    The smallest limit of the control groups it is in counts; 0 where the system does not tell.
    """
    limits = [_machine_bytes(), *_group_limits()]
    return min((limit for limit in limits if limit), default=0)


def _machine_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _group_limits() -> list[int]:
    """Return the limits of our control group (version 2) and those it is in."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
        if group is None:
            return []
        below = CGROUPS / group
        return [limit for place in (below, *below.parents) if (limit := _limit(place / "memory.max"))]
    except (OSError, UnicodeDecodeError):
        return []


def _limit(path: Path) -> int:
    """Return the number in a limit's file, 0 if there is none (``max``)."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
