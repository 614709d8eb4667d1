"""What does the audit of the directories cost at a site with many verified runs?

The journal has RUNS verified runs, evenly over ten years up to now. So many records of 92 files lie in directories of
their own; the directories of the other runs are links to these, so that each comparison looks at real files (which are
in the kernel's caches, as those of a day are). The real audit makes ROUNDS of its 288 daily rounds, its waits skipped
and counted. In the first rounds some of the directories have other times than when they were archived, as after a
``chmod -R``, and are hashed.

    python benchmarks/bench_audit.py --runs 100000 --directories 2000 --rounds 288
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench_journal import FIRST, Clock, fill

from archiverd import log
from archiverd.audit import directory_audit
from archiverd.audit.directory import look_at
from archiverd.demo.runs import remove_tree
from archiverd.journal.journal import Journal
from archiverd.journal.rows import FileFate

FILES = 92
CONTENT = b"daq: { fragment_receiver: { verbosity: 1 } }\n" * 90
"""Of each file: four kilobytes."""
ROUNDS_A_DAY = int(86_400 / directory_audit.ROUND_SECONDS)
TOUCHED = 200
"""Directories that have other times than those that were archived."""


class DayIsOver(BaseException):
    """All rounds were made."""


@dataclass(slots=True)
class Waits:
    """Takes the place of the audit's waits: counts them, and ends it after ``rounds``."""

    rounds: int
    held_back: float = 0.0
    """Seconds that bounded the rate."""
    now: float = 0.0

    async def rest(self, seconds: float) -> None:
        """Let ``seconds`` pass, without waiting."""
        self.now += seconds
        if seconds < 1.0:
            self.held_back += seconds
            return
        self.rounds -= 1
        if not self.rounds:
            raise DayIsOver


def write_directories(root: Path, runs: int, directories: int) -> None:
    """Write the records, and the links for the other runs."""
    (root / "real").mkdir()
    for number in range(directories):
        record = root / "real" / str(number)
        record.mkdir()
        for file in range(FILES):
            (record / f"component{file:02}.fcl").write_bytes(CONTENT)
    (root / "run_records").mkdir()
    for number in range(runs):
        os.symlink(root / "real" / str(number % directories), root / "run_records" / str(FIRST + number))


async def measure(root: Path, options: argparse.Namespace) -> None:
    """Print the cost."""
    write_directories(root, options.runs, options.directories)
    listings = [look_at(root / "real" / str(number))[0] for number in range(options.directories)]
    touched = min(TOUCHED, options.directories // 10)
    for number in range(touched):
        os.utime(root / "real" / str(number) / "component00.fcl")
    digest = hashlib.sha256(CONTENT).hexdigest()
    fates = tuple(
        FileFate(f"component{file:02}.fcl", f"component{file:02}", "", len(CONTENT), digest) for file in range(FILES)
    )
    clock = Clock(time.time())
    journal = Journal(root / "journal.sqlite", clock=clock)
    await journal.open()
    runs = [FIRST + number for number in range(options.runs)]
    await fill(journal, runs, lambda _: fates, lambda run: listings[(run - FIRST) % options.directories], clock)
    recent = len(await journal.verified_since(clock() - directory_audit.RECENT_SECONDS))
    waits = Waits(options.rounds)
    audit = directory_audit.DirectoryAudit(journal, root / "run_records", clock, lambda: waits.now, waits.rest)
    begun = time.process_time()
    with contextlib.suppress(DayIsOver):
        await audit.watch()
    took = time.process_time() - begun
    await journal.close()
    looks = options.rounds * (recent + -(-options.runs // ROUNDS_A_DAY))
    day = took / options.rounds * ROUNDS_A_DAY
    hashed = waits.held_back * directory_audit.BYTES_A_SECOND
    print(
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs; {options.runs} verified runs, {recent} of three days"
    )
    print(
        f"{options.rounds} rounds of the {ROUNDS_A_DAY} of a day, {looks} looks at {FILES} files: CPU {took:.1f} s, ",
        end="",
    )
    print(f"{took / looks * 1e3:.2f} ms a look with its share of the journal's queries")
    calls = looks / options.rounds * (FILES + 1) / directory_audit.ROUND_SECONDS
    print(f"a day: {day:.0f} s of CPU, {day / 86_400:.3%} of a core; {calls:.0f} calls a second")
    print(f"hashed {hashed / 1e6:.0f} MB of suspects, for which the audit waited {waits.held_back:.1f} s (10 MB/s)")


def main() -> None:
    """Parse the options and measure in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--directories", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS_A_DAY)
    log.configure("WARNING")
    root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
    try:
        asyncio.run(measure(root, parser.parse_args()))
    finally:
        remove_tree(root)


if __name__ == "__main__":
    main()
