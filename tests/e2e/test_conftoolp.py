"""The whole way through the experiment's library, which dies, hangs and is killed: nothing is lost, nothing is twice.

`make conftoolp-test` does it with 100 runs.
"""

from __future__ import annotations

import collections
import contextlib
import json
import math
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.filesystem.check import check_database
from archiverd.core.machine import State
from tests.artdaqdb.conftoolp.conftest import STANDIN
from tests.e2e.test_backends import archive
from tests.e2e.test_operations import THREE_RUNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archiverd.journal.rows import RunRow
    from tests.e2e.conftest import Site

RUNS = int(os.environ.get("ARCHIVERD_CONFTOOLP_RUNS", "8"))
IDLE_SECONDS = 3.0
FAULTS = [
    *(f"{kind}{when}" for kind in ("abort", "kill") for when in ("", "-after")),
    *(f"{kind}-amid-{what}" for kind in ("abort", "kill") for what in ("document", "indexing", "index")),
    "hang",
    "hang-after",
]
RATE = 0.01
"""Of so many calls the library goes wrong; a run of the demonstration takes some 60."""
_CALL = re.compile(r"(\d+\.\d{6}) +(\d+) (\w+) *\n")
ENSURE = "ImportError: Failed to import 'conftoolp'. Ensure artdaq_database env is set up."


def through_library(site: Site, **keys: object) -> None:
    """Configure a site for the stand-in library."""
    config = site.root / "archiverd.toml"
    added = {"conftoolp_dir": str(STANDIN), **keys}
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in added.items())
    config.write_text(config.read_text().replace("[artdaq_db]", f"[artdaq_db]\n{lines}"))


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory in which the stand-in looks for what to do wrong, and tells its calls."""
    directory = tmp_path / "faults"
    directory.mkdir()
    monkeypatch.setenv("CONFTOOLP_FAULTS", str(directory))
    return directory


def calls(faults: Path) -> list[tuple[float, int, str]]:
    """Return time, process id and function of every call of the library."""
    told = _CALL.findall((faults / "calls").read_text())  # one that was killed at it may have left half a line
    return [(float(when), int(pid), function) for when, pid, function in told]


def test_through_the_experiments_library(site: Site, faults: Path) -> None:
    """With `conftoolp_dir` set the library does it, and archiverd's own engine finds its work in order."""
    keys = f'conftoolp_dir = "{STANDIN}"\ndatabase_uri = "filesystemdb://{site.root}/artdaqdb"'
    archive(site, keys)
    assert {function for _, _, function in calls(faults)} >= {"write_document", "read_document"}
    assert list(check_database(site.root / "artdaqdb")) == []


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (None, "ModuleNotFoundError: No module named 'conftoolp'"),
        (
            "raise ImportError('libartdaq-database_ConfigurationDB.so: cannot open shared object file')",
            "ImportError: libartdaq-database_ConfigurationDB.so: cannot open shared object file",
        ),
    ],
)
@pytest.mark.parametrize("command", ["once", "run"])
def test_a_missing_bundle_stops_the_start_in_words(site: Site, command: str, module: str | None, told: str) -> None:
    """Without the library the guide's words are told and what to do, the exit code is 1, and no run was touched."""
    bundle = site.root / "bundle"
    bundle.mkdir()
    if module:
        (bundle / "conftoolp.py").write_text(module)
    through_library(site, conftoolp_dir=str(bundle))
    site.make(*THREE_RUNS)
    done = site.run(command)
    assert done.returncode == 1
    assert f"ArtdaqDBError: {told}; {ENSURE}" in done.stderr
    assert "conftoolp_dir" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(row.state is State.VERIFIED for row in site.rows().values())


