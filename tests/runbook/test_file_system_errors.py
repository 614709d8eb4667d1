"""File system errors: permissions, vanished directories, full disks."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.runbook.conftest import Desk


def test_check_looks_at_every_directory_as_the_user_it_runs_as(desk: Desk) -> None:
    """One line for each place that is closed to archiverd, with the remedy; exit 0 once all are open."""
    desk.one_run()
    assert desk.archiver(unprivileged=True).returncode == 0
    desk.records.chmod(0)
    desk.work.chmod(0o500)
    closed = desk.run("check", unprivileged=True)
    desk.records.chmod(0o755)
    desk.work.chmod(0o755)
    assert closed.returncode == 1
    lines = [line for line in closed.stdout.splitlines() if str(desk.records) in line or str(desk.work) in line]
    assert len(lines) >= 2
    opened = desk.run("check", unprivileged=True)
    assert opened.returncode == 0, opened.stdout


def test_a_run_records_directory_that_may_not_be_read(desk: Desk) -> None:
    """The guide's words and exit 1; once archiverd may read it the runs go through."""
    desk.one_run()
    desk.records.chmod(0)
    said = desk.archiver(unprivileged=True)
    desk.records.chmod(0o755)
    assert said.returncode == 1
    assert "[Import] ArchiverError: Cannot read run records directory: [Errno 13] Permission denied" in said.stderr
    assert f"Context: {{'directory': '{desk.records}'}}" in said.stderr
    assert desk.archiver(unprivileged=True).returncode == 0
    desk.prove(7)


def test_a_run_directory_that_may_not_be_read(desk: Desk) -> None:
    """No failure, for it may still be running, but said everywhere; once archiverd may read it the run goes through."""
    desk.one_run()
    (desk.records / "7").chmod(0)
    said = desk.archiver(unprivileged=True)
    assert said.returncode == 0
    cause = "ArchiverError: Cannot read run directory: [Errno 13] Permission denied"
    assert f"[Import] [Run 7] {cause}" in said.stderr
    assert f"Context: {{'directory': '{desk.records}/7'}}" in said.stderr
    assert f"run 7: open: {cause}" in said.stderr
    remedy = f"check {desk.records}/7, its mount, and that the user archiverd runs as may read it"
    told = desk.run("why", "7").stdout
    assert (cause in told, remedy in told, "waits for" in told) == (True, True, True)
    assert cause in desk.run("runs", "--state", "open").stdout
    assert cause in desk.run("status").stdout
    (desk.records / "7").chmod(0o755)
    assert "Cannot read" not in desk.archiver(unprivileged=True).stderr
    desk.prove(7)


def test_a_run_directory_that_vanishes_before_its_turn(desk: Desk) -> None:
    """The guide's words for that run alone; put back, it is taken up again."""
    desk.edit("app", run_process_retries=0, retry_delay_seconds=600)
    daemon = desk.start("run")
    desk.wait(lambda _: (desk.work / "archiverd.sock").exists())
    assert desk.run("pause").returncode == 0
    desk.one_run()
    desk.wait(lambda rows: 7 in rows and rows[7].state is State.QUEUED)
    (desk.records / "7").rename(desk.root / "moved")
    assert desk.run("resume").returncode == 0
    desk.wait(lambda rows: rows[7].state is State.RETRY_WAIT)
    assert "[Import] [Run 7] ArchiverError: Run directory not found" in desk.log
    assert f"Context: {{'directory': '{desk.records}/7'}}" in desk.log
    assert "archiverd waive 7 --reason" in desk.run("why", "7").stdout
    (desk.root / "moved").rename(desk.records / "7")
    assert desk.archiver("--retry-failed-import").returncode == 0
    desk.prove(7)
    assert desk.stop(daemon) == 130


def test_a_log_file_that_may_not_be_written(desk: Desk) -> None:
    """The guide's words and exit 1, without a traceback; once archiverd may write it all is well."""
    desk.one_run()
    desk.work.mkdir()
    desk.archiver_log.touch()
    desk.archiver_log.chmod(0o400)
    said = desk.archiver(unprivileged=True)
    assert (said.returncode, "Traceback" in said.stderr) == (1, False)
    assert f"PermissionError: [Errno 13] Permission denied: '{desk.archiver_log}'" in said.stderr
    desk.archiver_log.chmod(0o644)
    assert desk.archiver(unprivileged=True).returncode == 0
    desk.prove(7)


@pytest.fixture
def small_disk(desk: Desk) -> Iterator[Path]:
    """The work directory on a disk of one megabyte."""
    desk.work.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", desk.work], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode()}")
    yield desk.work
    subprocess.run(["umount", desk.work], check=True)


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def test_a_full_disk(desk: Desk, small_disk: Path) -> None:
    """The guide's words and exit 1; with room again the runs go through and nothing was lost."""
    desk.one_run()
    assert desk.archiver().returncode == 0
    filler = small_disk / "old.log"
    with pytest.raises(OSError, match="No space left on device"):
        fill(filler)
    desk.one_run(20)
    said = desk.archiver()
    assert (said.returncode, "Traceback" in said.stderr) == (1, False)
    assert "OSError: [Errno 28] No space left on device" in said.stderr
    filler.unlink()
    assert desk.archiver().returncode == 0
    desk.prove(7, 20)
    assert desk.versions() == {7: 1, 20: 1}
