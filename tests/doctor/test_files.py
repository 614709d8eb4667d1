"""Directories, permissions, file systems and room: each fault is made for real, told, and mended as the line says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from archiverd.doctor.finding import Status
from archiverd.doctor.space import Storage, _bytes_left, _inodes_left
from archiverd.process import mounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archiverd.doctor.finding import Finding

    from .conftest import House


def assert_denied(line: Finding, path: Path, remedy: str) -> None:
    """The line fails, names the path and why, and says what to do."""
    assert line.status is Status.FAILED
    assert "Permission denied" in line.message
    assert str(path) in line.message
    assert remedy in line.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_a_work_directory_of_somebody_else(house: House) -> None:
    """Whoever is not the owner is told that permissions are about them, and how to ask as the owner."""
    os.chown(house.work, 65534, 65534)
    line = (await house.look())["user"]
    assert line.status is Status.WARNING
    assert "sudo -u" in line.remedy
    os.chown(house.work, 0, 0)
    assert "root" in (await house.look())["user"].message


def test_a_configuration_that_cannot_be_read(house: House) -> None:
    """Every other line is skipped or about the machine; the remedy names the file."""
    house.path.chmod(0o000)
    line = house.look_unprivileged()["config syntax"]
    assert_denied(line, house.path, f"`ls -l {house.path}`")
    house.path.chmod(0o600)
    assert house.look_unprivileged()["config syntax"].status is Status.OK


def test_a_work_directory_that_cannot_be_written(house: House) -> None:
    """Told with mode and owner; chmod mends it."""
    house.work.chmod(0o500)
    assert_denied(house.look_unprivileged()["work_dir"], house.work, f"{house.work} (as root)")
    house.work.chmod(0o700)
    assert house.look_unprivileged()["work_dir"].status is Status.OK


def test_a_log_file_that_cannot_be_written(house: House) -> None:
    """The runbook's PermissionError on archiver.log is told before anything is started."""
    log_file = house.work / "archiver.log"
    log_file.write_text("")
    log_file.chmod(0o400)
    house.change("app", log_file=str(log_file))
    assert_denied(house.look_unprivileged()["work_dir files"], log_file, "chown -R")
    log_file.chmod(0o644)
    assert house.look_unprivileged()["work_dir files"].status is Status.OK


def test_a_log_file_in_a_directory_that_cannot_be_written(house: House) -> None:
    """The remedy names that directory, not the work directory, and nothing below it."""
    logs = house.root / "logs"
    logs.mkdir(mode=0o500)
    house.change("app", log_file=str(logs / "a.log"))
    line = house.look_unprivileged()["work_dir files"]
    assert_denied(line, logs, f" {logs} (as root)")
    assert "-R" not in line.remedy
    logs.chmod(0o700)
    assert house.look_unprivileged()["work_dir files"].status is Status.OK


async def test_a_log_file_in_a_directory_that_is_not_there(house: House) -> None:
    """Told; the remedy makes the directory."""
    house.change("app", log_file=str(house.root / "logs" / "archiver.log"))
    line = (await house.look())["work_dir files"]
    assert (line.status, line.remedy) == (Status.FAILED, f"mkdir -p {house.root / 'logs'}")
    (house.root / "logs").mkdir()
    assert (await house.look())["work_dir files"].status is Status.OK


async def test_a_work_directory_yet_to_be_made(house: House) -> None:
    """The first start makes it; below a file nobody can."""
    house.work.rmdir()
    assert (await house.look())["work_dir"].status is Status.OK
    house.work.write_text("")
    assert (await house.look())["work_dir"].message == f"{house.work} is not a directory"
    house.change("app", work_dir=str(house.work / "deeper"))
    assert (await house.look())["work_dir"].status is Status.FAILED


def test_run_records_that_cannot_be_listed(house: House) -> None:
    """The runbook's words, the path, and the group as the remedy; then readable again."""
    house.records.chmod(0o000)
    line = house.look_unprivileged()["run_records_dir"]
    assert line.message.startswith("Cannot read run records directory: [Errno 13] Permission denied")
    assert_denied(line, house.records, "usermod -aG")
    house.records.chmod(0o755)
    assert house.look_unprivileged()["run_records_dir"].status is Status.OK


async def test_run_records_that_are_not_there(house: House) -> None:
    """A directory that is missing is told with the key, and the line after it is skipped because of it."""
    house.change("source_files", run_records_dir=str(house.root / "nowhere"))
    found = await house.look()
    assert found["run_records_dir"].message.startswith("Cannot read run records directory: [Errno 2]")
    assert "source_files.run_records_dir" in found["run_records_dir"].remedy
    assert found["newest run records"].message == "only when run_records_dir is right"


def test_a_run_record_that_cannot_be_read(house: House) -> None:
    """A file that DAQInterface wrote for itself only is found among the newest runs, and not among old ones."""
    for run in range(8, 14):
        house.add_run(run)
    (house.records / "7" / "boot.txt").chmod(0o000)
    assert house.look_unprivileged()["newest run records"].status is Status.OK
    hidden = house.records / "13" / "boot.txt"
    hidden.chmod(0o000)
    (house.records / "12").chmod(0o000)
    assert_denied(house.look_unprivileged()["newest run records"], house.records / "12", "chmod -R g+rX")
    (house.records / "12").chmod(0o755)
    assert_denied(house.look_unprivileged()["newest run records"], hidden, "chmod -R g+rX")
    hidden.chmod(0o644)
    assert house.look_unprivileged()["newest run records"].status is Status.OK


