"""A run's files written back: whatever their names and contents, nothing escapes, nothing half is left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.app import export_directory
from archiverd.app.export_directory import file_name, write
from archiverd.app.operations.export import read_artdaqdb, read_ucondb
from archiverd.artdaqdb.port import ExportedEntity
from archiverd.core.errors import ArchiverError, BlobCreationError, VerificationError
from archiverd.disk import RealDisk
from archiverd.runrecord.blob import pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archiverd.artdaqdb.port import ArchivedRun

WHEN = "Oct 26 14:30 UTC"
SEPARATORS = (b"#####", b"\n", b"\r\n", b"a.fcl:", b"End of Record", b"Run Number: 7", b"\0", b"\xff", b"##### ", b"")
CONTENTS = st.one_of(st.binary(max_size=30), st.lists(st.sampled_from(SEPARATORS), max_size=8).map(b"\n".join))
NAMES = st.one_of(
    st.sampled_from(
        ["boot", "..", "../../etc/passwd", "/etc/passwd", ".hidden", "-rf", "a/b", "a%2Fb", "\\", "x" * 400]
    ),
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1, max_size=12),
)


class Blobs:
    """A UconDB with one blob."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    async def read(self, key: str) -> bytes:
        """Return the blob."""
        assert key == "7"
        return self.blob


class Entities:
    """An artdaqDB with one run."""

    def __init__(self, *exported: ExportedEntity) -> None:
        self.exported = exported

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def list_runs(self) -> Mapping[int, ArchivedRun]:
        """Not asked for."""
        raise NotImplementedError

    async def export(self, run: int) -> Sequence[ExportedEntity]:
        """Return the run."""
        assert run == 7
        return self.exported


def below(root: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@given(st.dictionaries(NAMES.map("{}.fcl".format), CONTENTS, max_size=6))
async def test_what_was_packed_comes_out_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    """Any names and contents: a file each, its bytes those packed, and none beside or above the directory."""
    root = tmp_path_factory.mktemp("export")
    content = await read_ucondb(Blobs(b"".join(pack(7, WHEN, list(files.items())))), 7)  # type: ignore[arg-type]
    written = write(RealDisk(), content.files, root / "dest", [])
    assert {one.name: (root / "dest" / one.file).read_bytes() for one in written} == files
    assert sorted(os.listdir(root)) == ["dest"]
    assert sorted(os.listdir(root / "dest")) == sorted(one.file for one in written)


@given(NAMES, NAMES)
def test_names_stay_plain_and_different(one: str, other: str) -> None:
    """A name becomes one path component of at most 255 bytes, not hidden; two names never become one."""
    for name in (file_name(one), file_name(other)):
        assert 0 < len(name.encode()) <= 255
        assert Path(name).name == name
        assert not name.startswith((".", "-"))
        assert name.isprintable()
    assert (file_name(one) == file_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("tpc01.fcl", "tpc01.fcl"),
        ("Größe 1.fcl", "Größe 1.fcl"),
        ("../../x.fcl", "%2E.%2F..%2Fx.fcl"),
        (".fcl", "%2Efcl"),
        ("-x.fcl", "%2Dx.fcl"),
        ("a%b\0\x1b[1m.fcl", "a%25b%00%1B[1m.fcl"),
        ("\u202egnp.fcl", "%E2%80%AEgnp.fcl"),
        ("\udce9.fcl", "%E9.fcl"),
        ("", "~e3b0c44298fc1c14.fcl"),
    ],
)
def test_how_names_are_spelled(name: str, file: str) -> None:
    """A plain name stays as it is; what is odd is percent-encoded, as documented."""
    assert file_name(name) == file


async def test_a_blob_of_the_older_tool_is_taken_as_it_is() -> None:
    """It knows no escapes: contents that hold single separators come out as they stand in it."""
    blob = (
        b"Start of Record\nRun Number: 7\nPacked on Oct 26 14:30 UTC\n"
        b"\n#####\ntpc.fcl:\n#####\na: 1\n#####\n# End of Record\n"
        b"\n#####\nboot.fcl:\n#####\n"
        b"\nEnd of Record\nRun Number: 7\nPacked on Oct 26 14:30 UTC\n"
    )
    content = await read_ucondb(Blobs(blob), 7)  # type: ignore[arg-type]
    assert content.files == (("tpc.fcl", b"a: 1\n#####\n# End of Record\n"), ("boot.fcl", b""))


