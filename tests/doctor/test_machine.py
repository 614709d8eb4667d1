"""The machine's and the installation's lines."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archiverd.doctor import machine
from archiverd.doctor.finding import Status
from archiverd.doctor.process_state import command_line
from archiverd.process import memory

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import House


async def test_a_package_that_is_missing_or_too_old(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Library version mismatches are named, each package with what is wrong."""
    assert (await house.look())["packages"].status is Status.OK
    wanted = [("httpx", [(">=", "0.28"), ("<", "0.29")]), ("click", [(">=", "99")]), ("no-such-package", [])]
    monkeypatch.setattr(machine, "requirements", lambda: iter(wanted))
    line = (await house.look())["packages"]
    assert line.status is Status.FAILED
    assert "click is " in line.message
    assert "not >=99" in line.message
    assert "no-such-package is missing" in line.message
    assert "httpx" not in line.message
    assert f"{sys.executable} -m pip install" in line.remedy


@pytest.mark.parametrize(
    ("found", "sign", "bound", "holds"),
    [
        ("0.28.1", ">=", "0.28", True),
        ("0.28", ">=", "0.28.0", True),
        ("0.9", ">=", "0.28", False),
        ("0.28.1", "<", "0.29", True),
        ("0.29.0", "<", "0.29", False),
        ("2.0rc1", "==", "2.0", True),
        ("2.1", "~=", "2.0", True),
    ],
)
def test_versions_are_compared_by_their_numbers(found: str, sign: str, bound: str, holds: bool) -> None:
    """0.9 is older than 0.28, and 0.28 is 0.28.0."""
    assert machine._holds(found, sign, bound) is holds


async def test_a_time_zone_that_is_none(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt TZ counts as UTC in silence; the line says so."""
    monkeypatch.setenv("TZ", "America/Chicagoo")
    line = (await house.look())["time zone"]
    assert (line.status, "America/Chicagoo" in line.message) == (Status.WARNING, True)
    monkeypatch.setenv("TZ", "UTC")
    assert (await house.look())["time zone"].status is Status.OK


@pytest.mark.parametrize(
    ("used", "limit", "free", "status"),
    [
        (10**8, 10**9, 10**10, Status.OK),
        (9 * 10**8, 10**9, 10**10, Status.WARNING),
        (99 * 10**7, 10**9, 10**10, Status.FAILED),
        (10**8, 10**9, 10**8, Status.WARNING),
        (0, 10**9, 10**8, Status.SKIPPED),
    ],
)
def test_memory(monkeypatch: pytest.MonkeyPatch, used: int, limit: int, free: int, status: Status) -> None:
    """Memory near the unit's MemoryMax warns, then fails; a machine that is short of it warns."""
    monkeypatch.setattr(memory, "resident_bytes", lambda _: used)
    monkeypatch.setattr(memory, "allowed_bytes", lambda _: limit)
    monkeypatch.setattr(memory, "available_bytes", lambda: free)
    line = machine._memory(1)
    assert line.status is status
    if status is Status.FAILED:
        assert "MemoryMax" in line.remedy


def test_the_narrowest_control_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MemoryMax may stand in a group above the process's own; both versions of control groups are read."""
    for name, text in (("a/memory.max", "500"), ("a/b/memory.max", "max"), ("memory/c/memory.limit_in_bytes", "300")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    (tmp_path / "9").mkdir()
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    (tmp_path / "9" / "cgroup").write_text("0::/a/b\n")
    assert memory.allowed_bytes(9) == 500
    (tmp_path / "9" / "cgroup").write_text("3:cpu:/x\n4:memory:/c/d\n0::/a/b\n")
    assert memory.allowed_bytes(9) == 300


def test_a_process_is_seen_from_outside() -> None:
    """Its command without its arguments' directories, its memory, its open files; nothing of one that is gone."""
    command = [sys.executable, "-c", "print(flush=True); input()", "/x/run"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # it has begun
        told = command_line(child.pid)
        assert told is not None
        assert told.endswith(" run")
        assert memory.resident_bytes(child.pid) > 0
        count, limit = machine.open_files(child.pid)
        assert count
        assert limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert command_line(child.pid) is None
    assert machine.open_files(child.pid) == (None, None)


@pytest.mark.parametrize(
    ("limit", "count", "status"),
    [(4096, 10, Status.OK), (512, 10, Status.WARNING), (4096, 4000, Status.WARNING), (128, 10, Status.FAILED)],
)
def test_open_files(monkeypatch: pytest.MonkeyPatch, limit: int, count: int, status: Status) -> None:
    """Too low a limit, or one nearly reached, is told with LimitNOFILE as the remedy."""
    monkeypatch.setattr(machine, "open_files", lambda _: (count, limit))
    line = machine._open_files(1)
    assert line.status is status
    if status is not Status.OK:
        assert "LimitNOFILE" in line.remedy


def test_an_unsynchronised_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own word is taken; one that does not tell is skipped."""

    class Kernel:
        def __init__(self, status: int, result: int) -> None:
            self.status, self.result = status, result

        def adjtimex(self, buffer: ctypes.Array[ctypes.c_char]) -> int:
            buffer[40:44] = self.status.to_bytes(4, sys.byteorder)
            return self.result

    def told(status: int, result: int) -> Status:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Kernel(status, result))
        return machine._synchronised().status

    assert [told(0x2001, 0), told(0x40, 5), told(0, -1)] == [Status.OK, Status.WARNING, Status.SKIPPED]


def test_the_kernel_is_really_asked() -> None:
    """On this machine adjtimex answers, or may not be asked; nothing is set by asking."""
    assert machine._synchronised().status in (Status.OK, Status.WARNING, Status.SKIPPED)
    assert os.getpid() > 0
