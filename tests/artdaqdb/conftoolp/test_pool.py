"""The pool: as many calls at once as there are workers, and no more."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.conftoolp.pool import Pool
from archiverd.core.errors import ArtdaqDBError, Retry
from tests.artdaqdb.conftoolp.conftest import launch
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = """
import os, time

def wait_for(directory, name):
    open(os.path.join(directory, name + ".begun"), "w").close()
    while not os.path.exists(os.path.join(directory, name + ".go")):
        time.sleep(0.005)
    return True, name
"""


async def until(path: Path) -> None:
    """Wait, at most ten seconds, until a file is there."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not path.exists():
            await asyncio.sleep(0.005)


async def test_calls_run_at_once_up_to_the_number_of_workers(tmp_path: Path) -> None:
    """Two workers make two calls at once, the third call waits for one of them; each gets its own answer."""
    (tmp_path / "conftoolp.py").write_text(LIBRARY)
    pool = Pool(2, launch({**os.environ, "PYTHONPATH": str(tmp_path)}), 30)
    await pool.open()
    assert len(pool.pids) == 1, "the second is started when it is needed"
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(pool.call("wait_for", bytes(tmp_path), name)) for name in (b"a", b"b", b"c")]
        await until(tmp_path / "a.begun")
        await until(tmp_path / "b.begun")
        assert len(set(pool.pids)) == 2
        assert not (tmp_path / "c.begun").exists()
        (tmp_path / "b.go").touch()
        await until(tmp_path / "c.begun")
        (tmp_path / "a.go").touch()
        (tmp_path / "c.go").touch()
    assert [task.result().text for task in tasks] == [b"a", b"b", b"c"]
    await pool.close()
    assert pool.pids == []


async def test_a_stopped_pool_finishes_what_it_began(tmp_path: Path) -> None:
    """After `stop` a call that runs gets its answer; one that waits, or comes later, is to be tried again."""
    (tmp_path / "conftoolp.py").write_text(LIBRARY)
    pool = Pool(1, launch({**os.environ, "PYTHONPATH": str(tmp_path)}), 30)
    running = asyncio.create_task(pool.call("wait_for", bytes(tmp_path), b"a"))
    waiting = asyncio.create_task(pool.call("wait_for", bytes(tmp_path), b"b"))
    await until(tmp_path / "a.begun")
    pool.stop()
    (tmp_path / "a.go").touch()
    assert (await running).text == b"a"
    for late in (waiting, pool.call("wait_for", bytes(tmp_path), b"c")):
        with pytest.raises(ArtdaqDBError, match="artdaqDB is being closed") as caught:
            await late
        assert caught.value.retry is Retry.TRANSIENT
    assert not (tmp_path / "b.begun").exists()
    await pool.close()


async def test_turns_are_given_in_the_order_of_asking(tmp_path: Path) -> None:
    """A caller with one call after the other does not block another with a single one."""
    (tmp_path / "conftoolp.py").write_text("def echo(text):\n    return True, text\n")
    pool = Pool(1, launch({**os.environ, "PYTHONPATH": str(tmp_path)}), 30)
    await pool.open()
    made = 0

    async def many() -> None:
        nonlocal made
        while made < 50:
            await pool.call("echo", b"one of many")
            made += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(many())
        await asyncio.sleep(0)
        await pool.call("echo", b"once")
        assert made <= 2
    await pool.close()
