"""Reading run directories."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.core.errors import ArchiverError, Retry
from archiverd.core.runset import LAST_RUN
from archiverd.runrecord import record as module
from archiverd.runrecord.record import LeftOut, RecordChangedError, RecordFile, parse_run_number, read_run_record
from archiverd.runrecord.snapshot import take_snapshot

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("name", "run"), [("1", 1), ("19661", 19661), ("9" * 18, LAST_RUN)])
def test_run_names(name: str, run: int) -> None:
    """A decimal number as `str(int)` writes it is a run."""
    assert parse_run_number(name) == run


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0",
        "012345",
        "-5",
        "+5",
        " 5",
        "5\n",
        "1_0",
        "1e5",
        "²",
        "١٢",
        "9" * 19,
        "12345.bak",
        "12345_bad",
        "lost+found",
    ],
)
def test_other_names(name: str) -> None:
    """Anything else is no run."""
    assert parse_run_number(name) is None


@given(st.text(max_size=25))
def test_any_name(name: str) -> None:
    """A name is a run exactly if it is how its number is written."""
    run = parse_run_number(name)
    assert run is None or (str(run) == name and 1 <= run < 10**18)


def test_files_are_read_as_they_are(tmp_path: Path) -> None:
    """Every regular file is there, sorted by name, byte for byte, whatever its bytes and its name."""
    contents = {"b.fcl": b"\x00\xff\r\n", "a b.txt": b"", "é.fcl": b"x"}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    record = read_run_record(tmp_path, 7)
    assert record.run == 7
    assert record.files == tuple(RecordFile(name, contents[name]) for name in sorted(contents))
    assert record.left_out == ()
    assert record.data("b.fcl") == contents["b.fcl"]
    assert record.data("none") is None


def test_what_is_left_out(tmp_path: Path) -> None:
    """What does not belong to a record is left out by name, with the reason; links are never followed."""
    for name in ("boot.txt~", "#boot.txt#", ".boot.txt.swp", "core", "core.12", ".nfs0001", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "inside").symlink_to("core")
    (tmp_path / "outside").symlink_to("/etc/passwd")
    (tmp_path / "broken").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    record = read_run_record(tmp_path, 7)
    assert record.files == ()
    assert {gone.name: gone.reason for gone in record.left_out} == {
        "boot.txt~": "an editor's backup",
        "#boot.txt#": "an editor's backup",
        ".boot.txt.swp": "an editor's swap file",
        "core": "a core dump",
        "core.12": "a core dump",
        ".nfs0001": "a deleted file that NFS keeps for its last reader",
        ".hidden": "a hidden file",
        "sub": "a directory",
        "inside": "a symbolic link",
        "outside": "a symbolic link",
        "broken": "a symbolic link",
        "pipe": "not a regular file",
    }


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is too large, or would make the record so, is left out by name; those after it are not."""
    monkeypatch.setattr(module, "LARGEST_FILE", 10)
    monkeypatch.setattr(module, "LARGEST_RECORD", 20)
    for name, size in (("a", 10), ("b", 11), ("c", 8), ("d", 3), ("e", 2)):
        (tmp_path / name).write_bytes(b"x" * size)
    record = read_run_record(tmp_path, 7)
    assert [file.name for file in record.files] == ["a", "c", "e"]
    assert [gone.name for gone in record.left_out] == ["b", "d"]
    assert all("MiB" in gone.reason for gone in record.left_out)


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with more entries than any run has is refused, for good."""
    monkeypatch.setattr(module, "MOST_FILES", 3)
    for name in "abcd":
        (tmp_path / name).touch()
    with pytest.raises(ArchiverError, match="Run directory holds more than 3 entries") as caught:
        read_run_record(tmp_path, 7)
    assert (caught.value.retry, caught.value.run) == (Retry.PERMANENT, 7)


@pytest.mark.parametrize("kind", ["gone", "file", "link"])
def test_no_directory(tmp_path: Path, kind: str) -> None:
    """A directory that is gone, or something else now, is an error in the runbook's words that may pass."""
    target = tmp_path / "7"
    if kind == "file":
        target.touch()
    elif kind == "link":
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ArchiverError, match=r"^Run directory not found$") as caught:
        read_run_record(target, 7)
    assert (caught.value.retry, caught.value.context) == (Retry.TRANSIENT, {"directory": str(target)})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_permission_denied(tmp_path: Path) -> None:
    """A file nobody may read is left out by name; a directory nobody may read is tried again."""
    (tmp_path / "a.fcl").touch(mode=0)
    assert read_run_record(tmp_path, 7).left_out == (LeftOut("a.fcl", "unreadable: permission denied"),)
    (tmp_path / "1").mkdir(mode=0)
    with pytest.raises(ArchiverError, match="Permission denied") as caught:
        read_run_record(tmp_path / "1", 1)
    assert caught.value.retry is Retry.TRANSIENT
    (tmp_path / "1").chmod(0o755)


@pytest.mark.parametrize("how", ["grows", "is replaced", "is removed", "comes"])
def test_a_record_that_changes_while_it_is_read_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whatever becomes of its files, wherever the reader is: the record is read as it stood, or not at all."""
    for name in ("a.fcl", "b.fcl", "c.fcl"):
        (tmp_path / name).write_text("x: 1\n")
    really, opened = os.open, []

    def changing(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = really(path, flags, mode, dir_fd=dir_fd)
        if str(path) == "b.fcl" and not opened:
            opened.append(path)
            if how == "grows":
                with (tmp_path / "b.fcl").open("a") as file:
                    file.write("y: 2\n")
            elif how == "is replaced":
                (tmp_path / "new").write_text("x: 1\n")
                (tmp_path / "new").rename(tmp_path / "a.fcl")
            elif how == "is removed":
                (tmp_path / "c.fcl").unlink()
            else:
                (tmp_path / "d.fcl").write_text("x: 1\n")
        return descriptor

    monkeypatch.setattr(os, "open", changing)
    with pytest.raises(RecordChangedError, match="The record of run 7 changed"):
        read_run_record(tmp_path, 7)
    found = read_run_record(tmp_path, 7)
    assert found.listing == take_snapshot(tmp_path).digest


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE])
def test_files_that_cannot_be_read_are_told_from_those_that_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """They may be part of the record; what never is one is left out whether it can be read or not."""
    for name in ("a.fcl", "core.1", "boot.txt~"):
        (tmp_path / name).write_text("x")
    really = os.open

    def refusing(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if dir_fd is not None:
            raise OSError(number, os.strerror(number), str(path))
        return really(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)
    found = read_run_record(tmp_path, 7)
    why = f"unreadable: {os.strerror(number).lower()}"
    assert [(one.name, one.reason) for one in found.unreadable] == [("a.fcl", why)]
    assert {one.name for one in found.left_out} == {"core.1", "boot.txt~"}