async def test_another_runs_blob_is_refused() -> None:
    """A blob that says it is of run 8 is not written out as run 7; nor is one that is none."""
    with pytest.raises(VerificationError, match="under key 7 says that it is run 8's"):
        await read_ucondb(Blobs(b"".join(pack(8, WHEN, []))), 7)  # type: ignore[arg-type]
    with pytest.raises(BlobCreationError, match="This is no blob"):
        await read_ucondb(Blobs(b"hello"), 7)  # type: ignore[arg-type]


async def test_entities_of_one_name_are_told_apart() -> None:
    """Two collections may have one each; all others are named as in the blob."""
    found = await read_artdaqdb(
        Entities(
            ExportedEntity("RunHistory", "a", "7/x", b"1"),
            ExportedEntity("Other", "a", "7/x", b"2"),
            ExportedEntity("RunHistory", "b", "7/x", b"3"),
        ),
        7,
    )
    assert found.files == [("RunHistory.a.fcl", b"1"), ("Other.a.fcl", b"2"), ("b.fcl", b"3")]


FILES = [("a.fcl", b"1"), ("b.fcl", b"2")]


def test_an_empty_directory_is_filled_and_a_full_one_refused(tmp_path: Path) -> None:
    """So is a file, and what lies where only others write; a link to an empty directory is followed."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    write(RealDisk(), FILES, tmp_path / "link", [])
    assert below(tmp_path / "empty") == {"a.fcl": b"1", "b.fcl": b"2"}
    write(RealDisk(), FILES, tmp_path / "new" / "deep", [])
    assert below(tmp_path / "new" / "deep") == {"a.fcl": b"1", "b.fcl": b"2"}
    (tmp_path / "file").write_bytes(b"x")
    for taken in ("empty", "file"):
        with pytest.raises(ArchiverError, match="is there already, and not an empty directory"):
            write(RealDisk(), FILES, tmp_path / taken, [])
    (tmp_path / "records").mkdir()
    (tmp_path / "sly").symlink_to("records")
    for inside in ("records", "records/7", "sly/7"):
        with pytest.raises(ArchiverError, match="where only others write"):
            write(RealDisk(), FILES, tmp_path / inside, [tmp_path / "records"])
    assert os.listdir(tmp_path / "records") == []


def test_the_current_directory_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell that stands in it would be left in a directory that is gone."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArchiverError, match="is the current directory"):
        write(RealDisk(), FILES, Path(), [])


@pytest.mark.parametrize("failing", range(5))
def test_a_disk_that_fails_leaves_nothing(tmp_path: Path, failing: int) -> None:
    """Whichever step fails, neither the directory nor a part of it is there, and the words say so."""

    class Failing(RealDisk):
        def __init__(self) -> None:
            self.steps = 0

        def step(self) -> None:
            self.steps += 1
            if self.steps > failing:
                raise OSError(28, "No space left on device")

        def make_directory(self, path: Path) -> None:
            self.step()
            super().make_directory(path)

        def create(self, path: Path, data: bytes) -> None:
            self.step()
            super().create(path, data)

        def sync_directory(self, path: Path) -> None:
            if path.name.endswith(".partial"):
                self.step()
            super().sync_directory(path)

        def rename_directory(self, path: Path, target: Path) -> None:
            self.step()
            super().rename_directory(path, target)

    with pytest.raises(ArchiverError, match=r"Cannot write to .*dest: \[Errno 28\] No space left on device"):
        write(Failing(), FILES, tmp_path / "dest", [])
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_told_apart_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files of one name, and more files than any run has, are not written."""
    with pytest.raises(BlobCreationError, match=r"Two files would both be written as a\.fcl"):
        write(RealDisk(), [("a.fcl", b"1"), ("a.fcl", b"2")], tmp_path / "dest", [])
    monkeypatch.setattr(export_directory, "MOST_FILES", 1)
    with pytest.raises(BlobCreationError, match="There are 2 files"):
        write(RealDisk(), FILES, tmp_path / "dest", [])
    assert os.listdir(tmp_path) == []
