"""Odd run records: every fault of the older converters and every quirk of the record maker."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from archiverd import fhicl
from archiverd.runrecord.blob import pack, unpack
from archiverd.runrecord.converters import registry
from archiverd.runrecord.preparation import PreparedRun, prepare
from archiverd.runrecord.record import RecordFile, RunRecord, read_run_record

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "runrecord"
FAULTS = tomllib.loads((DATA / "faults.toml").read_text(encoding="utf-8"))["fault"]
QUIRKS = tomllib.loads((DATA / "quirks.toml").read_text(encoding="utf-8"))
FIRST = 12000
MAKER = str(ROOT / "tests" / "tools" / "make_run_records.py")


def names() -> list[str]:
    """Return the record maker's quirks in its order."""
    listed = subprocess.run([sys.executable, MAKER, "--list-quirks"], check=True, capture_output=True, text=True)
    return [line.split()[0] for line in listed.stdout.splitlines()]


NAMES = names()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of made records, one a quirk, in the record maker's order."""
    directory = tmp_path_factory.mktemp("records")
    arguments = ["--runs", str(len(QUIRKS)), "--first", str(FIRST), "--quirks", "--gaps", "0", "--crash", "0"]
    options = ["--no-chmod", "--no-dir-quirks", "--fcl", "dumped", "--fcl-scale", "0.1"]
    subprocess.run([sys.executable, MAKER, str(directory), *arguments, *options], check=True)
    (directory / str(FIRST + NAMES.index("unreadable_directory"))).chmod(0o755)
    (directory / str(FIRST + NAMES.index("unreadable_file")) / "settings.txt").chmod(0o644)
    return directory


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault['id']}-{fault['file']}")
def test_fault(fault: dict[str, str]) -> None:
    """A minimal input that the older converter turned into invalid or lossy FHiCL becomes exactly the text stated."""
    record = RunRecord(1, (RecordFile(fault["file"], fault["input"].encode()),))
    prepared = prepare(record, sorted(registry.NAMES))
    assert prepared.rejected == prepared.left_out == ()
    converted = {file.source: file.fcl.decode() for file in prepared.files if not file.name.startswith("RunHistory")}
    expected = fault["output"] or f"# {fault['file']} holds nothing\n"
    assert converted == {fault["file"]: expected}


def test_every_fault_is_there() -> None:
    """All faults B1 to B21 and L1 to L27 have an input."""
    wanted = {f"B{n}" for n in range(1, 22)} | {f"L{n}" for n in range(1, 28)}
    assert {fault["id"] for fault in FAULTS} == wanted


def test_every_quirk_is_there() -> None:
    """Every quirk of the record maker has its treatment, and no other has."""
    assert sorted(NAMES) == sorted(QUIRKS)


@pytest.mark.parametrize("name", NAMES)
def test_quirk(name: str, records: Path) -> None:
    """A record with the quirk becomes FHiCL as stated, keeps its values in artdaqDB, loses no file and packs."""
    run = FIRST + NAMES.index(name)
    record = read_run_record(records / str(run), run)
    prepared = prepare(record, sorted(registry.NAMES))
    _check_statements(QUIRKS[name], prepared)
    for file in (*prepared.files, *prepared.update):
        exported = fhicl.from_json(fhicl.to_json(file.fcl, file.name, "now"), file.name) or b"\n"
        assert fhicl.parse_values(exported, file.name) == fhicl.parse_values(file.fcl, file.name)
    in_directory = {path.name for path in (records / str(run)).iterdir()}
    accounted = {file.source for file in prepared.files if file.source} | {gone.name for gone in prepared.left_out}
    assert accounted | {rejected.name for rejected in prepared.rejected} == in_directory
    contents = [(file.name, file.fcl) for file in prepared.files]
    assert sorted(unpack(b"".join(pack(run, "Oct 26 14:30 UTC", contents))).files) == sorted(contents)


def _check_statements(quirk: dict[str, list[str]], prepared: PreparedRun) -> None:
    """Check what quirks.toml states of a record."""
    assert set(quirk) > {"does", "why"}
    texts = {file.name: file.fcl.decode() for file in (*prepared.files, *prepared.update)}
    for shown in quirk.get("shows", []):
        name, _, line = shown.lstrip("~!").partition(": ")
        if shown.startswith("~"):
            assert line in texts[name]
        elif shown.startswith("!"):
            assert line not in texts[name]
        else:
            assert line in texts[name].splitlines()
    assert not set(quirk.get("absent", [])) & set(texts)
    assert [gone.name for gone in prepared.left_out] == quirk.get("left_out", [])
    assert [rejected.name for rejected in prepared.rejected] == quirk.get("rejected", [])
    assert len(prepared.notes) == len(quirk.get("notes", []))
    for note in quirk.get("notes", []):
        assert any(note in said for said in prepared.notes)
    if "configuration" in quirk:
        assert prepared.configuration == quirk["configuration"]


def test_document_is_not_stale() -> None:
    """docs/quirks.md is what scripts/quirks_table.py makes of the data these tests run on."""
    checked = subprocess.run([sys.executable, str(ROOT / "scripts" / "quirks_table.py"), "--check"], check=False)
    assert checked.returncode == 0


def test_document_names_real_tests() -> None:
    """Every test that docs/quirks.md names for a fault around the converters exists."""
    around = tomllib.loads((DATA / "around.toml").read_text(encoding="utf-8"))
    for entry in around.values():
        file, _, function = entry["test"].partition("::")
        assert f"def {function}(" in (Path(__file__).parent / file).read_text(encoding="utf-8")
