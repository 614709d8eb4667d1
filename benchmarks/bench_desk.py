"""How long does an operator wait for a command, with 20 000 runs in the journal and a running daemon?

The journal gets RUNS runs with gaps, most of them verified, some open, quarantined, waiting or waived, each with its
story and a directory; a real daemon uses it, with UconDB away. Each command is a whole process; ``python -c pass`` in
between shows the machine's own cost. Exit code 1 if a median is above its limit.

    python benchmarks/bench_desk.py --runs 20000 --rounds 15
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from archiverd import log
from archiverd.core.machine import Event
from archiverd.core.priority import Lane
from archiverd.demo import processes
from archiverd.demo.runs import remove_tree
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import RunChanges, Transition

VERIFIED = (Event.ENDED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS, Event.UPLOAD_PROVEN)
WAYS: tuple[tuple[Event, ...], ...] = (
    *[VERIFIED] * 43,
    (Event.ENDED, Event.IMPORT_BEGINS, Event.FAILED_FOR_GOOD),
    (*VERIFIED[:4], Event.FAILED_FOR_NOW),
    (*VERIFIED[:4], Event.UPLOAD_CONFLICTS),
    (Event.WAIVED,),
    (Event.PASSED_OVER,),
    (),
    (),
)
"""Events that lead to the states, one sequence a run in turn."""

ERRORS = {
    Event.FAILED_FOR_GOOD: "FhiclError: boot.fcl:{run}:3: expected a value",
    Event.FAILED_FOR_NOW: "UconDBError: Failed to upload blob for run {run}: Connection refused",
    Event.UPLOAD_CONFLICTS: "UconDBError: UconDB holds other content under key {run}",
}

COMMANDS: dict[str, tuple[tuple[str, ...], float]] = {
    "archiverd --help": (("--help",), 0.3),
    "archiverd status": (("status",), 0.5),
    "archiverd status --json": (("status", "--json"), 0.5),
    "archiverd runs --state quarantined": (("runs", "--state", "quarantined"), 0.5),
    "archiverd runs --json": (("runs", "--json"), 1.0),
    "archiverd why RUN --json": (("why", "{last}", "--json"), 0.5),
}
"""Name, arguments, and most seconds allowed, of each command."""


def numbers(runs: int) -> list[int]:
    """Return run numbers with a gap after every hundred."""
    return [12_000 + run + run // 100 for run in range(runs)]


async def fill(site: processes.DemoSite, runs: list[int]) -> None:
    """Make the journal and the directories."""
    site.work_dir.mkdir(parents=True, exist_ok=True)
    journal = Journal(site.work_dir / "journal.sqlite", clock=time.time)
    await journal.open()
    await journal.see(runs, Lane.BACKLOG)
    far = time.time() + 7 * 86_400
    for number, run in enumerate(runs):
        moves = []
        for event in WAYS[number % len(WAYS)]:
            changes: RunChanges = {}
            if event in ERRORS:
                changes = {"error": ERRORS[event].format(run=run), "remedy": "ask somebody", "due": far}
            elif event is Event.IMPORT_DONE:
                changes = {"imported_at": time.time(), "configuration": "standard"}
            elif event is Event.UPLOAD_PROVEN:
                changes = {"verified_at": time.time(), "error": "", "due": None}
            moves.append(Transition(run, event, "a note of some length, as real ones have", changes))
        if moves:
            await journal.record(*moves)
        (site.records / str(run)).mkdir(parents=True)
    await journal.close()


def seconds(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command to its end; return its elapsed and its CPU seconds."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(site: processes.DemoSite, options: argparse.Namespace) -> int:
    """Print how long each command takes."""
    log.configure("WARNING")
    site.make()
    site.configure("http://127.0.0.1:9/inst/app")
    runs = numbers(options.runs)
    asyncio.run(fill(site, runs))
    environment = {**os.environ, "ARCHIVERD_UCON_DB__WRITER_PASSWORD": "unused", "ARCHIVERD_CONFIG": str(site.config)}
    archiverd = [sys.executable, "-m", "archiverd"]
    with (
        (site.root / "daemon.log").open("w") as words,
        subprocess.Popen([*archiverd, "-q", "run"], env=environment, stderr=words) as daemon,
    ):
        while not (site.work_dir / "archiverd.sock").exists():
            if daemon.poll() is not None:
                raise SystemExit((site.root / "daemon.log").read_text())
            time.sleep(0.05)
        bare = [sys.executable, "-c", "pass"]
        commands = {
            name: [*archiverd, *(word.format(last=runs[-1]) for word in words)] for name, (words, _) in COMMANDS.items()
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ("python -c pass", *commands)}
        for _ in range(options.rounds):
            for name, command in commands.items():
                times["python -c pass"].append(seconds(bare, environment))
                times[name].append(seconds(command, environment))
        daemon.terminate()
    print(
        f"{options.runs} runs, {options.rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs; seconds"
    )
    print(f"{'':<36} {'min':>6} {'median':>7} {'max':>7}   {'CPU':>6}")
    medians = {name: statistics.median(took for took, _ in both) for name, both in times.items()}
    for name, both in times.items():
        took, cpu = [one for one, _ in both], statistics.median(one for _, one in both)
        print(f"{name:<36} {min(took):>6.3f} {medians[name]:>7.3f} {max(took):>7.3f}   {cpu:>6.3f}")
    slow = [name for name, (_, limit) in COMMANDS.items() if medians[name] > limit]
    for name in slow:
        print(f"TOO SLOW: {name} is to take {COMMANDS[name][1]} s at most")
    return 1 if slow else 0


def main() -> int:
    """Measure in a directory of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    root = Path(tempfile.mkdtemp(prefix="archiverd-desk-"))
    try:
        return measure(processes.DemoSite(root), parser.parse_args())
    finally:
        remove_tree(root)


if __name__ == "__main__":
    sys.exit(main())
