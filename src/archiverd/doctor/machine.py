"""The machine and the installation: clock, memory, open files, Python and the packages it runs on."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
import zoneinfo
from importlib import metadata
from typing import TYPE_CHECKING

from archiverd import __version__
from archiverd.config.paths import lock_path
from archiverd.detached import run_detached
from archiverd.doctor.examination import Examination
from archiverd.doctor.finding import Finding, failed, ok, skipped, warning
from archiverd.doctor.space import size
from archiverd.process import lock, memory
from archiverd.process.memory import PROC

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from archiverd.config.models import Settings

SYNCHRONISED, ZONE, MEMORY = "time synchronisation", "time zone", "memory"
OPEN_FILES, PYTHON, PACKAGES = "open files", "python", "packages"

STA_UNSYNC = 0x40
_TIMEX_BYTES = 512
"""Bytes for a ``struct timex``, which has fewer (adjtimex(2))."""
_STATUS_OFFSET = 40
"""Offset of its ``status`` on 64-bit machines."""
MEMORY_WARNED, MEMORY_NEEDED = 0.8, 0.95
"""Shares of the limit."""
FREE_WARNED = 500_000_000
FILES_NEEDED, FILES_WANTED, FILES_WARNED = 256, 1024, 0.8
_BOUND = re.compile(r"(>=|<=|==|!=|~=|<|>)\s*([0-9][0-9.]*)")


def examinations(settings: Settings | None) -> list[Examination]:
    """Return the examinations of this module, in the order of the report; without ``settings`` of this process."""
    pid = os.getpid() if settings is None else _daemon(settings)

    def each(name: str, check: Callable[[], Finding]) -> Examination:
        async def run() -> AsyncGenerator[Finding]:
            yield await run_detached(check)

        return Examination((name,), run)

    return [
        each(SYNCHRONISED, _synchronised),
        each(ZONE, _zone),
        each(MEMORY, lambda: _memory(pid)),
        each(OPEN_FILES, lambda: _open_files(pid)),
        each(PYTHON, _python),
        each(PACKAGES, _packages),
    ]


def _daemon(settings: Settings) -> int:
    """Return the process that works on the work directory, or our own."""
    try:
        holder = lock.find_holder(lock_path(settings))
    except OSError:
        holder = None
    return holder.pid if holder is not None and holder.held and holder.pid else os.getpid()


def _synchronised() -> Finding:
    """Check that the kernel's clock follows a time server."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: nothing is set
    libc = ctypes.CDLL(None, use_errno=True)
    if ctypes.sizeof(ctypes.c_long) != 8 or not hasattr(libc, "adjtimex") or libc.adjtimex(buffer) < 0:
        return skipped(SYNCHRONISED, "the kernel does not tell")
    status = int.from_bytes(buffer.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], sys.byteorder)
    if status & STA_UNSYNC:
        return warning(
            SYNCHRONISED,
            "the kernel's clock follows no time server",
            "start chronyd, ntpd or systemd-timesyncd (`timedatectl`); a virtual machine's host may do it instead",
        )
    return ok(SYNCHRONISED, "the kernel's clock follows a time server")


def _zone() -> Finding:
    """Is the time zone one there is? DAQInterface writes local times into metadata.txt."""
    named = os.environ.get("TZ", "").removeprefix(":")
    here = f"{time.strftime('%Z, UTC%z')}; the run records' times are taken as local ones"
    if named and not named.startswith("/") and re.fullmatch(r"[A-Za-z_]+(/[A-Za-z_+-]+)*", named):
        try:
            zoneinfo.ZoneInfo(named)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return warning(
                ZONE, f"TZ={named} is no time zone, so it counts as UTC", "set TZ to a zone such as UTC, or unset it"
            )
    return ok(ZONE, here)


def _memory(pid: int) -> Finding:
    """Is there memory left, within the unit's limit (MemoryMax) or on the machine?"""
    used, limit, free = memory.resident_bytes(pid), memory.allowed_bytes(pid), memory.available_bytes()
    who = "this check" if pid == os.getpid() else f"process {pid}"
    if not used:
        return skipped(MEMORY, f"the kernel does not tell what {who} uses")
    message = f"{who} uses {size(used)} of {size(limit)} it may; {size(free)} are free on the machine"
    remedy = "lower app.parallel_workers and app.batch_size, or raise MemoryMax in the unit (systemctl edit archiverd)"
    if limit and used > MEMORY_NEEDED * limit:
        return failed(MEMORY, message, remedy)
    if limit and used > MEMORY_WARNED * limit:
        return warning(MEMORY, message, remedy)
    if 0 < free < FREE_WARNED:
        return warning(MEMORY, message, "see with `top -o %MEM` what uses it")
    return ok(MEMORY, message)


def open_files(pid: int) -> tuple[int | None, int | None]:
    """Return how many files a process has open and how many it may have (proc(5)); None for what is unknown."""
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


def _open_files(pid: int) -> Finding:
    """May enough files and connections be open at once?"""
    count, limit = open_files(pid)
    if limit is None:
        return skipped(OPEN_FILES, "the kernel does not tell the limit")
    message = f"at most {limit}" + (f", {count} are open" if count is not None and pid != os.getpid() else "")
    remedy = "raise LimitNOFILE= in the unit, or `ulimit -n` in the shell that starts archiverd"
    if limit < FILES_NEEDED or (count is not None and count >= limit - 8):
        return failed(OPEN_FILES, message, remedy)
    if limit < FILES_WANTED or (count is not None and count > FILES_WARNED * limit):
        return warning(OPEN_FILES, message, remedy)
    return ok(OPEN_FILES, message)


def _python() -> Finding:
    """Which Python and archiverd run this check?"""
    return ok(PYTHON, f"{sys.version.split()[0]} ({sys.executable}), archiverd {__version__}")


def _packages() -> Finding:
    """Is every package there that archiverd needs, in a version it takes?"""
    wrong = []
    count = 0
    for name, bounds in requirements():
        count += 1
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        broken = [f"{sign}{bound}" for sign, bound in bounds if not _holds(found, sign, bound)]
        if broken:
            wrong.append(f"{name} is {found}, not {broken[0]}")
    if wrong:
        return failed(PACKAGES, "; ".join(wrong), f"install archiverd again: {sys.executable} -m pip install archiverd")
    return ok(PACKAGES, f"all {count} are there, in versions that fit")


def requirements() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each package that archiverd needs, with the bounds on its version."""
    try:
        listed = metadata.requires("archiverd") or []
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        listed = []
    for text in listed:
        wanted, _, marker = text.partition(";")
        name = re.match(r"[A-Za-z0-9._-]+", wanted)
        if name and not marker:
            yield name[0], _BOUND.findall(wanted)


def _holds(found: str, sign: str, bound: str) -> bool:
    """Return whether a version is within a bound, by its numbers; ``~=`` and ``!=`` are left to pip."""
    ours, theirs = _numbers(found), _numbers(bound)
    length = max(len(ours), len(theirs))
    left, right = ours + (0,) * (length - len(ours)), theirs + (0,) * (length - len(theirs))
    return {">=": left >= right, "<=": left <= right, "==": left == right, "<": left < right, ">": left > right}.get(
        sign, True
    )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
