"""What does it cost to make a run record ready for artdaqDB?

Reads records of a detector's size, converts their text files, parses every file for validity and hashes it: once
without a cache, and once after another run of the same configuration. One core, best of several tries.

    python benchmarks/bench_runrecord.py --profile sbnd
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.hashes import hashes_fcl
from archiverd.runrecord.preparation import ConversionCache, prepare
from archiverd.runrecord.record import read_run_record

MAKER = Path(__file__).parents[1] / "tests" / "tools" / "make_run_records.py"
FIRST = 1_000


def ready(directory: Path, run: int, cache: ConversionCache) -> float:
    """Read, convert, check and hash one record; return the seconds it took."""
    began = time.perf_counter()
    prepared = prepare(read_run_record(directory, run), BY_DEFAULT, cache)
    hashes_fcl([(file.name.removesuffix(".fcl"), file.fcl) for file in prepared.files])
    return time.perf_counter() - began


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="sbnd", choices=["demo", "sbnd", "icarus", "dune"])
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
    try:
        command = [sys.executable, str(MAKER), str(root), "--runs", str(options.runs), "--first", str(FIRST)]
        command += ["--profile", options.profile, "--fcl", "dumped", "--gaps", "0", "--crash", "0", "--no-chmod"]
        subprocess.run([*command, "--runs-per-config", "1000000"], check=True)
        sample = list((root / str(FIRST)).iterdir())
        size = sum(path.stat().st_size for path in sample) / 1e6
        new = [ready(root / str(run), run, ConversionCache()) for run in range(FIRST, FIRST + options.runs)]
        shared = ConversionCache()
        ready(root / str(FIRST), FIRST, shared)
        seen = [ready(root / str(run), run, shared) for run in range(FIRST + 1, FIRST + options.runs)]
        print(f"{options.profile}: {len(sample)} files, {size:.1f} MB")
        print(f"never seen before: median {statistics.median(new) * 1000:.1f} ms, max {max(new) * 1000:.1f} ms")
        print(
            f"configuration seen before: median {statistics.median(seen) * 1000:.1f} ms, max {max(seen) * 1000:.1f} ms"
        )
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
