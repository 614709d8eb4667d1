"""What a comparison of a directory with what was archived of it finds, and what it takes for no difference."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from archiverd.audit.directory import STANDS, Verdict, accepted, compare_directory, look_at
from archiverd.core.machine import Stage, State
from archiverd.core.priority import Lane
from archiverd.journal.rows import Differences, FileFate, RunRow
from archiverd.pipeline.import_plan import NEVER_CAME
from archiverd.runrecord.record import read_run_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = "Wed Nov 15 10:00:00 UTC 2023"
FILES = {
    "metadata.txt": f"Config name: x\nDAQInterface start time: {START}\n",
    "a.fcl": "a: 1\n",
    "b.fcl": "b: 1\n",
}


def fate(name: str, text: str, entity: str = "x", reason: str = "") -> FileFate:
    """Return the fate of a file that was read with this content."""
    return FileFate(name, entity, reason, len(text), hashlib.sha256(text.encode()).hexdigest())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A run directory with a core dump and an editor's backup beside its files."""
    made = tmp_path / "7"
    made.mkdir()
    for name, text in {**FILES, "core.1": "x", "a.fcl~": "a: 0\n"}.items():
        (made / name).write_text(text)
    return made


MANIFEST = [*(fate(name, text) for name, text in FILES.items()), FileFate("core.1", "", "a core dump")]


def row(directory: Path) -> RunRow:
    """Return the row of a verified run whose directory was read as it is."""
    facts = dict.fromkeys(RunRow.__dataclass_fields__, None)
    facts |= {"run": 7, "state": State.VERIFIED, "stage": Stage.MIGRATE, "lane": Lane.FRESH, "start_line": START}
    facts |= {"listing": look_at(directory)[0], "changed": Differences(), "reused": ""}
    return RunRow(**facts)  # type: ignore[arg-type]


def rewrite(path: Path, text: str) -> None:
    """Write a file anew, with the modification time it had."""
    status = path.stat()
    path.write_text(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda at: (at / "c.fcl").write_text("c: 1\n"), Differences(added=("c.fcl",))),
        (lambda at: (at / "a.fcl").write_text("a: 1\nz: 2\n"), Differences(edited=("a.fcl",))),
        (lambda at: rewrite(at / "a.fcl", "a: 2\n"), Differences(edited=("a.fcl",))),
        (lambda at: (at / "b.fcl").unlink(), Differences(removed=("b.fcl",))),
        (lambda at: (at / "b.fcl").rename(at / "c.fcl"), Differences(added=("c.fcl",), removed=("b.fcl",))),
    ],
)
def test_differences(directory: Path, change: Callable[[Path], object], found: Differences) -> None:
    """Added, edited even with its size and time kept, removed, renamed: each by its name."""
    known = row(directory)
    change(directory)
    compared = compare_directory(directory, known, MANIFEST)
    assert (compared.verdict, compared.differences) == (Verdict.CHANGED, found)


@pytest.mark.parametrize(
    "change",
    [
        lambda at: (at / "a.fcl").chmod(0o600),
        lambda at: os.utime(at / "a.fcl"),
        lambda at: (at / "core.2").write_text("x"),
        lambda at: (at / ".a.fcl.Xa3b5Z").write_text("x"),
        lambda at: (shutil.copytree(at, at.parent / "copy"), shutil.rmtree(at), (at.parent / "copy").rename(at)),
        lambda at: (at / "core.1").write_text("longer"),
    ],
)
def test_what_is_no_difference(directory: Path, change: Callable[[Path], object]) -> None:
    """Modes, times, inodes, and what does not belong to a record."""
    known = row(directory)
    change(directory)
    compared = compare_directory(directory, known, MANIFEST)
    assert (compared.verdict, compared.differences) == (Verdict.SAME, Differences())
    again = compare_directory(directory, replace(known, listing=compared.listing), MANIFEST)
    assert (again.verdict, again.hashed) == (Verdict.SAME, 0)


def test_an_unchanged_directory_is_not_read(directory: Path) -> None:
    """The status of its files is enough; one that was flagged is read all the same."""
    known = row(directory)
    assert compare_directory(directory, known, MANIFEST).hashed == 0
    flagged = replace(known, changed=Differences(added=("c.fcl",)))
    assert compare_directory(directory, flagged, MANIFEST).hashed == sum(map(len, FILES.values()))