async def test_lock_and_journal_on_a_network_file_system(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Concurrent execution despite a lock comes from NFS: the line names the key that moves the lock."""
    shared = house.root / "shared"
    shared.mkdir()
    monkeypatch.setattr(mounts, "file_system", lambda path: "nfs4" if path == shared else "ext4")
    house.change("app", lock_file=str(shared / "lock"))
    line = (await house.look())["work_dir file system"]
    assert line.status is Status.FAILED
    assert "nfs4" in line.message
    assert "app.lock_file" in line.remedy
    house.change("app", lock_file=None)
    assert (await house.look())["work_dir file system"].status is Status.OK
    house.change("app", work_dir=str(shared))
    assert "app.work_dir" in (await house.look())["work_dir file system"].remedy


@pytest.mark.parametrize(("mode", "status"), [("auto", Status.OK), ("poll", Status.OK), ("inotify", Status.WARNING)])
async def test_watching_a_network_file_system(
    house: House, monkeypatch: pytest.MonkeyPatch, mode: str, status: Status
) -> None:
    """Run records on NFS are polled; inotify there is a warning that says which setting is right."""
    monkeypatch.setattr(mounts, "file_system", lambda path: "nfs" if path == house.records else "ext4")
    house.change("watch", mode=mode)
    line = (await house.look())["run_records_dir watch"]
    assert line.status is status
    assert ("listed every 5 s" in line.message) == (status is Status.OK)


@pytest.mark.parametrize(
    ("umask", "status"), [("0022", Status.OK), ("0027", Status.OK), ("0077", Status.WARNING), ("0000", Status.WARNING)]
)
async def test_umask(house: House, umask: str, status: Status) -> None:
    """A umask that locks the group out, or lets everybody write, is a warning."""
    house.change("app", umask=umask)
    assert (await house.look())["umask"].status is status


@pytest.fixture
def small_disk(house: House) -> Iterator[Path]:
    """Mount a file system of two megabytes."""
    mount = shutil.which("mount")
    place = house.root / "small"
    place.mkdir()
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=100", "tmpfs", str(place)]
    if mount is None or os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_disk_with_no_room(house: House, small_disk: Path) -> None:
    """A full disk and its inodes are told in the runbook's words; elsewhere there is room."""
    house.change("app", work_dir=str(small_disk))
    found = await house.look()
    line = found["disk space of work_dir"]
    assert line.status is Status.FAILED
    assert "No space left on device" in line.message
    assert str(small_disk) in line.message
    assert found["inodes of work_dir"].status is Status.FAILED
    house.change("app", work_dir=str(house.work))
    assert (await house.look())["inodes of work_dir"].status is not Status.FAILED


PLACE = Storage("work_dir", Path("/x"), 100, 1000)


@pytest.mark.parametrize(
    ("free", "flag", "status", "words"),
    [
        (5000, 0, Status.OK, "5 kB free"),
        (500, 0, Status.WARNING, "less than"),
        (50, 0, Status.FAILED, "No space left on device"),
        (5000, os.ST_RDONLY, Status.FAILED, "mounted read-only"),
    ],
)
def test_how_much_room_is_enough(free: int, flag: int, status: Status, words: str) -> None:
    """Between what is wanted and what is needed there is a warning; a read-only mount has no room at all."""
    found = SimpleNamespace(f_bavail=free, f_frsize=1, f_flag=flag)
    line = _bytes_left("space", PLACE, Path("/x"), found)  # type: ignore[arg-type]
    assert line.status is status
    assert words in line.message


@pytest.mark.parametrize(
    ("total", "free", "status"),
    [(0, 0, Status.OK), (10**6, 10**5, Status.OK), (10**6, 9999, Status.WARNING), (10**6, 9, Status.FAILED)],
)
def test_how_many_inodes_are_enough(total: int, free: int, status: Status) -> None:
    """A file system that counts none makes them as it goes."""
    assert _inodes_left("inodes", Path("/x"), SimpleNamespace(f_files=total, f_favail=free)).status is status  # type: ignore[arg-type]


async def test_a_log_that_may_outgrow_its_disk(house: House) -> None:
    """Rotation that keeps more than the disk has room for is a warning naming the settings; less is none."""
    house.change("app", log_file=str(house.work / "archiver.log"), log_max_bytes=10**15)
    line = (await house.look())["log rotation"]
    assert line.status is Status.WARNING
    assert "app.log_max_bytes" in line.remedy
    house.change("app", log_max_bytes=1_000_000)
    (house.work / "archiver.log").write_text("x" * 5000)
    line = (await house.look())["log rotation"]
    assert (line.status, line.message) == (Status.OK, "1 file, 5 kB; at most 6 MB, rotated after 14 days")
