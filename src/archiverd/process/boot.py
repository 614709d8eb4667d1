"""Which start of the machine this is, and for how long it has run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def uptime() -> float:
    """Return the seconds since the machine started, those in which it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id(path: Path = _BOOT) -> str:
    """Return which start of the machine this is; empty if unknown: then no other process's uptime is comparable."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
