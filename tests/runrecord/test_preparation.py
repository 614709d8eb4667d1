"""Preparing a whole record: nothing is lost, nothing overwrites anything, and a cache changes nothing but time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd import fhicl
from archiverd.core.errors import FhiclError
from archiverd.runrecord import preparation as module
from archiverd.runrecord.converters.registry import NAMES
from archiverd.runrecord.hashes import hashes_fcl
from archiverd.runrecord.preparation import (
    ConversionCache,
    PreparedRun,
    configuration_name,
    prepare,
    unknown_converters,
)
from archiverd.runrecord.record import LeftOut, RecordFile, RunRecord, read_run_record

ALL = sorted(NAMES)
METADATA = b"Config name: a b\nComponent #0: x\n\nStart time: s\n\nStop time: e\n"


def record(**files: bytes) -> RunRecord:
    """Return a record of files; `__` stands for a dot in their names."""
    return RunRecord(7, tuple(RecordFile(name.replace("__", "."), data) for name, data in sorted(files.items())))


def contents(prepared: PreparedRun) -> dict[str, bytes]:
    """Return the prepared files by name."""
    return {file.name: file.fcl for file in prepared.files}


def test_a_record() -> None:
    """Text files are converted, FHiCL is unchanged, histories are generated, and the run's facts are returned."""
    prepared = prepare(
        record(
            metadata__txt=METADATA,
            environment__txt=b"export DAQINTERFACE_PARTITION_NUMBER=3\n",
            tpc01__fcl=b"a :  1 # as it is\r\n",
        ),
        ALL,
    )
    assert [(file.name, file.source) for file in prepared.files] == [
        ("RunHistory.fcl", "metadata.txt"),
        ("environment.fcl", "environment.txt"),
        ("metadata.fcl", "metadata.txt"),
        ("tpc01.fcl", "tpc01.fcl"),
    ]
    assert contents(prepared)["tpc01.fcl"] == b"a :  1 # as it is\r\n"
    (update,) = prepared.update
    assert update.name == "RunHistory2.fcl"
    assert update.fcl == b'DAQInterface_start_time: "s"\nDAQInterface_stop_time: "e"\n'
    assert (prepared.run, prepared.configuration, prepared.partition) == (7, "a_b", 3)
    assert (prepared.started, prepared.stopped) == ("s", "e")
    assert prepared.left_out == prepared.rejected == prepared.notes == ()


@pytest.mark.parametrize(
    ("metadata", "stopped"),
    [
        (METADATA, True),
        (METADATA.replace(b"Stop", b"Step"), False),
        (b"Stop time: e\n", True),
        (b"Config name: x\n", False),
    ],
)
def test_update_only_when_stopped(metadata: bytes, stopped: bool) -> None:
    """RunHistory2 is made exactly when the run has its stop line: a running or dead run has not stopped."""
    assert bool(prepare(record(metadata__txt=metadata), ALL).update) is stopped


def test_only_what_is_listed_is_converted() -> None:
    """A text file that is not listed, or has no converter, is left out by name; endings in the list do not matter."""
    files = record(metadata__txt=METADATA, boot__txt=b"", notes__txt=b"x", data__root=b"\x00", boot=b"")
    prepared = prepare(files, ["metadata.txt"])
    assert list(contents(prepared)) == ["metadata.fcl"]
    assert prepared.update == ()
    assert prepared.left_out == (
        LeftOut("boot", "neither FHiCL nor a text file with a converter"),
        LeftOut("boot.txt", "boot is not listed in fhiclize_generate"),
        LeftOut("data.root", "neither FHiCL nor a text file with a converter"),
        LeftOut("notes.txt", "neither FHiCL nor a text file with a converter"),
    )


def test_unknown_converters() -> None:
    """Names that are not in the registry are returned as written."""
    assert unknown_converters(["boot.txt", "RunHistory", "Boot", "notes.txt"]) == ("Boot", "notes.txt")


def test_one_bad_file_costs_only_itself() -> None:
    """Stray bytes in a text file cost nothing; a .fcl that is none is rejected by line and column; the rest is kept."""
    prepared = prepare(record(setup__txt=b"caf\xe9\n", bad__fcl=b"a: 1\nb: {\n", good__fcl=b"a: 1\n"), ALL)
    assert contents(prepared)["setup.fcl"] == b'setup_script: "caf%E9\\n (percent-encoded)"'
    assert "good.fcl" in contents(prepared)
    (rejected,) = prepared.rejected
    assert rejected.name == "bad.fcl"
    assert isinstance(rejected.error, FhiclError)
    assert str(rejected.error).startswith("bad.fcl:0:1: ")


def test_what_the_reader_left_out_stays_named() -> None:
    """What was left out when the directory was read stays left out."""
    left_out = (LeftOut("core", "a core dump"),)
    assert prepare(RunRecord(7, (), left_out), ALL).left_out == left_out


def test_no_name_overwrites_another() -> None:
    """A process called like a text file, like artdaqDB's own names or like another but for case loses nothing."""
    files = record(
        boot__txt=b"",
        boot__fcl=b"a: 1\n",
        boot_process__fcl=b"a: 2\n",
        schema__fcl=b"a: 3\n",
        hashes__fcl=b"a: 4\n",
        RunHistory__fcl=b"a: 5\n",
        RunHistory2__fcl=b"a: 6\n",
        Tpc__fcl=b"a: 7\n",
        tpc__fcl=b"a: 8\n",
    )
    prepared = prepare(files, ALL)
    found = contents(prepared)
    assert found["boot.fcl"] == b"artdaq_process_settings: [ ]\n"
    assert found["boot_process.fcl"] == b"a: 2\n"
    assert found["boot_process2.fcl"] == b"a: 1\n"
    assert found["schema_process.fcl"] == b"a: 3\n"
    assert (found["Tpc.fcl"], found["tpc.fcl"]) == (b"a: 7\n", b"a: 8\n")
    assert sorted(fcl for fcl in found.values() if fcl.startswith(b"a: ")) == [b"a: %d\n" % n for n in range(1, 9)]
    assert len(prepared.notes) == 5


