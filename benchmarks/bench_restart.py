"""How soon is the daemon ready again after kill -9, with many runs in flight?

The journal gets RUNS runs in the middle of the stages (queued, importing, imported, uploading), each with a directory;
artdaqDB gets an index of realistic size for as many runs. The daemon is started, killed and started again, and is ready
when it notifies systemd (READY=1).

With --unseen it is the very first start, or one after the journal was lost: nothing is known, and each directory holds
a record with as many files as SBND's. The daemon's peak memory is printed too.

    python benchmarks/bench_restart.py --runs 10000 --starts 5
    python benchmarks/bench_restart.py --runs 10000 --starts 1 --unseen
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_artdaqdb import prefill

from archiverd import log
from archiverd.core.machine import Event
from archiverd.core.priority import Lane
from archiverd.demo import processes
from archiverd.demo.runs import remove_tree
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition

WAYS = (
    (Event.ENDED,),
    (Event.ENDED, Event.IMPORT_BEGINS),
    (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE),
    (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS),
)
"""Events that lead to the states, one sequence a run in turn."""

FILES = 86
"""Files of a record of SBND's beside metadata.txt."""
METADATA = (
    "Config name: standard\nDAQInterface start time: Tue Nov 14 10:00:00 UTC 2023\n"
    "DAQInterface stop time: Tue Nov 14 11:00:00 UTC 2023\n"
)


async def fill(site: processes.DemoSite, runs: int) -> None:
    """Put ``runs`` runs in flight."""
    site.work_dir.mkdir(parents=True, exist_ok=True)
    journal = Journal(site.work_dir / "journal.sqlite", clock=time.time)
    await journal.open()
    await journal.see(range(1, runs + 1), Lane.BACKLOG)
    for step in range(max(map(len, WAYS))):
        moves = [Transition(run, way[step]) for run in range(1, runs + 1) if len(way := WAYS[run % len(WAYS)]) > step]
        await journal.record(*moves)
    await journal.close()
    for run in range(1, runs + 1):
        (site.records / str(run)).mkdir(parents=True)


def write_records(site: processes.DemoSite, runs: int) -> None:
    """Write the records of ``runs`` runs that have ended, their files as hard links."""
    content = site.root / "content.fcl"
    content.write_text("a: 1\n" * 500)
    for run in range(1, runs + 1):
        directory = site.records / str(run)
        directory.mkdir(parents=True)
        (directory / "metadata.txt").write_text(METADATA)
        if run % 300 == 0:  # the number of hard links of a file is limited
            content.unlink()
            content.write_text("a: 1\n" * 500)
        for number in range(FILES):
            os.link(content, directory / f"component{number:02}_hw_cfg.fcl")


def peak(pid: int) -> int:
    """Return the peak memory of a process in MiB."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def seconds_to_ready(site: processes.DemoSite, notify: socket.socket) -> tuple[float, int]:
    """Start the daemon, wait for READY=1, kill it; return the seconds it took, and its memory in MiB."""
    command = [sys.executable, "-m", "archiverd", "-q", "--config", str(site.config), "run"]
    environment = {**os.environ, "NOTIFY_SOCKET": notify.getsockname(), "ARCHIVERD_UCON_DB__WRITER_PASSWORD": "unused"}
    begun = time.perf_counter()
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as daemon:
        while b"READY=1" not in notify.recv(4096):
            pass
        took, memory = time.perf_counter() - begun, peak(daemon.pid)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
    return took, memory


def measure(site: processes.DemoSite, options: argparse.Namespace) -> int:
    """Print the seconds each start took."""
    site.make()
    site.configure("http://127.0.0.1:9/inst/app")
    if options.unseen:
        write_records(site, options.runs)
    else:
        asyncio.run(fill(site, options.runs))
    if not options.empty_archive:
        prefill(site.root / "artdaqdb", options.runs)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(site.root / "notify"))
        notify.settimeout(120)
        starts = [seconds_to_ready(site, notify) for _ in range(options.starts)]
    what = "never seen" if options.unseen else "in flight"
    times, memory = ", ".join(f"{took:.2f}" for took, _ in starts), max(memory for _, memory in starts)
    print(f"{options.runs} runs {what}; ready after {times} s, {memory} MiB at most")
    return 0


def main() -> int:
    """Parse the options and measure in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--starts", type=int, default=5, help="the first is not after a kill")
    parser.add_argument("--unseen", action="store_true", help="a first start: the journal knows none of the runs")
    parser.add_argument("--empty-archive", action="store_true", help="artdaqDB holds nothing yet")
    options = parser.parse_args()
    log.configure("WARNING")
    root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
    try:
        return measure(processes.DemoSite(root), options)
    finally:
        remove_tree(root)


if __name__ == "__main__":
    sys.exit(main())
