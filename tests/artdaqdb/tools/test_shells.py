"""The scripts that run the tools on a host, under each shell that may be ``sh`` on a host."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.tools.remote import LOAD, RemoteHost, _pack
from archiverd.artdaqdb.tools.store import ToolsDB
from archiverd.core.errors import ArtdaqDBError
from tests.artdaqdb.conformance import held, record
from tests.artdaqdb.tools import standin
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

PAIR = record(b"a: 1\n", b"b: 2\n")


@pytest.fixture(params=["dash", "bash"])
def variables(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return an environment in which ``sh`` is one of them, and temporary files have a directory of their own."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"{request.param} is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "bin" / "sh").symlink_to(shell)
    return {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "TMPDIR": f"{tmp_path}/scratch"}


async def test_a_run_goes_there_and_back(variables: dict[str, str], bundle: Path, tmp_path: Path) -> None:
    """Stored, listed and exported, a failure reported as one, and nothing left behind."""
    client = tmp_path / "client"
    client.write_text(
        f"#!{sys.executable}\nimport os, sys\nos.environ.update({variables!r})\n"
        "os.execvp('sh', ['sh', '-c', sys.argv[-1]])\n"
    )
    client.chmod(0o755)
    uri = f"filesystemdb://{tmp_path}/db"
    there = ToolsDB(uri, RemoteHost("host", bundle, {"ARTDAQ_DATABASE_URI": uri}, 60, ssh=[str(client)]))
    await there.open()
    assert await there.insert(7, "it's 7", PAIR) is True
    assert (await held(there, 7))["RunHistory", "e1"] == b"\nb: 2 \n"
    (bundle / "fault").write_text("bulkloader:sigfpe")
    with pytest.raises(ArtdaqDBError, match="exit code 136"):
        await there.insert(8, "demo", PAIR)
    await there.close()
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_closed_stream_ends_the_tool(variables: dict[str, str], bundle: Path, tmp_path: Path) -> None:
    """When the other end is gone the tool is killed, the script ends and its directory is removed."""
    (bundle / "fault").write_text("hang")
    os.mkfifo(bundle / "child")
    stream = _pack({"environment": b"export ARTDAQ_DATABASE_URI=x\n", "files/a.fcl": b"a: 1\n"})
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", LOAD, "archiverd", str(len(stream)), str(bundle / "bulkloader"), "-r", "7"),
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(stream)
    await process.stdin.drain()
    await asyncio.to_thread((bundle / "child").read_text)
    process.stdin.close()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await process.communicate()
    assert process.returncode == standin.KILLED
    assert list((tmp_path / "scratch").iterdir()) == []
