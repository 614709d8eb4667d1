"""A run is archived whole or not yet: copies under way, growing files, unreadable ones, replaced directories."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import termios
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from archiverd.journal.queries import select_files
from archiverd.journal.reader import reading
from archiverd.runrecord.blob import unpack
from archiverd.runrecord.listing import junk
from tests.waiting import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.journal.rows import RunRow

    from .conftest import Site

SBND = ("--profile", "sbnd", "--fcl-scale", "0.2", "--crash", "0", "--gaps", "0", "--no-chmod")
DEMO = ("--profile", "demo", "--fcl", "dumped", "--crash", "0", "--gaps", "0", "--no-chmod")
TRIES = 60
"""Records made for a copy to be stopped midway: one may stop before it has come to metadata.txt, or after the rest."""
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []
"""Takes from root the right to read everything."""


@pytest.fixture
def elsewhere(site: Site) -> Path:
    """A directory in which records are made that are copied to the site afterwards."""
    aside = site.root / "elsewhere"
    aside.mkdir()
    return aside


def make_aside(site: Site, aside: Path, *arguments: str) -> None:
    """Write run records into ``aside``."""
    site.records.rename(site.root / "kept")
    site.make(*arguments)
    for made in site.records.glob("[0-9]*"):
        made.rename(aside / made.name)
    shutil.rmtree(site.records)
    (site.root / "kept").rename(site.records)


def archived_files(site: Site, run: int) -> set[str]:
    """Return the names of the files of a run that are archived."""
    with reading(site.work / "journal.sqlite") as db:
        return {fate.name for fate in select_files(db, run) if fate.entity}


def is_verified(run: int) -> Callable[[dict[int, RunRow]], bool]:
    """Return whether ``run`` is verified, by the journal's rows."""
    return lambda rows: run in rows and rows[run].state is State.VERIFIED


def waits_for(run: int, words: str) -> Callable[[dict[int, RunRow]], bool]:
    """Return whether ``run`` is open and waits for what ``words`` say."""
    return lambda rows: run in rows and rows[run].state is State.OPEN and words in rows[run].waits_for


Resume = Callable[[], None]
"""Lets a copy that stands still go on to its end."""


def stall_rsync(source: Path, target: Path) -> Resume | None:
    """Begin to copy with rsync, and stop it at a random file; None if it was quicker."""
    files = len(os.listdir(source))
    after = random.randrange(files // 2, files - 3)
    command = ["rsync", "-a", "--bwlimit=256", f"{source}/", str(target)]
    copy = subprocess.Popen(command, start_new_session=True)
    wait_until(lambda: copy.poll() is not None or (target.exists() and len(os.listdir(target)) >= after))
    if copy.poll() is not None:
        return None
    os.killpg(copy.pid, signal.SIGSTOP)

    def resume() -> None:
        os.killpg(copy.pid, signal.SIGCONT)
        assert copy.wait(DEADLINE_SECONDS) == 0

    return resume


def stall_cp(source: Path, target: Path) -> Resume | None:
    """Begin to copy with cp, which waits for the content of a random file: a pipe has its place meanwhile."""
    name = random.choice([name for name in os.listdir(source) if name != "metadata.txt"])
    content = (source / name).read_bytes()
    (source / name).unlink()
    os.mkfifo(source / name)
    copy = subprocess.Popen(["cp", "-r", "--copy-contents", str(source), str(target)])
    pipe = wait_for_reader(source / name)

    def resume() -> None:
        with os.fdopen(pipe, "wb") as file:
            os.set_blocking(pipe, True)
            file.write(content)
        assert copy.wait(DEADLINE_SECONDS) == 0

    return resume


def wait_for_reader(pipe: Path) -> int:
    """Wait until a named pipe is read from; return a descriptor that writes to it."""
    opened: list[int] = []

    def is_read() -> bool:
        with contextlib.suppress(OSError):
            opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    wait_until(is_read)
    return opened[0]


def stall_tar(source: Path, target: Path) -> Resume | None:
    """Begin to unpack with tar, which waits for more in the middle of a random file."""
    archive = subprocess.run(["tar", "-C", str(source), "-cf", "-", "."], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        cut = random.choice([member.offset_data + member.size // 2 for member in tar if member.isfile()])
    target.mkdir()
    copy = subprocess.Popen(["tar", "-C", str(target), "-xf", "-"], stdin=subprocess.PIPE)
    assert copy.stdin is not None
    pipe = copy.stdin
    pipe.write(archive[:cut])
    pipe.flush()
    wait_until(lambda: not unread_bytes(pipe.fileno()))

    def resume() -> None:
        with pipe:
            pipe.write(archive[cut:])
        assert copy.wait(DEADLINE_SECONDS) == 0

    return resume


def unread_bytes(pipe: int) -> int:
    """Return how many bytes in a pipe have not been read."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


TOOLS = {"rsync": stall_rsync, "cp": stall_cp, "tar": stall_tar}


def is_partial(source: Path, target: Path) -> bool:
    """Return whether a record is there with its stop line, and lacks files."""
    there = {name for name in os.listdir(target) if junk(name) is None}
    return (
        "metadata.txt" in there
        and (target / "metadata.txt").stat().st_size > 0
        and len(there) < len(os.listdir(source))
    )


@pytest.mark.parametrize("tool", TOOLS)
def test_a_copy_that_stalls_is_archived_whole(site: Site, elsewhere: Path, tool: str) -> None:
    """The record of an ended run, stopped at a random file, is open, and says what for, until the copy has ended."""
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}")
    make_aside(site, elsewhere, *SBND, "--runs", str(TRIES), "--first", "40")
    daemon = site.start("run")
    for run in range(40, 40 + TRIES):
        source, target = elsewhere / str(run), site.records / str(run)
        resume = TOOLS[tool](source, target)
        if resume is not None and is_partial(source, target):
            break
        if resume is not None:
            resume()
    else:
        pytest.fail(f"{tool} could not be stopped midway")
    names = set(os.listdir(source))
    try:
        row = site.wait(waits_for(run, "at most watch.final_wait_seconds"))[run]
        assert "files that the record itself names" in row.waits_for or "a copy that is under way" in row.waits_for
        wait_until(lambda: site.rows()[run].waits_for in site.run("why", str(run)).stdout)
    finally:
        resume()
    row = site.wait(is_verified(run))[run]
    site.assert_proven(row)
    assert not row.incomplete
    assert archived_files(site, run) == names
    assert site.stop(daemon) == 130


def test_a_file_that_is_still_growing_is_waited_for(site: Site) -> None:
    """Though neither metadata.txt nor the directory changes any more: what is archived is what it grew to."""
    site.settings = "[watch]\nsettle_seconds = 5.0\n"
    site.configure()
    site.make(*DEMO, "--runs", "1", "--first", "7")
    growing = site.records / "7" / "component01.fcl"
    growing.write_bytes(b"")
    over = threading.Event()

    def grow() -> None:
        number = 0
        while not over.wait(0.02):
            number += 1
            with growing.open("a") as file:
                file.write(f"a{number}: {number}\n")

    grower = threading.Thread(target=grow)
    growing.write_text("a0: 0\n")
    grower.start()
    daemon = site.start("run")
    try:
        site.wait(waits_for(7, "stand still"))
        lines = len(growing.read_text().splitlines())
        wait_until(lambda: len(growing.read_text().splitlines()) > lines + 20)
    finally:
        over.set()
        grower.join()
    site.wait(is_verified(7))
    text = dict(unpack(site.blob(7)).files)["component01.fcl"].decode()
    assert [line.strip() for line in text.splitlines() if line.strip()] == growing.read_text().splitlines()
    assert site.stop(daemon) == 130


@pytest.mark.parametrize("name", [".component01.fcl.Xa3b5Z", "component01.fcl.part"])
def test_a_temporary_file_of_a_copy_is_waited_for(site: Site, name: str) -> None:
    """It holds its run up until it has got its name; one that stays is left out by name after the final wait."""
    site.make(*DEMO, "--runs", "2", "--first", "7")
    (site.records / "7" / "component01.fcl").rename(site.records / "7" / name)
    daemon = site.start("run")
    site.wait(waits_for(7, name))
    (site.records / "7" / name).rename(site.records / "7" / "component01.fcl")
    site.wait(is_verified(7))
    assert "component01.fcl" in archived_files(site, 7)
    assert site.stop(daemon) == 130
    site.settings = "[watch]\nfinal_wait_seconds = 0.5\n"
    site.configure()
    site.make(*DEMO, "--runs", "1", "--first", "9")
    (site.records / "9" / name).write_text("left behind")
    assert site.run("once").returncode == 0
    with reading(site.work / "journal.sqlite") as db:
        assert {fate.name: fate.entity for fate in select_files(db, 9)}[name] == ""


def test_a_run_without_a_file_that_it_names_is_archived_in_the_end_and_flagged(site: Site) -> None:
    """After the final wait: `why` names what never came. Where it comes after all, that is a change, and mendable."""
    site.settings = "[watch]\nfinal_wait_seconds = 2.0\n"
    site.configure()
    site.make(*DEMO, "--runs", "1", "--first", "7")
    late = (site.records / "7" / "component01.fcl").read_bytes()
    (site.records / "7" / "component01.fcl").unlink()
    daemon = site.start("run")
    row = site.wait(is_verified(7))[7]
    assert row.incomplete
    said = site.run("why", "7").stdout
    assert "component01.fcl" in said
    assert "it never came" in said
    assert site.run("reconcile").returncode == 0
    (site.records / "7" / "component01.fcl").write_bytes(late)
    told = site.run("reconcile")
    assert (told.returncode, "changed" in told.stdout + told.stderr) == (1, True)
    assert "added component01.fcl since it was archived" in site.run("why", "7").stdout
    assert site.run("rearchive", "7", "--override").returncode == 0
    row = site.rows()[7]
    assert (row.state, row.incomplete, bool(row.changed)) == (State.VERIFIED, False, False)
    assert "component01.fcl" in archived_files(site, 7)
    assert site.run("reconcile", "--deep").returncode == 0
    assert site.stop(daemon) == 130


@pytest.mark.skipif(bool(UNPRIVILEGED) and shutil.which("setpriv") is None, reason="root reads everything: no setpriv")
def test_files_that_cannot_be_read_are_waited_for(site: Site) -> None:
    """The run waits with their names; readable again, it is verified with them, by itself."""
    site.make(*DEMO, "--runs", "1", "--first", "7")
    directory = site.records / "7"
    closed = [directory / "boot.txt", directory / "component01.fcl"]
    core = directory / "core.123"
    core.write_bytes(b"core")
    for path in (*closed, core):
        path.chmod(0)
    site.before = UNPRIVILEGED
    daemon = site.start("run")
    row = site.wait(lambda rows: 7 in rows and rows[7].state is State.RETRY_WAIT)[7]
    assert "boot.txt (permission denied), component01.fcl (permission denied)" in row.error
    assert "core.123" not in row.error
    for path in closed:
        path.chmod(0o644)
    row = site.wait(is_verified(7))[7]
    assert {path.name for path in closed} <= archived_files(site, 7)
    assert "core.123" in site.run("why", "7").stdout
    assert site.stop(daemon) == 130


@pytest.mark.skipif(bool(UNPRIVILEGED) and shutil.which("setpriv") is None, reason="root reads everything: no setpriv")
@pytest.mark.parametrize("without", [False, True])
def test_files_that_stay_unreadable_set_the_run_aside(site: Site, without: bool) -> None:
    """Quarantined with the names after the final wait; an operator mends them, or archives the run without them."""
    site.settings = "[watch]\nfinal_wait_seconds = 0.1\n"
    site.configure()
    site.make(*DEMO, "--runs", "1", "--first", "7")
    closed = site.records / "7" / "boot.txt"
    closed.chmod(0)
    site.before = UNPRIVILEGED
    assert site.run("once").returncode == 1
    row = site.wait(lambda rows: rows[7].state in (State.QUARANTINED, State.RETRY_WAIT))[7]
    while row.state is State.RETRY_WAIT:
        assert site.run("once").returncode == 1
        row = site.rows()[7]
    assert "boot.txt (permission denied)" in row.error
    assert "archiverd release 7 --without FILE" in row.remedy
    if without:
        assert site.run("release", "7", "--without", "boot.txt").returncode == 0
    else:
        closed.chmod(0o644)
        assert site.run("release", "7").returncode == 0
    assert site.run("once").returncode == 0
    assert site.rows()[7].state is State.VERIFIED
    assert ("boot.txt" in archived_files(site, 7)) is not without
    assert ("left out by an operator" in site.run("why", "7").stdout) is without
    refused = site.run("release", "7", "--without", "setup.txt")
    assert refused.returncode == 1


def test_a_directory_that_was_replaced_while_its_run_was_queued(site: Site) -> None:
    """By a running run of the same number: that one is open, and is archived with its own end when it has one."""
    site.make(*DEMO, "--runs", "1", "--first", "6")
    daemon = site.start("run")
    site.wait(is_verified(6))
    assert site.run("pause").returncode == 0
    site.make(*DEMO, "--runs", "1", "--first", "7")
    first = site.wait(lambda rows: 7 in rows and rows[7].state is State.QUEUED)[7]
    directory = site.records / "7"
    directory.rename(site.root / "moved")
    site.make(*DEMO, "--runs", "1", "--first", "7", "--start-time", "1800000000", "--seed", "5")
    metadata = directory / "metadata.txt"
    whole = metadata.read_text()
    metadata.write_text(whole[: whole.index("\nDAQInterface stop time")])
    assert site.run("resume").returncode == 0
    row = site.wait(lambda rows: rows[7].state is State.OPEN and bool(rows[7].start_line))[7]
    assert row.start_line != first.start_line
    assert not site.versions().get(7)
    metadata.write_text(whole)
    row = site.wait(is_verified(7))[7]
    assert row.start_line in site.blob(7).decode()
    assert row.stop_line in site.blob(7).decode()
    assert first.start_line not in site.blob(7).decode()
    assert site.stop(daemon) == 130


def test_a_record_of_fifty_thousand_files_is_refused_by_name(site: Site) -> None:
    """It is not open for ever: it is set aside with what is wrong, and holds up no other run."""
    site.make(*DEMO, "--runs", "2", "--first", "7")
    for number in range(50_000):
        os.close(os.open(site.records / "7" / f"x{number}.fcl", os.O_WRONLY | os.O_CREAT))
    assert site.run("once").returncode == 1
    rows = site.rows()
    assert rows[8].state is State.VERIFIED
    assert rows[7].state is State.QUARANTINED
    assert "more than 4096 entries" in rows[7].error
