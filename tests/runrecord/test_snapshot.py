"""Snapshots of run directories, made ones and odd ones."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.runrecord.completeness import Completeness, CompletionWaits, Stillness, judge, time_lines
from archiverd.runrecord.snapshot import RecordSnapshot, record_stamp, take_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

MAKER = str(Path(__file__).resolve().parents[1] / "tools" / "make_run_records.py")
ENDS = {
    None: Completeness.FINAL,
    "run": Completeness.STARTED,
    "start": Completeness.COPIED,
    "copy": Completeness.COPYING,
    "append": Completeness.COPIED,
    "stop": Completeness.FINAL,
}


@pytest.mark.parametrize("version", ["v1_00_00", "v3_03_00", "v3_05_00", "v3_06_01", "v3_14_01"])
def test_made_records(tmp_path: Path, version: str) -> None:
    """However a made run of any layout ended, its directory is judged so, and dead when a later run started."""
    options = ["--runs", "40", "--crash", "0.7", "--gaps", "0", "--thin", "--partitions", "2", "--format", version]
    manifest = tmp_path / "manifest"
    command = [sys.executable, MAKER, str(tmp_path / "records"), *options, "--manifest", str(manifest)]
    subprocess.run(command, check=True)
    facts = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert {fact["crash"] for fact in facts} >= {None, "run", "start", "stop"}
    for fact in facts:
        directory = tmp_path / "records" / str(fact["run"])
        seen = take_snapshot(directory)
        still, waits = Stillness(10.0, 10.0, 10.0), CompletionWaits(promised=False)
        lines = time_lines(seen.metadata)
        assert (lines.started is None, lines.stopped is None) == (
            fact["start"] is None or fact["crash"] == "append",
            fact["stop"] is None,
        )
        expected = _expected(fact["crash"], version)
        assert judge(seen, still, waits) is expected, fact
        if lines.stopped is None:
            assert judge(seen, still, waits, later_started=True) is Completeness.DEAD
        elif expected is Completeness.STOPPED:
            assert judge(seen, Stillness(600.0, 600.0, 600.0), waits) is Completeness.FINAL
        _unlock(directory)


def _expected(crash: str | None, version: str) -> Completeness:
    """Return the verdict on a run that ended so, ten seconds later."""
    if crash == "stop" and version == "v1_00_00":
        return Completeness.STOPPED
    if crash == "copy" and version < "v3_06_01":
        return Completeness.COPIED
    return ENDS[crash]


def _unlock(directory: Path) -> None:
    """Let pytest delete a locked directory."""
    directory.chmod(0o755)


def test_partition_and_files(tmp_path: Path) -> None:
    """The partition comes from environment.txt; junk, links and directories are not among the files."""
    (tmp_path / "environment.txt").write_bytes(b"export A=1\nexport DAQINTERFACE_PARTITION_NUMBER=4\r\n")
    (tmp_path / "boot.txt~").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.txt").symlink_to("environment.txt")
    seen = take_snapshot(tmp_path)
    assert seen.partition == 4
    assert [file.name for file in seen.files] == ["environment.txt"]


@pytest.mark.parametrize(
    "text", [b"", b"export DAQINTERFACE_PARTITION_NUMBER=x\n", b"# DAQINTERFACE_PARTITION_NUMBER=4\n"]
)
def test_no_partition(tmp_path: Path, text: bytes) -> None:
    """An environment.txt without the partition gives None."""
    (tmp_path / "environment.txt").write_bytes(text)
    assert take_snapshot(tmp_path).partition is None


def test_a_long_metadata_is_read_from_its_end(tmp_path: Path) -> None:
    """At most 4 MiB of metadata.txt are read, those with the time lines."""
    (tmp_path / "metadata.txt").write_bytes(b"Start time: a\n" + b"x" * (5 << 20) + b"\nStop time: b\n")
    seen = take_snapshot(tmp_path).metadata
    assert seen is not None
    assert len(seen) == 4 << 20
    assert seen.endswith(b"\nStop time: b\n")


def test_what_is_not_there(tmp_path: Path) -> None:
    """A directory that is gone, a file and a link to nowhere in its place cannot be read; nothing is raised."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("gone", "file", "link"):
        assert take_snapshot(tmp_path / name) == RecordSnapshot(readable=False)
        assert take_snapshot(tmp_path / name).trouble == ""
        assert record_stamp(tmp_path / "gone") is None


def test_a_link_to_a_run_directory_is_followed(tmp_path: Path) -> None:
    """As for a run that was moved to another disk; its stamp is that of the directory, not of the link."""
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "metadata.txt").write_bytes(b"Start time: a\n")
    (tmp_path / "7").symlink_to(tmp_path / "moved")
    assert take_snapshot(tmp_path / "7") == take_snapshot(tmp_path / "moved")
    assert record_stamp(tmp_path / "7") == record_stamp(tmp_path / "moved") is not None


def test_metadata_that_is_no_file(tmp_path: Path) -> None:
    """A pipe called metadata.txt blocks nothing and is no metadata; a link cannot be read."""
    os.mkfifo(tmp_path / "metadata.txt")
    assert take_snapshot(tmp_path).metadata is None
    (tmp_path / "metadata.txt").unlink()
    (tmp_path / "metadata.txt").symlink_to("/etc/hostname")
    seen = take_snapshot(tmp_path)
    assert (seen.readable, seen.trouble) == (False, "[Errno 40] Too many levels of symbolic links: 'metadata.txt'")


@pytest.mark.parametrize("closed", ["", "metadata.txt", "environment.txt"])
def test_what_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    """Nothing is raised; the cause is kept, but not compared."""
    for name in ("metadata.txt", "environment.txt"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(os, "open", refusing(closed or str(tmp_path), errno.EACCES))
    seen = take_snapshot(tmp_path)
    assert seen.trouble == "[Errno 13] Permission denied" + (f": '{closed}'" if closed else "")
    assert seen == RecordSnapshot(readable=False)


def refusing(name: str, number: int) -> Callable[..., int]:
    """Return an ``os.open`` that fails for the path ``name``, as for a user who is not root."""
    really = os.open

    def opened(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if str(path) == name:
            raise OSError(number, os.strerror(number), str(path))
        return really(path, flags, mode, dir_fd=dir_fd)

    return opened


def test_the_stamp_changes_with_each_step(tmp_path: Path) -> None:
    """An append, a change of mode and a new file beside it each change the stamp."""
    metadata = tmp_path / "metadata.txt"
    metadata.write_bytes(b"a\n")
    stamps = [record_stamp(tmp_path)]
    with metadata.open("ab") as file:
        file.write(b"b\n")
    stamps.append(record_stamp(tmp_path))
    metadata.chmod(0o444)
    stamps.append(record_stamp(tmp_path))
    os.utime(tmp_path, (1, 1))
    stamps.append(record_stamp(tmp_path))
    assert None not in stamps
    assert len(set(stamps)) == len(stamps)
    assert stamps[-1] == record_stamp(tmp_path)
