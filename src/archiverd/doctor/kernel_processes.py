"""What the kernel tells of a process: what it is, and its open files (proc(5))."""

from __future__ import annotations

import os
import re
from pathlib import Path

PROC = Path("/proc")
_LONGEST = 100


def command_line(pid: int) -> str | None:
    """Return what a process was started as, without arguments that could be long; None if there is no such process."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    text = " ".join(os.path.basename(word.decode(errors="replace")) for word in words if word)
    return text[:_LONGEST] or "a process that is ending"


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
