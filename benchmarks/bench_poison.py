"""Do runs that can never be archived delay those that can?

Runs are written live, first into a quiet archive, then into one with POISON runs queued whose records hold a file
that is not FHiCL (artdaq_db.unmatched = "fail"): each fails in the import stage. Reported is how long after its stop
line each live run was verified.

    python benchmarks/bench_poison.py --runs 40 --poison 1000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from archiverd.core.machine import State
from archiverd.demo import processes, summary
from archiverd.demo.runs import remove_tree

MAKER = Path(__file__).parents[1] / "tests" / "tools" / "make_run_records.py"
FIRST = 100_000
PATIENCE_SECONDS = 120.0
METADATA = "Config name: poison\nDAQInterface start time: Tue Nov 14 10:00:00 UTC 2023\n"
STOPPED = "DAQInterface stop time: Tue Nov 14 11:00:00 UTC 2023\n"


def poison(records: Path, count: int) -> None:
    """Write records that cannot be imported, half of them with numbers above the live runs'."""
    for number in range(count):
        directory = records / str(number + 1 + (number % 2) * 2 * FIRST)
        directory.mkdir(parents=True)
        (directory / "metadata.txt").write_text(METADATA + STOPPED)
        (directory / "broken.fcl").write_text("a: { b: [ 1, 2\n" * 200)


async def measure(root: Path, options: argparse.Namespace, poisoned: int) -> list[float]:
    """Return the waits of the live runs, in seconds, ascending."""
    site = processes.DemoSite(root)
    site.make()
    poison(site.records, poisoned)
    journal = site.work_dir / "journal.sqlite"
    async with processes.ucondb_server(site) as url:
        site.configure(url)
        config = site.config.read_text()
        site.config.write_text(config.replace("[artdaq_db]", '[artdaq_db]\nunmatched = "fail"'))
        command = [sys.executable, str(MAKER), str(site.records), "--runs", str(options.runs), "--fcl", "dumped"]
        command += ["--profile", "sbnd", "--live", str(options.rate), "--first", str(FIRST), "--gaps", "0"]
        command += ["--manifest", str(root / "manifest"), "--crash", "0"]
        async with processes.daemon(site) as daemon:
            maker = await asyncio.create_subprocess_exec(*command)
            await maker.wait()
            stopped = {json.loads(line)["run"] for line in (root / "manifest").read_text().splitlines()}
            end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
            while not all(
                row.state is State.VERIFIED for run, row in summary.read_rows(journal).items() if run in stopped
            ):
                if asyncio.get_running_loop().time() > end:
                    break
                await asyncio.sleep(0.2)
            await processes.stop(daemon)
    rows = summary.read_rows(journal)
    quarantined = sum(row.state is State.QUARANTINED for row in rows.values())
    print(f"{poisoned} poison runs, {quarantined} quarantined; ", end="")
    return sorted(
        row.verified_at - row.stopped_at
        for run, row in rows.items()
        if run in stopped and row.verified_at is not None and row.stopped_at is not None
    )


def main() -> int:
    """Parse the options and measure in temporary directories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--poison", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=60.0, help="run starts a minute")
    options = parser.parse_args()
    for poisoned in (0, options.poison):
        root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
        try:
            waits = asyncio.run(measure(root, options, poisoned))
        finally:
            remove_tree(root)
        p50, p99 = (summary.percentile(waits, share) for share in (0.5, 0.99))
        print(f"{len(waits)} of {options.runs} live runs verified, stop→verified p50 {p50:.2f} s, p99 {p99:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