NAMES = st.sampled_from(
    ["boot", "boot_process", "boot_process2", "schema", "metadata", "a b", "é", "a\n", "pct_x", "Boot"]
)


@given(
    st.dictionaries(st.builds("{}{}".format, NAMES, st.sampled_from([".fcl", ".txt"])), st.just(b"a: 1\n"), max_size=12)
)
def test_every_file_is_accounted_for(files: dict[str, bytes]) -> None:
    """Whatever files there are, each is archived once under a plain name of its own, left out or rejected."""
    prepared = prepare(RunRecord(7, tuple(RecordFile(*file) for file in sorted(files.items()))), ALL)
    accounted = [file.source for file in prepared.files if not file.name.startswith("RunHistory")]
    accounted += [gone.name for gone in prepared.left_out] + [rejected.name for rejected in prepared.rejected]
    assert sorted(accounted) == sorted(files)
    names = [file.name for file in prepared.files]
    assert len(names) == len(set(names))
    assert all(name.isascii() and name.isprintable() for name in names)


def test_an_empty_process_file() -> None:
    """An empty file is stored as one newline, with a note, because artdaqDB takes no empty document."""
    prepared = prepare(record(tpc01__fcl=b""), [])
    assert contents(prepared) == {"tpc01.fcl": b"\n"}
    assert prepared.notes == ("tpc01.fcl is empty; artdaqDB takes no empty document, so one newline is stored",)


def test_configuration_name() -> None:
    """A record knows the name of its configuration, with metadata.txt and without."""
    assert configuration_name(record(metadata__txt=METADATA)) == "a_b"
    assert configuration_name(record()) == "standard"


def test_the_cache_only_saves_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cache the result is the same, and files seen before are not checked again; errors are not remembered."""
    calls: list[str] = []
    check = fhicl.check

    def counted(text: bytes, name: str) -> None:
        calls.append(name)
        check(text, name)

    monkeypatch.setattr(module.fhicl, "check", counted)
    files = record(boot__txt=b"a: 1\n", config__txt=b"a: 1\n", setup__txt=b"a: 1\n", x__fcl=b"a: 1\n", bad__fcl=b"a:")
    cache = ConversionCache()
    first = prepare(files, ALL, cache)
    assert sorted(calls) == ["RunHistory.fcl", "bad.fcl", "boot.fcl", "config.fcl", "setup.fcl", "x.fcl"]
    calls.clear()
    again = prepare(files, ALL, cache)
    assert sorted(calls) == ["RunHistory.fcl", "bad.fcl"]
    assert contents(again) == contents(first) == contents(prepare(files, ALL))


def test_the_cache_is_bounded() -> None:
    """The cache forgets what was used longest ago, and holds nothing that is larger than itself."""
    made: list[bytes] = []

    def make(text: bytes) -> bytes:
        made.append(text)
        return text * 100

    cache = ConversionCache(max_bytes=2 * (256 + 100))
    for text in (b"a", b"b", b"a", b"c", b"a", b"b"):
        assert cache.get("x", text, lambda text=text: make(text)) == text * 100  # type: ignore[misc]
    assert made == [b"a", b"b", b"c", b"b"]
    small = ConversionCache(max_bytes=10)
    assert small.get("x", b"a", lambda: make(b"a")) == small.get("x", b"a", lambda: make(b"a"))
    assert len(made) == 6


def test_hashes() -> None:
    """A line an entity sorted by name, schema apart, then the hash of all; no newline at the end."""
    entities = [("component10", b"a: 1\n"), ("component1", b""), ("schema", b"x"), ("my reader", b"b: 2\n")]
    named = {"component1": b"", "component10": b"a: 1\n", "pct_my_20reader": b"b: 2\n"}
    lines = [f"{name}:{hashlib.md5(data, usedforsecurity=False).hexdigest()}" for name, data in named.items()]
    expected = "\n".join(
        [*lines, f"configuration:{hashlib.md5(','.join(lines).encode(), usedforsecurity=False).hexdigest()}"]
    )
    assert hashes_fcl(entities) == expected.encode()
    fhicl.check(hashes_fcl(entities), "hashes.fcl")


@given(st.dictionaries(st.text(max_size=5), st.binary(max_size=3), max_size=6))
def test_hashes_of_any_entities(entities: dict[str, bytes]) -> None:
    """Whatever entities are called and hold, their hashes are FHiCL."""
    fhicl.check(hashes_fcl(list(entities.items())), "hashes.fcl")


@pytest.mark.parametrize("profile", ["demo", "sbnd", "icarus", "dune"])
def test_made_records(tmp_path: Path, profile: str) -> None:
    """Records of all detectors are taken whole: every file archived, nothing rejected, left out or noted."""
    maker = Path(__file__).resolve().parents[1] / "tools" / "make_run_records.py"
    options = ["--runs", "1", "--crash", "0", "--no-chmod", "--fcl", "dumped", "--fcl-scale", "0.1"]
    subprocess.run([sys.executable, str(maker), str(tmp_path), "--profile", profile, *options], check=True)
    files = read_run_record(tmp_path / "12000", 12000)
    prepared = prepare(files, ALL)
    assert {file.source for file in prepared.files} == {file.name for file in files.files}
    assert len(prepared.files) == len(files.files) + 1
    assert prepared.rejected == prepared.left_out == prepared.notes == ()
    assert [file.name for file in prepared.update] == ["RunHistory2.fcl"]
