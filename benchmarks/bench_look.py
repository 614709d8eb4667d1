"""What do a full look at a record, and a scan of the run-records directory, cost?

The look is the one the watch takes at a record of an SBND run (92 files) once its end was seen; the scan goes over so
many run directories, beside a bare ``os.scandir`` over the same and one that asks for the kind of each entry, in turns.

    python benchmarks/bench_look.py --directories 100000 --rounds 7
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.demo.runs import remove_tree
from archiverd.runrecord.snapshot import take_snapshot
from archiverd.watch.directory_scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable

MAKER = Path(__file__).parents[1] / "tests" / "tools" / "make_run_records.py"
LOOKS = 500
"""Looks in each round: it is the mean of so many that is compared."""


def write_record(root: Path) -> Path:
    """Write a record of SBND's and return its directory."""
    command = [sys.executable, str(MAKER), str(root), "--runs", "1", "--first", "1", "--profile", "sbnd"]
    subprocess.run([*command, "--fcl", "dumped", "--gaps", "0", "--crash", "0", "--no-chmod"], check=True)
    return root / "1"


def list_bare(directory: Path) -> None:
    """List a directory and do nothing with it."""
    with os.scandir(directory) as entries:
        for _ in entries:
            pass


def list_kinds(directory: Path) -> None:
    """List a directory and ask what each entry is."""
    with os.scandir(directory) as entries:
        for entry in entries:
            entry.is_dir(follow_symlinks=False)


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of ``work``."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def look_often(record: Path, *, network: bool) -> None:
    """Take ``LOOKS`` looks at a record."""
    for _ in range(LOOKS):
        _ = take_snapshot(record, network=network).digest


def measure(root: Path, options: argparse.Namespace) -> None:
    """Print both tables."""
    record = write_record(root / "one")
    looks: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(options.rounds):
        for network, times in looks.items():
            times.append(cpu(lambda network=network: look_often(record, network=network)) / LOOKS)  # type: ignore[misc]
    many = root / "many"
    many.mkdir()
    for run in range(1, options.directories + 1):
        (many / str(run)).mkdir()
    kinds: dict[str, Callable[[], object]] = {
        "bare os.scandir": lambda: list_bare(many),
        "os.scandir and the kind of each entry": lambda: list_kinds(many),
        "the scan of the watch": lambda: scan(many),
    }
    scans: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(options.rounds):
        for name, work in kinds.items():
            scans[name].append(cpu(work))
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs; CPU, median and least of {options.rounds} rounds")
    for network, times in looks.items():
        how = "as on a network file system: each file is opened" if network else "on a local file system"
        print(f"full look at {len(list(record.iterdir()))} files, {how}: ", end="")
        print(f"{statistics.median(times) * 1e3:.3f} ms, {min(times) * 1e3:.3f} ms")
    for name, times in scans.items():
        print(f"{options.directories} run directories, {name}: ", end="")
        print(f"{statistics.median(times) * 1e3:.0f} ms, {min(times) * 1e3:.0f} ms")


def main() -> None:
    """Parse the options and measure in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directories", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
    try:
        measure(root, parser.parse_args())
    finally:
        remove_tree(root)


if __name__ == "__main__":
    main()
