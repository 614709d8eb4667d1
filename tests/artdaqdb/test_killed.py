"""Real processes: killed while they store, and two that want to write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.filesystem.check import check_database
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.core.errors import ArtdaqDBError

from .conftest import entities

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENTITIES = 6
KILLS = int(os.environ.get("ARCHIVERD_KILLS", "6"))
"""How often the process is killed; `make kill-test` does it 200 times."""

STORING = """
import asyncio, itertools, sys
from archiverd.artdaqdb.filesystem import store
from archiverd.artdaqdb.port import Entity

store.SHORTEST_PUBLISH_SECONDS = 0.001
store.PUBLISH_SHARE = 0

def entities(run, update):
    made = [Entity("RunHistory", f"e{n}", f"a: {run} u: {update} n: {n}\\n".encode()) for n in range(ENTITIES - 1)]
    return [*made, Entity("SystemLayout", "schema", b"run_history: []\\n")]

async def main():
    db = store.FileSystemDB(f"filesystemdb://{sys.argv[1]}")
    await db.open()
    print("open", flush=True)
    for run in itertools.count(int(sys.argv[2])):
        await db.insert(run, "demo", entities(run, 0))
        print(f"{run} 0", flush=True)
        await db.update(run, "demo", entities(run, 1))
        print(f"{run} 1", flush=True)

asyncio.run(main())
""".replace("ENTITIES", str(ENTITIES))


def killed(root: Path, first: int, after: int, moment: float) -> Iterator[tuple[int, int]]:
    """Let a process store runs from ``first`` on, kill -9 it after ``after`` stores and ``moment`` seconds more.

    Yield what it acknowledged.
    """
    command = [sys.executable, "-c", STORING, str(root), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        lines = [process.stdout.readline() for _ in range(after)]
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    for line in lines:
        if line.endswith("\n"):  # a line cut by the kill acknowledges nothing
            run, update = line.split()
            yield int(run), int(update)


async def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """Killed with -9 again and again: what was acknowledged is there whole, nothing is there half."""
    root = tmp_path / "db"
    dice = random.Random(1)
    acknowledged: dict[int, int] = {}
    for number in range(KILLS):
        acknowledged.update(killed(root, 1000 * (number + 1), dice.randrange(1, 40), dice.uniform(0, 0.02)))
    db = FileSystemDB(f"filesystemdb://{root}")
    await db.open()
    runs = await db.list_runs()
    assert acknowledged.keys() <= runs.keys()
    assert len(runs) <= len(acknowledged) + KILLS
    for run, found in runs.items():
        assert found.update >= acknowledged.get(run, 0)
        exported = await db.export(run)
        assert len(exported) == ENTITIES
        assert {one.version for one in exported} == {found.configuration + ("v1" if found.update else "")}
    assert await db.unindexed() == []
    assert await db.half_written() == []
    await db.close()
    assert list(check_database(root)) == []
    assert (root / ".archiverd.redo").stat().st_size == 0


async def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    """Another process's error names the writer; the lock of a killed one is free."""
    root = tmp_path / "db"
    command = [sys.executable, "-c", STORING, str(root), "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        db = FileSystemDB(f"filesystemdb://{root}")
        with pytest.raises(ArtdaqDBError, match=rf"Another archiverd \(process {process.pid}\) writes to {root}"):
            await db.open()
        os.kill(process.pid, signal.SIGKILL)
    db = FileSystemDB(f"filesystemdb://{root}")
    await db.open()
    assert await db.insert(7_000_000, "demo", entities("a: 1\n"))
    await db.close()
