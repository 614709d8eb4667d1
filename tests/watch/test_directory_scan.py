"""Which names in the run-records directory are runs, which only look like runs, and which are neither."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from archiverd.watch.directory_scan import NAMES_KEPT, scan

if TYPE_CHECKING:
    from pathlib import Path

LEADING = "a run number has no zero in front"
DIGITS = "a run number has decimal digits and nothing else"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("01502", LEADING),
        ("0", LEADING),
        ("1234567890123456789", "a run number is at most 999999999999999999"),
        ("12345.bak", DIGITS),
        ("12345_bad", DIGITS),
        ("+5", DIGITS),
        ("-5", DIGITS),
        ("²", DIGITS),
        ("١٢", DIGITS),
        ("5 ", DIGITS),
    ],
)
def test_what_looks_like_a_run_is_named_with_its_rule(tmp_path: Path, name: str, rule: str) -> None:
    """It is no run, and nobody has to guess why."""
    (tmp_path / name).mkdir()
    found = scan(tmp_path)
    assert (found.runs, [(one.name, one.rule) for one in found.odd.names]) == (frozenset(), [(name, rule)])


@pytest.mark.parametrize("name", ["lost+found", ".snapshot", ".record_directory_info", "notes.txt", "run5", "-"])
def test_what_does_not_look_like_a_run_is_not_named(tmp_path: Path, name: str) -> None:
    """Other things have their place there too."""
    (tmp_path / name).mkdir()
    assert scan(tmp_path).odd.count == 0


def test_a_file_and_links(tmp_path: Path) -> None:
    """A link to a directory is followed, that link only; what leads nowhere, to a file, or to our own is named."""
    records, elsewhere, work = tmp_path / "records", tmp_path / "elsewhere", tmp_path / "work"
    for directory in (records, elsewhere / "7", elsewhere / "8", work / "9", records / "20"):
        directory.mkdir(parents=True)
    (records / "5").write_text("")
    for run, target in (
        (7, elsewhere / "7"),
        (8, elsewhere / "8"),
        (9, work / "9"),
        (10, work),
        (11, tmp_path / "nowhere"),
        (12, records / "5"),
        (13, elsewhere / "7"),
        (14, records / "20"),
        (15, records / "7"),
        (16, records),
        (17, tmp_path),
    ):
        (records / str(run)).symlink_to(target)
    found = scan(records, [work])
    assert found.runs == {7, 8, 13, 14, 15, 20}
    assert found.doubles == {13: 7, 14: 20, 15: 7}
    assert {one.name: one.rule.partition(" (")[0] for one in found.odd.names} == {
        "5": "not a directory",
        "9": "a link into archiverd's own directories",
        "10": "a link into archiverd's own directories",
        "11": "a link that leads nowhere",
        "12": "a link to a file",
        "16": "a link to the run-records directory, or above it",
        "17": "a link to the run-records directory, or above it",
    }


def test_a_hundred_thousand_odd_names_bloat_nothing(tmp_path: Path) -> None:
    """The first are listed, all are counted."""
    for number in range(2_000):
        os.close(os.open(tmp_path / f"{number}.bak", os.O_WRONLY | os.O_CREAT))
    found = scan(tmp_path)
    assert (found.odd.count, len(found.odd.names)) == (2_000, NAMES_KEPT)