def test_another_start_line_is_another_run(directory: Path) -> None:
    """Whatever else differs."""
    known = row(directory)
    (directory / "metadata.txt").write_text(FILES["metadata.txt"].replace("2023", "2024"))
    (directory / "a.fcl").unlink()
    compared = compare_directory(directory, known, MANIFEST)
    assert (compared.verdict, compared.started) == (Verdict.REUSED, START.replace("2023", "2024"))


@pytest.mark.parametrize("how", ["gone", "unknown", "unreadable"])
def test_what_nobody_can_tell(directory: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A directory that is gone, a run of which no content is known, a file that cannot be read: no difference."""
    known = row(directory)
    (directory / "a.fcl").write_text("a: 3\n")
    manifest = MANIFEST
    if how == "gone":
        directory.rename(directory.parent / "away")
    elif how == "unknown":
        manifest = [FileFate("a.fcl", "a", "")]
    else:
        really = os.open

        def refusing(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if str(path) == "a.fcl":
                raise PermissionError(13, "Permission denied", str(path))
            return really(path, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", refusing)
    assert compare_directory(directory, known, manifest).verdict is Verdict.UNKNOWN


def test_an_acceptance_claims_nothing_of_what_was_never_archived(directory: Path) -> None:
    """What never came, was left out, or is there in another program's words, keeps the reason that was told."""
    (directory / "c.fcl").write_text("c: 1\n")
    without = [
        FileFate("c.fcl", "", "left out by the other program that archived this run"),
        FileFate("d.fcl", "", "promised by the record itself; it never came"),
        FileFate("metadata.txt", "metadata", "archived by another program, in its own words"),
    ]
    manifest = [*MANIFEST[1:], *without]
    assert accepted(manifest, read_run_record(directory, 7)) == manifest


def test_a_promised_file_that_comes_after_all_was_added(directory: Path) -> None:
    """Also after an acceptance; an empty one has not come, and one that was left out for another reason is no news."""
    known = row(directory)
    awaited = [FileFate("c.fcl", "", NEVER_CAME), FileFate("d.fcl", "", NEVER_CAME)]
    manifest = [*MANIFEST, *awaited, FileFate("e.fcl", "", "left out by an operator")]
    (directory / "d.fcl").touch()
    (directory / "e.fcl").write_text("e: 1\n")
    assert compare_directory(directory, known, manifest).verdict is Verdict.SAME
    (directory / "c.fcl").write_text("c: 1\n")
    assert compare_directory(directory, known, manifest).differences == Differences(added=("c.fcl",))
    stands = accepted(manifest, read_run_record(directory, 7))
    assert {one.name: one.reason for one in stands if one.name > "c"} == {
        "core.1": "a core dump",
        "c.fcl": f"added since it was archived: {STANDS}",
        "d.fcl": NEVER_CAME,
        "e.fcl": "left out by an operator",
        "metadata.txt": "",
    }
    assert compare_directory(directory, known, stands).verdict is Verdict.SAME
    (directory / "d.fcl").write_text("d: 1\n")
    assert compare_directory(directory, known, stands).differences == Differences(added=("d.fcl",))


def test_what_was_accepted_is_no_difference_any_more_and_a_later_change_is(directory: Path) -> None:
    """The manifest says of each file what an operator lets stand; it is held against the directory as ever."""
    known = row(directory)
    (directory / "a.fcl").write_text("a: 2\n")
    (directory / "b.fcl").unlink()
    (directory / "c.fcl").write_text("c: 1\n")
    record = read_run_record(directory, 7)
    manifest = accepted(MANIFEST, record)
    reasons = {one.name: one.reason for one in manifest}
    assert reasons["a.fcl"] == f"edited since it was archived: {STANDS}"
    assert reasons["b.fcl"] == f"removed since it was archived: {STANDS}"
    assert reasons["c.fcl"] == f"added since it was archived: {STANDS}"
    assert compare_directory(directory, known, manifest).verdict is Verdict.SAME
    (directory / "c.fcl").write_text("c: 2\n")
    assert compare_directory(directory, known, manifest).differences == Differences(edited=("c.fcl",))


@pytest.mark.parametrize("reason", [NEVER_CAME, "a symbolic link", "a directory"])
def test_a_file_that_comes_where_there_was_none_is_added(directory: Path, reason: str) -> None:
    """One that the record promised and that never came, or that stands where a link or a directory was."""
    (directory / "late.fcl").write_text("late: 1\n")
    row_before = replace(row(directory), listing="another")
    found = compare_directory(directory, row_before, [*MANIFEST, FileFate("late.fcl", "", reason)])
    assert found.differences == Differences(added=("late.fcl",))
