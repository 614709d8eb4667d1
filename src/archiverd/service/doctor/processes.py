"""What the kernel tells of a process: what it is, its memory and the limit on it, its open files (proc(5))."""

from __future__ import annotations

import os
import re
from pathlib import Path

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60
"""cgroup v1 says a number near 2^63 where there is no limit."""
_LONGEST = 100


def command_line(pid: int) -> str | None:
    """Return what a process was started as, without arguments that could be long; None if there is no such process."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    text = " ".join(os.path.basename(word.decode(errors="replace")) for word in words if word)
    return text[:_LONGEST] or "a process that is ending"


def resident_bytes(pid: int) -> int | None:
    """Return how much memory a process has in use, None if that cannot be told."""
    return _kilobytes(PROC / str(pid) / "status", "VmRSS")


def available_bytes() -> int | None:
    """Return how much memory the machine could still give, None if that cannot be told."""
    return _kilobytes(PROC / "meminfo", "MemAvailable")


def memory_limit(pid: int) -> int | None:
    """Return the limit in bytes on the memory of a process and its like (systemd: MemoryMax), None if there is none.

    The control groups above its own may be narrower (cgroups(7)).
    """
    try:
        lines = (PROC / str(pid) / "cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            top, name = GROUPS, "memory.max"
        elif controllers == "memory":
            top, name = GROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        inner = top / group.lstrip("/")
        limits += [_number(one / name) for one in (inner, *inner.parents) if one == top or top in one.parents]
    return min((limit for limit in limits if limit is not None and limit < _UNLIMITED), default=None)


def open_files(pid: int) -> tuple[int | None, int | None]:
    """Return how many files a process has open and how many it may have; None for what cannot be told."""
    try:
        count = len(os.listdir(PROC / str(pid) / "fd"))
    except OSError:
        count = None
    try:
        text = (PROC / str(pid) / "limits").read_text(encoding="ascii", errors="replace")
    except OSError:
        return count, None
    found = re.search(r"^Max open files\s+(\d+)", text, re.MULTILINE)
    return count, int(found[1]) if found else None


def _kilobytes(path: Path, name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max"
        return None
