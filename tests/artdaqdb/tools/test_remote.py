"""The tools on another host: through a real sshd on loopback.

Each call there is a connection of its own, so only a part of the conformance suite is run this way.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import select
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.backends import through_tools
from archiverd.artdaqdb.tools.remote import RemoteHost
from archiverd.artdaqdb.tools.store import ToolsDB
from archiverd.config.models import ArtdaqDb
from archiverd.core.errors import ArtdaqDBError, Blame, ConfigurationError, Retry
from tests.artdaqdb.conformance import (  # noqa: F401
    abilities,
    database,
    held,
    record,
    reopen,
    test_a_run_is_stored_listed_found_and_exported,
    test_an_empty_database_holds_no_run,
    test_exactly_the_same_run_is_stored_once,
)
from tests.artdaqdb.tools import standin
from tests.artdaqdb.tools.sshd import ALIAS, Sshd, sshd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PAIR = record(b"a: 1\n", b"b: 2\n")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Sshd]:
    """Run a server; when the test is over nothing of ours may be left on it."""
    async with sshd(tmp_path / "sshd") as running:
        yield running
        assert list(running.scratch.iterdir()) == []


@pytest.fixture
def make_database(server: Sshd, bundle: Path, tmp_path: Path) -> Callable[[], ToolsDB]:
    """Return what makes an adapter whose tools are behind the server."""
    uri = f"filesystemdb://{tmp_path}/db"
    variables = {"ARTDAQ_DATABASE_URI": uri}
    return lambda: ToolsDB(uri, RemoteHost(ALIAS, bundle, variables, 60, ssh=server.ssh))


async def test_every_word_arrives_as_it_was_meant(
    make_database: Callable[[], ToolsDB], bundle: Path, tmp_path: Path
) -> None:
    """No shell on the host interprets a name, and the environment is the tools' own."""
    name = 'it\'s $HOME `id` $(id) "q" ;&|\\ 7'
    there = make_database()
    await there.insert(7, name, PAIR)
    assert {entity for _, entity in await held(there, 7)} == {"e0", "e1", "schema"}
    for call in standin.calls(bundle):
        assert (call["-c"], call["uri"], call["library"]) == (name, f"filesystemdb://{tmp_path}/db", str(bundle))


@pytest.mark.parametrize("fault", ["bulkloader:exit 0", "bulkloader:fail", "bulkloader:sigfpe"])
async def test_failures_over_there_are_failures(make_database: Callable[[], ToolsDB], bundle: Path, fault: str) -> None:
    """Exit codes and complaints come through the stream, and the next attempt completes the run."""
    there = make_database()
    (bundle / "fault").write_text(fault)
    with pytest.raises(ArtdaqDBError, match="bulkloader failed with exit code"):
        await there.insert(7, "demo", PAIR)
    (bundle / "fault").unlink()
    assert await there.find(7) is None
    assert await there.insert(7, "demo", PAIR) is True
    assert len(await held(there, 7)) == 3


@pytest.mark.parametrize("known", ["", "another"], ids=["unknown", "changed"])
async def test_a_host_whose_key_is_not_known_gets_nothing(
    make_database: Callable[[], ToolsDB], server: Sshd, bundle: Path, known: str
) -> None:
    """An unknown or changed host key ends the call before anything is sent, with what to do about it."""
    host, kind, _ = server.known_hosts.read_text().split()
    others = (server.known_hosts.parent / "user.pub").read_text().split()[1]
    server.known_hosts.write_text(f"{host} {kind} {others}\n" if known else "")
    with pytest.raises(ArtdaqDBError, match="Host key verification failed") as caught:
        await make_database().open()
    assert (caught.value.retry, caught.value.blame) == (Retry.TRANSIENT, Blame.BACKEND)
    assert "known_hosts" in caught.value.remedy
    assert standin.calls(bundle) == []


async def test_missing_tools_over_there_are_told_at_opening(server: Sshd, tmp_path: Path) -> None:
    """A directory without the programs is named, with the setting to correct."""
    there = ToolsDB(f"filesystemdb://{tmp_path}/db", RemoteHost(ALIAS, tmp_path / "none", {}, 60, ssh=server.ssh))
    with pytest.raises(ArtdaqDBError, match="none/bulkloader") as caught:
        await there.open()
    assert "conftoolp_dir" in caught.value.remedy


async def test_a_cancelled_call_ends_the_tool_over_there(
    make_database: Callable[[], ToolsDB], server: Sshd, bundle: Path
) -> None:
    """When our end is gone the tool on the host is killed with what it started, and its directory removed."""
    (bundle / "fault").write_text("bulkloader:hang")
    os.mkfifo(bundle / "child")
    task = asyncio.create_task(make_database().insert(7, "demo", PAIR))
    child = os.pidfd_open(int(await asyncio.to_thread((bundle / "child").read_text)))
    (directory,) = server.scratch.iterdir()
    script = os.pidfd_open(_owner(directory))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for process in (child, script):
        ended, _, _ = await asyncio.to_thread(select.select, [process], [], [], 30)
        os.close(process)
        assert ended
    assert not directory.exists()


def _owner(directory: Path) -> int:
    """Return the process id of the tool's parent: the script that made ``directory``."""
    (call,) = (one for one in standin.calls(directory.parents[2] / "bundle") if one["tool"] == "bulkloader")
    return int(call["parent"])


async def test_nothing_secret_stands_in_a_command(tmp_path: Path) -> None:
    """A password in the URI travels in the stream only: any user may read the commands of a host."""
    client = tmp_path / "client"
    client.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"open({str(tmp_path / 'seen')!r}, 'w').write(json.dumps(sys.argv))\n"
        f"open({str(tmp_path / 'stream')!r}, 'wb').write(sys.stdin.buffer.read(10240))\n"
    )
    client.chmod(0o755)
    there = RemoteHost("host", None, {"ARTDAQ_DATABASE_URI": "mongodb://u:it's@db/a"}, 60, ssh=[str(client)])
    await there.load(["bulkloader", "-r", "7"], {"a.fcl": b"a: 1\n"})
    assert "it's" not in (tmp_path / "seen").read_text()
    assert "StrictHostKeyChecking=yes" in json.loads((tmp_path / "seen").read_text())
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "stream").read_bytes())) as archive:
        assert archive.getnames() == ["environment", "files/a.fcl"]
        assert archive.getmember("environment").mode == 0o600


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "a;b", "$(id)"])
def test_a_host_cannot_be_an_option(host: str, tmp_path: Path) -> None:
    """What ssh or a shell would take for something else is no host."""
    with pytest.raises(ConfigurationError, match=r"artdaq_db\.remote_host"):
        through_tools(ArtdaqDb(database_uri=f"filesystemdb://{tmp_path}/db", remote_host=host, call_timeout_seconds=60))
