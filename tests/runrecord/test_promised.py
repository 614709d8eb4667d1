"""Which files a run record promises: by its ranks, its components, its boot file, and its version."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.runrecord.promised import ALWAYS, find_missing
from archiverd.runrecord.snapshot import take_snapshot

MAKER = str(Path(__file__).resolve().parents[1] / "tools" / "make_run_records.py")
FIVE = "host                          port      label               subsystem      rank      \n\n"
FOUR = "        host   port         label  rank\n\n"
COMPONENTS = b"Config name: x\nComponent #0: tpc01\nComponent #1: tpc02\n"
BOOT = "EventBuilder host: h\nEventBuilder label: EventBuilder1\n\nDispatcher label: Dispatcher1\n"


def missing(present: set[str], metadata: bytes = COMPONENTS, **texts: str) -> set[str]:
    """Return what is missing of a record with these files; ``texts`` has those that are read, without their ending."""
    files = {f"{stem}.txt": text.encode() for stem, text in texts.items()}
    return set(find_missing({*present, *files}, metadata, files.get))


@pytest.mark.parametrize(
    ("ranks", "promised"),
    [
        (FIVE + "h 10100 tpc01 1 0\nh 10101 EventBuilder1 1 1\n", {"tpc01.fcl", "EventBuilder1.fcl"}),
        (FOUR + "h\t10100\ttpc01\t0\nh\t10101\tEventBuilder1\t1\n", {"tpc01.fcl", "EventBuilder1.fcl"}),
        (FIVE + "h 10100 tpc01 1 0\nh 10101 EventBuilder1 1 -1\n", {"tpc01.fcl"}),
        (FIVE + 'h 10100 tpc01 1 0\nh 10101 "EventBuilder1" 1 1\n', {"tpc01.fcl"}),
        (FIVE + "h 10100 tpc01 1 0\nh 10101 twin 1 1\nh 10102 twin 1 2\n", {"tpc01.fcl"}),
        (FIVE + "h 10100 tpc01 1 0\nh 10101 ../x 1 1\nh 1 two words 1 2\n", {"tpc01.fcl"}),
    ],
)
def test_ranks_come_first(ranks: str, promised: set[str]) -> None:
    """Each row's label promises its file; negative, quoted and repeated rows promise nothing."""
    assert missing({"tpc01.fcl"}, ranks=ranks) == promised - {"tpc01.fcl"}


def test_components_come_next_and_the_boot_file_last() -> None:
    """Where there is no ranks.txt the components count, and the boot file only without these."""
    assert missing({"tpc01.fcl"}, boot=BOOT) == {"tpc02.fcl"}
    assert missing({"Dispatcher1.fcl"}, b"Config name: x\n", boot=BOOT) == {"EventBuilder1.fcl"}
    assert missing({"tpc01.fcl"}, b"Config name: x\n") == set()


def test_a_layout_with_other_names_promises_nothing() -> None:
    """Before v3_02_01 a process's file is `<label>_<host>_<port>.fcl`: no label has its own file then."""
    assert missing({"tpc01_h_10100.fcl", "tpc02_h_10101.fcl"}) == set()


@pytest.mark.parametrize(
    ("metadata", "present", "promises"),
    [
        (b"DAQInterface logfile: h:/x\nDAQInterface commit/version: v3_07_00 x\n", set(), True),
        (b"DAQInterface logfile: h:/x\nDAQInterface commit/version: v3_14_01 x\n", set(), True),
        (b"DAQInterface logfile: h:/x\nDAQInterface commit/version: v3_06_02 x\n", set(), False),
        (b"DAQInterface commit/version: v3_14_01 x\n", set(), False),
        (b"DAQInterface commit/version: 0123456789abcdef 1 1\n", set(), False),
        (b"", {"environment.txt"}, True),
        (b"", {"settings.txt"}, False),
    ],
)
def test_the_fixed_files_since_v3_07_00(metadata: bytes, present: set[str], promises: bool) -> None:
    """They are promised where environment.txt is there or metadata.txt names that version or a later one."""
    assert missing(present, metadata) == (set(ALWAYS) - present if promises else set())


def test_an_empty_file_is_not_there_yet(tmp_path: Path) -> None:
    """A copy makes a file before it writes it."""
    (tmp_path / "metadata.txt").write_bytes(COMPONENTS)
    (tmp_path / "tpc01.fcl").write_bytes(b"a: 1\n")
    (tmp_path / "tpc02.fcl").write_bytes(b"")
    assert take_snapshot(tmp_path).missing == ("tpc02.fcl",)
    (tmp_path / "tpc02.fcl").write_bytes(b"a: 2\n")
    assert take_snapshot(tmp_path).missing == ()


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_read(metadata: bytes, ranks: bytes, boot: bytes) -> None:
    """Whatever the texts hold, names of plain files come out of it."""
    files = {"ranks.txt": ranks, "boot.txt": boot}
    for name in find_missing({"a.fcl", *files}, metadata, files.get):
        assert "/" not in name
        assert name.isprintable() or name.endswith(".fcl")


VERSIONS = ("v1_00_00", "v3_02_01", "v3_03_00", "v3_05_00", "v3_06_01", "v3_07_00", "v3_14_01")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("profile", ["demo", "sbnd", "icarus", "dune"])
def test_whole_records_lack_nothing(tmp_path: Path, version: str, profile: str) -> None:
    """A record of any layout that was written whole keeps all its promises; a process's file taken away is missed."""
    command = [sys.executable, MAKER, str(tmp_path), "--runs", "1", "--crash", "0", "--gaps", "0", "--no-chmod"]
    subprocess.run([*command, "--format", version, "--profile", profile, "--fcl-scale", "0.1"], check=True)
    (directory,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert take_snapshot(directory).missing == ()
    label = re.search(r"Component #0: (\S+)", (directory / "metadata.txt").read_text())
    assert label is not None
    taken = next(directory.glob(f"{label[1]}*.fcl" if version >= "v3_02_01" else "*.fcl"))
    taken.unlink()
    assert take_snapshot(directory).missing == ((f"{label[1]}.fcl",) if version >= "v3_02_01" else ())
