"""Listings of run directories: what is in them, what a copy writes, and when two are equal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from archiverd.runrecord.listing import FileStatus, Listing, digest_of, is_temporary, junk, list_files

if TYPE_CHECKING:
    from pathlib import Path

TEMPORARY = (".tpc01.fcl.Xa3b5Z", "..odd.a1B2c3", "tpc01.fcl.part", "a.partial", "metadata.txt.tmp")
NOISE = (".nfs000000000123.part", "boot.txt~", ".tpc01.fcl.swp", "core", "core.123", ".hidden", "#boot.txt#")
PLAIN = ("boot.txt", "part", "tmp", "tpc01.fcl", "core.txt", ".x.y")


def listing(directory: Path, *, network: bool = False) -> Listing:
    """Return the listing of a directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        return list_files(descriptor, network=network)
    finally:
        os.close(descriptor)


def test_names() -> None:
    """Temporaries of a copy are told from what never belongs to a record, and from the record's files."""
    assert all(is_temporary(name) and junk(name) for name in TEMPORARY)
    assert all(junk(name) and not is_temporary(name) for name in NOISE)
    assert not any(is_temporary(name) for name in PLAIN)


@pytest.mark.parametrize("network", [False, True])
def test_what_is_listed(tmp_path: Path, network: bool) -> None:
    """Regular files with their status, temporaries by name; links, directories and pipes are not looked into."""
    for name in ("b.fcl", "a.txt", *TEMPORARY, *NOISE):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "link.fcl").symlink_to("b.fcl")
    (tmp_path / "sub.fcl").mkdir()
    os.mkfifo(tmp_path / "pipe.fcl")
    found = listing(tmp_path, network=network)
    assert [(file.name, file.size) for file in found.files] == [("a.txt", 5), ("b.fcl", 5)]
    assert found.temporaries == tuple(sorted(TEMPORARY))
    assert found.files[0].inode == (tmp_path / "a.txt").stat().st_ino


def test_a_file_that_cannot_be_opened_is_listed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network file system too: who may not read a file may see that it is there."""
    (tmp_path / "a.fcl").write_bytes(b"x")
    descriptor = os.open(tmp_path, os.O_RDONLY)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    try:
        assert [file.name for file in list_files(descriptor, network=True).files] == ["a.fcl"]
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("field", FileStatus._fields)
def test_a_digest_shows_each_difference(field: str) -> None:
    """Name, mode, size, times and inode: a file that differs in one of them makes another digest."""
    file = FileStatus("a.fcl", 0o444, 10, 11, 12, 13)
    other = file._replace(**{field: "b.fcl" if field == "name" else 1})
    assert digest_of([file]) == digest_of([FileStatus(*file)])
    assert len({digest_of([file]), digest_of([other]), digest_of([]), digest_of([file, other])}) == 4


def test_fifty_thousand_files_are_listed(tmp_path: Path) -> None:
    """None is left out of the listing, whatever their number."""
    for number in range(50_000):
        os.close(os.open(tmp_path / f"{number}.fcl", os.O_WRONLY | os.O_CREAT))
    assert len(listing(tmp_path).files) == 50_000
