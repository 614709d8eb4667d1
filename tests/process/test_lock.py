"""The lock file: one instance, undisturbed by a second, and a way to stop it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archiverd.core.errors import LockExistsError
from archiverd.process.lock import LockFile, LockHolder, find_holder, holding
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys
from pathlib import Path
from archiverd.process.lock import LockFile
LockFile(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the lock file goes."""
    return tmp_path / ".archiver.lock"


def test_the_lock_holds_our_pid_while_it_is_held(path: Path) -> None:
    """The file tells who holds it, and is gone afterwards."""
    lock = LockFile(path)
    lock.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()
    assert not path.exists()


def test_a_second_process_is_refused_and_the_first_is_not_disturbed(path: Path) -> None:
    """A refused second instance says so in the runbook's words and leaves the first one's file as it is."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockExistsError) as caught:
        LockFile(path).acquire()
    assert str(caught.value) == f"Another process may be running. Lock file '{path}' is held."
    assert path.read_text() == f"{holder.pid}\n"
    holder.communicate("")


def test_somebody_who_looks_is_no_holder(path: Path) -> None:
    """Two looks at once see a free lock, and whoever takes it just then is not refused."""
    path.write_text("99999\n")
    looking = os.open(path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    assert find_holder(path) == LockHolder(held=False, pid=99999)
    lock = LockFile(path, pause=lambda _: os.close(looking))
    lock.acquire()
    assert find_holder(path) == LockHolder(held=True, pid=os.getpid())
    lock.release()


def test_a_stale_lock_file_of_a_killed_process_is_no_obstacle(path: Path) -> None:
    """A lock file left by kill -9 does not need to be removed by hand."""
    path.write_text("99999\n")
    lock = LockFile(path)
    lock.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_lock_on_a_file_that_was_just_removed_guards_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens the file just before its last holder removes it does not lock what nobody else will find."""
    first, second, third = LockFile(path), LockFile(path), LockFile(path)
    first.acquire()
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        first.release()  # between the second's open and its lock
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    second.acquire()
    assert second.is_ours()
    with pytest.raises(LockExistsError):
        third.acquire()
    second.release()


def test_a_work_directory_has_one_process_though_its_lock_file_was_removed(path: Path) -> None:
    """Who drains after the removal is not disturbed, and is named; the new lock file does not stay."""
    first = LockFile(path)
    with holding(first, path.parent):
        path.unlink()
        with pytest.raises(LockExistsError) as caught, holding(LockFile(path), path.parent):
            pytest.fail("two processes work on one directory")
        assert str(caught.value) == (
            f"Another process may be running. Lock file '{path}' was removed, and who held it still drains."
        )
        assert f"process {os.getpid()} " in caught.value.remedy
        assert not path.exists()
    with holding(first, path.parent):
        assert first.is_ours()
    assert not path.exists()


def test_no_child_inherits_the_work_directory(path: Path) -> None:
    """A child that outlives us does not keep the next start out."""
    with holding(LockFile(path), path.parent):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    with holding(LockFile(path), path.parent):
        child.communicate(b"")


@pytest.mark.parametrize("how", ["removed", "replaced", "renamed"])
async def test_removal_is_noticed_by_inode(path: Path, how: str) -> None:
    """Removed, replaced or renamed: the path no longer leads to our file."""
    lock = LockFile(path)
    lock.acquire()
    waiting = asyncio.create_task(lock.wait_until_removed())
    if how == "renamed":
        path.rename(path.with_suffix(".old"))
    else:
        path.unlink()
        if how == "replaced":
            path.write_text("someone else")
    await asyncio.wait_for(waiting, DEADLINE_SECONDS)
    lock.release()
    assert path.exists() == (how == "replaced")
