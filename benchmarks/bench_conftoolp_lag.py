"""Does the event loop stay free while calls of the experiment's library block for seconds?

A ticker on the loop measures its own lateness: first with nothing else to do (the control), then while runs are
imported and exported through the stand-in library and two calls of every run block for seconds. One file of each run is
large, so that a document of some ten times its size comes back. The result is the difference of the two 99.9th
percentiles; it must be at most 20 ms.

    python benchmarks/bench_conftoolp_lag.py --seconds 20 --block 2
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from archiverd.artdaqdb.conftoolp.store import ConftoolpDB
from archiverd.artdaqdb.port import Entity
from tests.artdaqdb.conftoolp.conftest import STANDIN, library_settings

TICK_SECONDS = 0.002
ALLOWED_MS = 20.0
ENTITIES = 30


async def late(seconds: float) -> list[float]:
    """Return the lateness of each tick in milliseconds."""
    delays = []
    end = time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        await asyncio.sleep(TICK_SECONDS)
        delays.append((time.perf_counter() - now - TICK_SECONDS) * 1000)
    return delays


def per_mille(delays: list[float]) -> float:
    """Return the 99.9th percentile."""
    return sorted(delays)[int(len(delays) * 0.999)]


async def work(database: ConftoolpDB, faults: Path, block: float, large: float) -> None:
    """Import and export runs until cancelled; one call of every run blocks."""
    line = b"key_%d: [%d, 'a text'] # and a comment\n"
    text = b"".join(line % (n, n) for n in range(300))
    much = b"".join(line % (n, n) for n in range(int(large * 1e6 / 40)))
    run = 0
    while True:
        run += 1
        entities = [Entity("RunHistory", f"e{number}", text) for number in range(ENTITIES)]
        entities.append(Entity("RunHistory", "large", much))
        (faults / "write_document.once").write_text(f"sleep: {block}")
        await database.insert(run, "demo", [*entities, Entity("SystemLayout", "schema", b"run_history: []\n")])
        (faults / "read_document.once").write_text(f"sleep: {block}")
        await database.export(run)
        print(f"run {run} imported and exported", flush=True)


async def compare(seconds: float, block: float, large: float) -> int:
    """Measure without and with work; return the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        faults = Path(directory, "faults")
        faults.mkdir()
        os.environ["CONFTOOLP_FAULTS"] = str(faults)
        database = ConftoolpDB(library_settings(f"filesystemdb://{directory}/db", STANDIN, seconds=60), 1)
        await database.open()
        idle = await late(seconds)
        working = asyncio.create_task(work(database, faults, block, large))
        busy = await late(seconds)
        failed = working.done()
        working.cancel()
        await asyncio.gather(working, return_exceptions=not failed)
        await database.close()
    difference = per_mille(busy) - per_mille(idle)
    for name, delays in (("idle", idle), ("working", busy)):
        print(f"{name:8} p99.9 {per_mille(delays):7.2f} ms   max {max(delays):7.2f} ms   {len(delays)} ticks")
    print(f"difference of p99.9: {difference:.2f} ms, allowed {ALLOWED_MS:.0f} ms")
    return 0 if difference <= ALLOWED_MS else 1


def main() -> int:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each of the two measurements takes")
    parser.add_argument("--block", type=float, default=2.0, help="seconds for which a call blocks")
    parser.add_argument("--large", type=float, default=1.0, help="megabytes of FHiCL in one file of every run")
    arguments = parser.parse_args()
    return asyncio.run(compare(arguments.seconds, arguments.block, arguments.large))


if __name__ == "__main__":
    sys.exit(main())
