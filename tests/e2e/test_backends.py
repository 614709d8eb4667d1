"""The whole way through artdaqDB's other doors."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from tests.artdaqdb.mongo.servers import Server, bson_server, missing, mongod
from tests.artdaqdb.tools import standin
from tests.e2e.test_operations import DEMO, ONE_RUN, THREE_RUNS
from tests.waiting import NEVER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Site


@pytest.fixture
def mongodb(tmp_path: Path) -> Iterator[Server]:
    """A server that speaks MongoDB's protocol."""
    (tmp_path / "mongod").mkdir()
    server = mongod(tmp_path / "mongod") or bson_server()
    if server is None:
        missing("mongod on PATH or mongo-java-server")
        return
    server.start()
    yield server
    server.kill()


def archive(site: Site, keys: str) -> None:
    """Archive three runs with ``keys`` in [artdaq_db], lose the journal, and see that everything is found again."""
    config = site.root / "archiverd.toml"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("database_uri")]
    config.write_text("\n".join(lines).replace("[artdaq_db]", f"[artdaq_db]\n{keys}"))
    site.make(*THREE_RUNS)
    done = site.run("once")
    assert done.returncode == 0, done.stderr
    assert {row.state for row in site.rows().values()} == {State.VERIFIED}
    site.lose_the_journal()
    assert site.run("once").returncode == 0
    assert site.versions() == {7: 1, 8: 1, 9: 1}
    for row in site.rows().values():
        site.assert_proven(row)
    assert site.run("reconcile", "--deep").returncode == 0


def test_through_the_command_line_tools(site: Site) -> None:
    """With `use_tools` bulkloader and bulkdownloader do it."""
    bundle = standin.install(site.root / "bundle")
    archive(site, f'use_tools = true\nconftoolp_dir = "{bundle}"\ndatabase_uri = "filesystemdb://{site.root}/tools"')
    assert {one["tool"] for one in standin.calls(bundle)} == {"bulkloader", "bulkdownloader"}


def test_through_mongodb(site: Site, mongodb: Server) -> None:
    """With a mongodb:// URI its documents are in MongoDB."""
    archive(site, f'database_uri = "mongodb://127.0.0.1:{mongodb.port}/runs_db"')


def test_a_mongodb_that_freezes_does_not_hold_up_the_end(site: Site, mongodb: Server) -> None:
    """A call that will not be answered is left in its thread: a drain ends in time, and the next start goes on."""
    site.configure(drain_timeout_seconds=1)
    uri = f"mongodb://127.0.0.1:{mongodb.port}/runs_db"
    text = site.config.read_text().replace(f"filesystemdb://{site.root}/artdaqdb", uri)
    site.config.write_text(text.replace("[artdaq_db]", f"[artdaq_db]\ncall_timeout_seconds = {NEVER_SECONDS}"))
    site.make(*ONE_RUN)
    daemon = site.start("run")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    mongodb.signal(signal.SIGSTOP)
    site.make(*DEMO, "--runs", "1", "--crash", "0", "--first", "20")
    site.wait(lambda rows: 20 in rows and rows[20].state is State.IMPORTING)
    assert site.stop(daemon) == 130, "the call itself would wait for ever"
    assert json.loads((site.work / "last_exit.json").read_text())["exit_code"] == 130
    mongodb.signal(signal.SIGCONT)
    assert site.run("once").returncode == 0
    assert site.versions() == {7: 1, 20: 1}


def test_a_mongodb_that_is_away_stops_the_start_in_words(site: Site) -> None:
    """Nobody listens: the pass says which database does not answer, and exits 1 without a traceback."""
    config = site.root / "archiverd.toml"
    text = config.read_text().replace(f"filesystemdb://{site.root}/artdaqdb", "mongodb://w:s3cret@127.0.0.1:9/runs_db")
    config.write_text(text.replace("[artdaq_db]", "[artdaq_db]\ncall_timeout_seconds = 2"))
    done = site.run("once")
    assert done.returncode == 1
    assert "ArtdaqDBError: " in done.stderr
    assert "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr
