"""How much memory does a big record take: of the daemon and its children together, and is it given back?

For each size a fresh site: the real daemon and the bundled UconDB server, one warm-up record of SBND's, then one record
of 92 files whose channel maps are grown to the size. Memory is the proportional set size (proc(5), smaps_rollup) of the
daemon and of every process below it, sampled all the time: idle before, at the peak, and --rest seconds after.

    python benchmarks/bench_big.py --megabytes 25 100 200
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.core.machine import State
from archiverd.demo import processes, summary
from archiverd.demo.runs import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable

MAKER = Path(__file__).parents[1] / "tests" / "tools" / "make_run_records.py"
MEGABYTES_A_SCALE = 2.3
"""Bytes of an SBND record by the maker's --fcl-scale, above its fixed part of 1.4 MB."""
MIB = 1 << 20
SAMPLE_SECONDS = 0.02
LIMIT_SECONDS = 1800.0


def tree(pid: int) -> list[int]:
    """Return a process and all processes below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def proportional_bytes(pid: int) -> int:
    """Return the proportional set size of a process in bytes; 0 if it has ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


@dataclass
class Meter:
    """Samples the memory of a process tree."""

    pid: int
    peak: int = field(default=0)

    def sample(self) -> int:
        """Return the memory of the tree now, in bytes, and keep the highest."""
        now = sum(map(proportional_bytes, tree(self.pid)))
        self.peak = max(self.peak, now)
        return now

    async def until(self, done: Callable[[], bool], seconds: float = LIMIT_SECONDS) -> int:
        """Sample until ``done`` or for so many seconds; return the last sample."""
        end = time.monotonic() + seconds
        while True:
            last = self.sample()
            if done() or time.monotonic() > end:
                return last
            await asyncio.sleep(SAMPLE_SECONDS)


async def write_record(site: processes.DemoSite, run: int, scale: float) -> int:
    """Write one record of SBND's aside and move it in; return the bytes of its files."""
    aside = site.root / "aside"
    command = [sys.executable, str(MAKER), str(aside), "--runs", "1", "--first", str(run), "--profile", "sbnd"]
    command += ["--fcl", "dumped", "--crash", "0", "--gaps", "0", "--no-chmod", "--fcl-scale", str(scale)]
    await asyncio.to_thread(subprocess.run, command, check=True)
    made = aside / str(run)
    size = sum(path.stat().st_size for path in made.iterdir())
    made.rename(site.records / str(run))
    return size


async def measure(site: processes.DemoSite, megabytes: float, rest: float) -> bool:
    """Archive one big record, print its line of the table, return whether it was verified."""
    site.make()
    journal = site.work_dir / "journal.sqlite"

    def ended(run: int) -> bool:
        row = summary.read_rows(journal).get(run) if journal.exists() else None
        return row is not None and row.state in (State.VERIFIED, State.QUARANTINED, State.CONFLICT)

    async with processes.ucondb_server(site) as url:
        site.configure(url)
        await write_record(site, 1, 1.0)
        async with processes.daemon(site) as daemon:
            meter = Meter(daemon.pid)
            await meter.until(lambda: ended(1))
            idle = await meter.until(lambda: False, rest)
            meter.peak = 0
            size = await write_record(site, 2, max(0.1, (megabytes - 1.4) / MEGABYTES_A_SCALE))
            begun = time.monotonic()
            await meter.until(lambda: ended(2))
            took = time.monotonic() - begun
            after = await meter.until(lambda: False, rest)
        row = summary.read_rows(journal)[2]
    print(
        f"{size / 1e6:6.0f} MB: idle {idle / MIB:5.0f}, peak {meter.peak / MIB:5.0f}, after {rest:.0f} s "
        f"{after / MIB:5.0f} MiB; {row.state} in {took:.1f} s {row.error}",
        flush=True,
    )
    return row.state is State.VERIFIED


def main() -> int:
    """Parse the options and measure in temporary directories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[25.0, 100.0, 200.0])
    parser.add_argument("--rest", type=float, default=60.0, help="seconds without work before memory is read again")
    options = parser.parse_args()
    verified = True
    for megabytes in options.megabytes:
        root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
        try:
            verified &= asyncio.run(measure(processes.DemoSite(root.absolute()), megabytes, options.rest))
        finally:
            remove_tree(root)
    return 0 if verified else 1


if __name__ == "__main__":
    sys.exit(main())
