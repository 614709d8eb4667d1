"""How long after its stop line is a run proven in UconDB?

Runs of a detector's size are written live by the tests' record maker into a watched directory; the real daemon and
the bundled UconDB server archive them. Every blob is read back without our client and compared. With --interrupt
the daemon gets SIGINT half-way and is started again.

    python benchmarks/bench_straight_line.py --runs 40 --profile sbnd --rate 60
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import tempfile
import urllib.request
from pathlib import Path

from archiverd.core.machine import State
from archiverd.demo import processes, summary
from archiverd.demo.runs import remove_tree

MAKER = Path(__file__).parents[1] / "tests" / "tools" / "make_run_records.py"
PATIENCE_SECONDS = 60.0


async def measure(site: processes.DemoSite, options: argparse.Namespace) -> int:
    """Run the benchmark; return 0 if every run that got its stop line is proven."""
    site.make()
    journal = site.work_dir / "journal.sqlite"
    manifest = site.root / "manifest"
    async with processes.ucondb_server(site) as url:
        site.configure(url)
        command = [sys.executable, str(MAKER), str(site.records), "--runs", str(options.runs), "--fcl", "dumped"]
        command += ["--profile", options.profile, "--live", str(options.rate), "--manifest", str(manifest)]
        maker = await asyncio.create_subprocess_exec(*command)
        exits = []
        if options.interrupt:
            async with processes.daemon(site) as daemon:
                while len(_verified(journal)) < options.runs // 2:
                    await asyncio.sleep(0.1)
                exits.append(await processes.stop(daemon))
            print(f"interrupted with {len(_verified(journal))} runs verified; exit code {exits[0]}")
        async with processes.daemon(site) as daemon:
            await maker.wait()
            facts = [json.loads(line) for line in manifest.read_text().splitlines()]
            stopped = {fact["run"] for fact in facts if fact["stop"] is not None}
            end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
            while not stopped <= _verified(journal) and asyncio.get_running_loop().time() < end:
                await asyncio.sleep(0.2)
            exits.append(await processes.stop(daemon))
        return _report(url, journal, facts, stopped, exits)


def _verified(journal: Path) -> set[int]:
    return {run for run, row in summary.read_rows(journal).items() if row.state is State.VERIFIED}


def _report(url: str, journal: Path, facts: list[dict[str, object]], stopped: set[int], exits: list[int]) -> int:
    """Compare what UconDB holds with the journal, print the figures, return the exit code."""
    rows = summary.read_rows(journal)
    listing = f"{url}/versions?folder={processes.FOLDER}&object={processes.OBJECT}&tv=1e12"
    with urllib.request.urlopen(listing) as answer:
        keys = [int(version["key"]) for version in json.load(answer)]
    same = 0
    for run in keys:
        address = f"{url}/data/{processes.FOLDER}/{processes.OBJECT}?key={run}"
        with urllib.request.urlopen(address) as answer:
            same += hashlib.sha256(answer.read()).hexdigest() == rows[run].blob_sha256
    waits = sorted(
        row.verified_at - row.stopped_at
        for run, row in rows.items()
        if run in stopped and row.verified_at is not None and row.stopped_at is not None
    )
    missing = stopped - {run for run, row in rows.items() if row.state is State.VERIFIED}
    print(f"runs written {len(facts)}, with a stop line {len(stopped)}, of these verified {len(stopped - missing)}")
    print(
        f"stop→verified p50 {summary.percentile(waits, 0.5):.2f} s, p99 {summary.percentile(waits, 0.99):.2f} s, ",
        end="",
    )
    print(f"max {waits[-1]:.2f} s" if waits else "nothing verified")
    print(f"UconDB: {len(keys)} versions of {len(set(keys))} runs, {same} byte for byte the verified blob")
    for run, row in sorted(rows.items()):
        if row.dead or row.state is not State.VERIFIED:
            print(f"run {run}: {row.state}{' (dead)' if row.dead else ''} {row.error}")
    print(f"exit codes of the daemon: {exits}")
    return 0 if not missing and same == len(keys) == len(set(keys)) else 1


def main() -> int:
    """Parse the options and measure in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--profile", default="sbnd", choices=["demo", "sbnd", "icarus", "dune"])
    parser.add_argument("--rate", type=float, default=60.0, help="run starts a minute")
    parser.add_argument("--interrupt", action="store_true", help="SIGINT half-way, then start again")
    parser.add_argument("--keep", type=Path, help="work in this directory and leave it")
    options = parser.parse_args()
    root = options.keep or Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
    try:
        return asyncio.run(measure(processes.DemoSite(root.absolute()), options))
    finally:
        if options.keep is None:
            remove_tree(root)


if __name__ == "__main__":
    sys.exit(main())
