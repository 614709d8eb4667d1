"""archiver.log: rotated by size and age, shared by processes, and never in the way of archiving."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from archiverd import log_rotation
from archiverd.log_rotation import STAMP, LogFile, Rotation
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DAY = 86_400.0
NEVER = Rotation(max_bytes=1 << 40, max_age_seconds=1e12, backups=5)


@dataclass
class Desk:
    """A log file, the trouble it reported, and a clock that can be moved."""

    path: Path
    now: float = field(default_factory=time.time)
    troubles: list[str] = field(default_factory=list)
    opened: list[LogFile] = field(default_factory=list)

    def open(self, rotation: Rotation = NEVER, *, rotates: bool = True) -> LogFile:
        """Open the file as another process would."""
        file = LogFile(self.path, rotation, self.troubles.append, lambda: self.now)
        file.rotates = rotates
        self.opened.append(file)
        return file

    def line(self, text: str) -> str:
        """Return a line as the log has it, stamped with the clock's time."""
        return f"{time.strftime(STAMP, time.localtime(self.now))} INFO    {text}"

    def texts(self, number: int | None = None) -> list[str]:
        """Return what the lines of the file, or of an old one, say."""
        path = self.path if number is None else self.path.with_name(f"{self.path.name}.{number}")
        return [line.split(" ", 2)[2].removeprefix("INFO    ") for line in path.read_text().splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A place for a log file."""
    desk = Desk(tmp_path / "archiver.log")
    yield desk
    for file in desk.opened:
        file.close()


def test_a_file_that_is_too_big_is_begun_anew_and_so_many_old_ones_stay(desk: Desk) -> None:
    """The youngest old file is .1; what falls off the end is gone; every line is in exactly one file."""
    file = desk.open(Rotation(max_bytes=100, max_age_seconds=1e12, backups=2))
    for number in range(8):
        file.write(desk.line(f"line {number}"))  # 34 bytes: two a file
    assert [desk.texts(n) for n in (None, 1, 2)] == [
        ["line 6", "line 7"],
        ["line 4", "line 5"],
        ["line 2", "line 3"],
    ]
    assert sorted(path.name for path in desk.path.parent.iterdir()) == [
        "archiver.log",
        "archiver.log.1",
        "archiver.log.2",
    ]


def test_a_file_that_is_too_old_is_begun_anew_also_after_a_restart(desk: Desk) -> None:
    """A file's age is that of its first line, so that a restart does not make it young."""
    old = Rotation(max_bytes=1 << 40, max_age_seconds=14 * DAY, backups=5)
    desk.open(old).write(desk.line("old"))
    desk.now += 13 * DAY
    file = desk.open(old)
    file.write(desk.line("still the same"))
    desk.now += 1.1 * DAY
    file.write(desk.line("new"))
    assert (desk.texts(), desk.texts(1)) == (["new"], ["old", "still the same"])


def test_the_older_tools_log_is_taken_over_with_its_age(desk: Desk) -> None:
    """Its lines begin with the time as well; a file of another kind counts from when it was last changed."""
    desk.path.write_text("2025-10-24 14:32:15,123 - INFO - module - Processing run 12345\n")
    desk.open(Rotation(1 << 40, 14 * DAY, 5)).write(desk.line("ours"))
    assert desk.texts() == ["ours"]
    assert "Processing run 12345" in desk.path.with_name("archiver.log.1").read_text()
    desk.path.write_text("no time here\n")
    desk.open(Rotation(1 << 40, 14 * DAY, 5)).write(desk.line("ours"))
    assert desk.path.read_text().startswith("no time here\n")


def test_without_backups_nothing_old_stays(desk: Desk) -> None:
    """`log_backup_count = 0` bounds the disk to one file."""
    file = desk.open(Rotation(max_bytes=100, max_age_seconds=1e12, backups=0))
    for number in range(5):
        file.write(desk.line(f"line {number}"))
    assert desk.texts() == ["line 4"]
    assert [path.name for path in desk.path.parent.iterdir()] == ["archiver.log"]


def test_only_the_owner_rotates_and_the_others_follow(desk: Desk) -> None:
    """A process without the lock appends whatever the size, and goes on in the new file after another's rotation."""
    rotation = Rotation(max_bytes=100, max_age_seconds=1e12, backups=2)
    guest, owner = desk.open(rotation, rotates=False), desk.open(rotation)
    for number in range(4):
        guest.write(desk.line(f"guest {number}"))
    assert len(desk.texts()) == 4
    owner.write(desk.line("owner"))
    guest.write(desk.line("guest 4"))
    assert (desk.texts(), len(desk.texts(1))) == (["owner", "guest 4"], 4)


@pytest.mark.parametrize("move", [lambda path: path.unlink(), lambda path: path.rename(f"{path}.old")])
def test_a_file_moved_or_removed_by_hand_is_begun_anew(desk: Desk, move: Callable[[Path], None]) -> None:
    """The runbook's manual rotation needs no restart."""
    file = desk.open()
    file.write(desk.line("before"))
    move(desk.path)
    file.write(desk.line("after"))
    assert desk.texts() == ["after"]


def test_reopening_follows_whoever_moved_the_file(desk: Desk) -> None:
    """SIGHUP lets go of the old file at once, before anything is written."""
    file = desk.open()
    desk.path.rename(f"{desk.path}.old")
    file.reopen()
    assert desk.path.exists()


def test_records_of_several_processes_stay_whole(desk: Desk) -> None:
    """Four processes that write long records at once, one of them rotating, tear none and lose none."""
    script = (
        "import sys; from pathlib import Path; from archiverd.log_rotation import LogFile, Rotation\n"
        "file = LogFile(Path(sys.argv[1]), Rotation(300_000, 1e12, 1000), sys.exit)\n"
        "file.rotates = sys.argv[2] == '0'\n"
        "for n in range(200): file.write(f'{sys.argv[2]} {n} ' + sys.argv[2] * 9000)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(desk.path), str(n)]) for n in range(4)]
    assert [writer.wait(DEADLINE_SECONDS) for writer in writers] == [0, 0, 0, 0]
    lines = [line for path in desk.path.parent.iterdir() for line in path.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{who} {n} {str(who) * 9000}" for who in range(4) for n in range(200))
    assert len(list(desk.path.parent.iterdir())) > 5


def test_a_full_disk_costs_lines_and_says_so_once(desk: Desk) -> None:
    """Nothing raises; the trouble is reported once."""
    desk.path.symlink_to("/dev/full")
    file = desk.open()
    for number in range(3):
        file.write(desk.line(f"line {number}"))
    assert len(desk.troubles) == 1
    assert "No space left on device" in desk.troubles[0]


def test_what_was_lost_is_counted_where_it_is_missing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was cut short does not run into the next one, and the log says how many are missing."""
    file = desk.open()
    file.write(desk.line("first"))
    room = [10]
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, bytes(data)[: room[0]])
        room[0] -= written
        return written

    with monkeypatch.context() as patched:
        patched.setattr(log_rotation.os, "write", full)
        file.write(desk.line("cut"))
        file.write(desk.line("lost"))
    file.write(desk.line("after"))
    stamp = time.strftime(STAMP, time.localtime(desk.now))
    assert desk.path.read_text().splitlines()[1:] == [
        stamp[:10],
        f"{stamp} WARNING 2 log lines were lost",
        desk.line("after"),
    ]
    assert len(desk.troubles) == 1


def test_a_rotation_that_fails_loses_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that does not let files be renamed lets the file grow; later the rotation is tried again."""
    file = desk.open(Rotation(max_bytes=100, max_age_seconds=1e12, backups=2))

    def refused(*_names: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patched:
        patched.setattr(log_rotation.os, "replace", refused)
        for number in range(6):
            file.write(desk.line(f"line {number}"))
    assert (len(desk.texts()), desk.troubles) == (6, [])
    desk.now += log_rotation.AGAIN_SECONDS + 1
    file.write(desk.line("later"))
    assert (desk.texts(), len(desk.texts(1))) == (["later"], 6)


def test_a_file_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    """Only the opening raises."""
    with pytest.raises(IsADirectoryError):
        LogFile(tmp_path, NEVER, print)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):  # nobody reads it: waiting would hang the start
        LogFile(tmp_path / "pipe", NEVER, print)