def test_a_library_that_another_python_was_built_for(site: Site, faults: Path) -> None:
    """`conftoolp_python` is what runs the library, whichever Python archiverd runs on."""
    wrapper = site.root / "their-python"
    wrapper.write_text(f'#!/bin/sh\ntouch {faults}/their-python-ran\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    through_library(site, conftoolp_python=str(wrapper))
    site.make(*THREE_RUNS)
    assert site.run("once").returncode == 0
    assert (faults / "their-python-ran").exists()


def workers_of(pid: int) -> list[int]:
    """Return the library's processes that a daemon started."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if b"worker.py" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return []


@contextlib.contextmanager
def killer(pid: int, seed: int) -> Iterator[list[tuple[float, int]]]:
    """Kill a worker of the daemon, with -9, at random moments until the block ends; give when and whom."""
    generator = random.Random(seed)
    killed: list[tuple[float, int]] = []
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(generator.uniform(0.3, 2.0)):
            for worker in workers_of(pid)[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
                    killed.append((time.time(), worker))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def late(measured: list[list[float]], begin: float, end: float) -> float:
    """Return the 99.9th percentile of the loop's lateness in a time, in milliseconds."""
    delays = sorted(delay for when, delay in measured if begin <= when < end)
    return delays[int(len(delays) * 0.999)] if delays else math.nan


def restarts(told: list[tuple[float, int, str]], killed: list[tuple[float, int]]) -> list[float]:
    """Return how long after each kill another worker answered, the wait for the run's next attempt included."""
    return [
        next((when for when, pid, _ in told if when > moment and pid != worker), moment) - moment
        for moment, worker in killed
    ]


def tell(*lines: str) -> None:
    """Show figures to who runs the drill with ``-s``."""
    sys.stdout.write("\n" + "\n".join(lines) + "\n")


def assert_once(site: Site) -> None:
    """No document is in artdaqDB twice, nothing is half there, and UconDB holds every run once."""
    database = site.root / "artdaqdb"
    assert list(check_database(database)) == []
    names = collections.Counter()
    for path in database.glob("*/*.json"):
        if path.name != "index.json" and path.parent.name != "SystemMetadata":
            document = json.loads(path.read_text(), strict=False)
            names[path.parent.name, document["version"], document["entities"][0]["name"]] += 1
    assert {name: count for name, count in names.items() if count > 1} == {}
    runs = {int(version.partition("/")[0]) for _, version, _ in names}
    assert sorted(runs) == list(range(100, 100 + RUNS))
    assert site.versions() == dict.fromkeys(range(100, 100 + RUNS), 1)


def test_killed_hung_and_aborting_workers_lose_nothing(site: Site, faults: Path, tmp_path: Path) -> None:
    """The library aborts, dies amid its writing and hangs at random, and is killed from outside: 0 lost, 0 twice.

    Meanwhile the daemon's loop is not blocked, compared with the same daemon before there was anything to do.
    """
    site.configure(run_process_retries=20)
    through_library(site, call_timeout_seconds=5.0)
    command = [sys.executable, str(Path(__file__).with_name("lagging.py")), str(tmp_path / "measured")]
    command += ["--config", str(site.root / "archiverd.toml"), "run"]
    with (site.root / "daemon.log").open("a") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, text=True)
    site.children.append(daemon)
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    idle = time.time()
    time.sleep(IDLE_SECONDS)  # the control: the loop with nothing to do
    (faults / "random.json").write_text(json.dumps({"seed": 20261124, "rate": RATE, "faults": FAULTS}))
    busy = time.time()
    small = ("--profile", "demo", "--fcl", "dumped", "--crash", "0", "--gaps", "0", "--first", "100", "--no-chmod")
    site.make(*small, "--runs", str(RUNS))

    def done(rows: dict[int, RunRow]) -> bool:
        return sum(row.state is State.VERIFIED for row in rows.values()) == RUNS

    with killer(daemon.pid, seed=7) as killed:
        rows = site.wait(done)
    ended = time.time()
    assert site.stop(daemon) == 130
    for row in rows.values():
        site.assert_proven(row)
    assert_once(site)
    told = calls(faults)
    workers = {pid for _, pid, _ in told}
    killed_at_work = workers & {pid for _, pid in killed}  # some are killed before their first call
    measured = json.loads((tmp_path / "measured").read_text())
    control, loaded = late(measured, idle, busy), late(measured, busy, ended)
    waits = restarts(told, killed)
    tell(
        f"{RUNS} runs in {ended - busy:.0f} s: {len(told)} calls by {len(workers)} workers, {len(killed)} killed",
        f"lateness of the loop, p99.9: idle {control:.1f} ms, working {loaded:.1f} ms",
        f"next worker's first call after a kill: median {statistics.median(waits):.2f} s, longest {max(waits):.2f} s",
    )
    assert killed_at_work
    assert len(workers) > 1
    assert "Traceback" not in site.log
