"""Made-up runs: planned in advance, then written live, step by step, as DAQInterface writes them.

``plan`` is pure; ``play`` writes each record in the order of run_records.md section 2: directory, files one after the
other, start line, stop line. A partition takes one run at a time.
"""

from __future__ import annotations

import asyncio
import enum
import os
import random
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.demo import record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from archiverd.demo.record import DemoFile

    Clock = Callable[[], float]
    Sleep = Callable[[float], Awaitable[None]]

PARTITIONS = (1, 2)
RUNS_PER_ERA = 6
"""Consecutive runs with one configuration."""

ODDITY = "operator_notes.md"
CHUNK = 16 * 1024
"""Bytes by which a file grows at a time."""

COPY_SHARE, CONFIGURE_SHARE = 0.1, 0.1
"""Shares of a run's duration before data are taken: the copy, then the time until the start line."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run to be played. Times in seconds."""

    run: int
    partition: int
    begin: float
    """From the beginning of the play to the directory's appearance."""
    duration: float
    """From the directory's appearance to the stop line."""
    files: tuple[DemoFile, ...]
    crash: bool
    """Whether it ends without a stop line."""
    oddity: str | None
    """The name of a file that is not FHiCL and that no rule takes, or None."""


class Step(enum.StrEnum):
    """Kinds of step of a run."""

    COPIED = "copied"
    STARTED = "started"
    STOPPED = "stopped"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class RunStep:
    """A step of a run, done at ``at`` (epoch seconds)."""

    run: int
    step: Step
    at: float


def plan(runs: int, first: int, seed: int, rate: float) -> tuple[RunPlan, ...]:
    """Plan ``runs`` runs from number ``first`` on, ``rate`` starts a minute; the same arguments give the same plan.

    Partitions take turns. From four runs on, one crashes, which a later one of its partition proves, and one has a file
    that no rule takes. Raise ValueError for less than one run or no rate.
    """
    if runs < 1 or rate <= 0:
        raise ValueError(f"{runs} runs at {rate} a minute cannot be played")
    interval = 60.0 / rate
    rng = random.Random(f"{seed}/durations")  # noqa: S311 - made-up runs, not secrets
    crash, odd = (runs // 3, runs // 2) if runs >= 2 * len(PARTITIONS) else (None, None)
    planned = []
    for index in range(runs):
        partition = PARTITIONS[index % len(PARTITIONS)]
        files = record.files(seed, index // RUNS_PER_ERA, partition)
        if index == odd:
            files = (*files, record.DemoFile(ODDITY, record.OPERATOR_NOTES, age=0.0))
        planned.append(
            RunPlan(
                run=first + index,
                partition=partition,
                begin=index * interval,
                duration=interval * len(PARTITIONS) * rng.uniform(0.4, 0.8),
                files=files,
                crash=index == crash,
                oddity=ODDITY if index == odd else None,
            )
        )
    return tuple(planned)


def _silent(_event: RunStep) -> None:
    """Ignore an event."""


async def play(
    plans: Sequence[RunPlan],
    directory: Path,
    *,
    clock: Clock = time.time,
    sleep: Sleep = asyncio.sleep,
    on_event: Callable[[RunStep], None] = _silent,
) -> None:
    """Write the records of ``plans`` into ``directory`` at their times; return when the last has ended.

    ``clock`` returns epoch seconds, ``sleep`` waits a number of seconds. Raise OSError if a record cannot be written,
    FileExistsError if its run number is taken.
    """
    began = clock()

    async def partition(number: int) -> None:
        """Play the runs of one partition, one after the other."""
        for run in (planned for planned in plans if planned.partition == number):
            await sleep(max(0.0, began + run.begin - clock()))
            await _play_run(run, directory / str(run.run), clock, sleep, on_event)

    async with asyncio.TaskGroup() as group:
        for number in sorted({planned.partition for planned in plans}):
            group.create_task(partition(number))


async def _play_run(run: RunPlan, path: Path, clock: Clock, sleep: Sleep, on_event: Callable[[RunStep], None]) -> None:
    """Play one run from the copy of its record to its end."""
    pause = COPY_SHARE * run.duration / len(run.files)
    await asyncio.to_thread(os.mkdir, path, 0o755)
    for file in _in_directory_order(run):
        await asyncio.to_thread(_copy, file, path, clock())
        await sleep(pause)
    await asyncio.to_thread(_lock, path, clock())
    on_event(RunStep(run.run, Step.COPIED, clock()))
    await sleep(CONFIGURE_SHARE * run.duration)
    await asyncio.to_thread(_append_time, path, "start", clock())
    on_event(RunStep(run.run, Step.STARTED, clock()))
    await sleep((1 - COPY_SHARE - CONFIGURE_SHARE) * run.duration)
    if run.crash:
        on_event(RunStep(run.run, Step.CRASHED, clock()))
        return
    await asyncio.to_thread(_append_time, path, "stop", clock())
    on_event(RunStep(run.run, Step.STOPPED, clock()))


def _in_directory_order(run: RunPlan) -> list[DemoFile]:
    """Return the files in the order of the copy: arbitrary, with metadata.txt anywhere among them."""
    files = list(run.files)
    random.Random(run.run).shuffle(files)  # noqa: S311 - made-up runs, not secrets
    return files


def _copy(file: DemoFile, directory: Path, now: float) -> None:
    """Copy one file as shutil.copytree does: into its final name, growing, then its old time, then its mode."""
    path = directory / file.name
    with path.open("xb", buffering=0) as out:
        for offset in range(0, len(file.content), CHUNK):
            out.write(file.content[offset : offset + CHUNK])
    os.utime(path, (now - file.age, now - file.age))
    path.chmod(0o444)


def _lock(directory: Path, now: float) -> None:
    """End the copy: touch the directory and make it read-only."""
    os.utime(directory, (now, now))
    directory.chmod(0o555)


def _append_time(directory: Path, which: str, now: float) -> None:
    """Append the start or stop line to metadata.txt, which is writable only meanwhile."""
    path = directory / "metadata.txt"
    path.chmod(0o644)
    with path.open("a", encoding="ascii") as metadata:
        metadata.write(f"\nDAQInterface {which} time: {date_utc(now)}\n")
    path.chmod(0o444)


def date_utc(seconds: float) -> str:
    """Return a time as ``date --utc`` prints it in the C locale: ``Mon Dec  1 20:47:19 UTC 2025``."""
    return time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(seconds))


def remove_tree(root: Path) -> None:
    """Remove ``root`` and everything below it, read-only directories too; links are not followed."""
    for directory, _, _ in os.walk(root):
        os.chmod(directory, 0o700)
    shutil.rmtree(root)
