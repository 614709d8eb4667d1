"""What does the scrub cost at a site with many verified runs?

The journal has RUNS verified runs, evenly over ten years up to now; the plan asks it what is due. Against the bundled
UconDB server (a process of its own): blobs of an SBND record's size are read back and compared, and 200 keys are looked
up at a time. From the pace that the configuration gives follows what a day comes to.

    python benchmarks/bench_scrub.py --runs 100000 --blobs 40
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench_journal import FIRST, YEARS, Clock, fill
from bench_ucondb import settings_of

from archiverd import log
from archiverd.audit.scrub import local_hour
from archiverd.audit.scrub_plan import LOOK_UP_DAYS, LOOKED_UP_AT_ONCE, Pace, next_step
from archiverd.config.models import Scrub
from archiverd.core.proofs import AGAIN_DAYS
from archiverd.demo import processes
from archiverd.demo.runs import remove_tree
from archiverd.journal.journal import Journal
from archiverd.journal.rows import FileFate
from archiverd.ucondb.client import HttpUconDB
from archiverd.ucondb.port import Blob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BLOB = 3_700_000
PLANS = 200
MINUTES_A_DAY = 1440


async def cpu(times: int, work: Callable[[int], Awaitable[object]]) -> float:
    """Return the CPU seconds of this process for one piece of ``work``, the mean of so many."""
    begun = time.process_time()
    for number in range(times):
        await work(number)
    return (time.process_time() - begun) / times


async def plan_cost(root: Path, runs: int, pace: Pace) -> float:
    """Return the CPU seconds of one step of the plan on a full journal."""
    clock = Clock(time.time())
    journal = Journal(root / "journal.sqlite", clock=clock)
    await journal.open()
    fates = (FileFate("a.fcl", "a", "", 1, "ab" * 32),)
    await fill(journal, [FIRST + number for number in range(runs)], lambda _: fates, lambda _: "", clock)

    async def plan(_: int) -> None:
        await journal.on_their_way(clock())
        await journal.proofs.standstill()
        next_step(await journal.proofs.facts(), pace, clock(), local_hour(clock()))

    cost = await cpu(PLANS, plan)
    await journal.close()
    return cost


async def measure(root: Path, options: argparse.Namespace) -> None:
    """Print the cost of each part, and of a day."""
    pace = Pace.of(Scrub())
    plan = await plan_cost(root, options.runs, pace)
    site = processes.DemoSite(root)
    site.make()
    async with processes.ucondb_server(site) as url:
        ucondb = HttpUconDB(settings_of(url, site.password.read_text()), rereads=2)
        await ucondb.open()
        for key in range(options.blobs):
            await ucondb.store(f"{FIRST + key}", Blob.of(os.urandom(BLOB)), tag="blob", look_first=False)
        for key in range(options.blobs, LOOKED_UP_AT_ONCE):
            await ucondb.store(f"{FIRST + key}", Blob.of(b"x" * 1000), tag="small", look_first=False)
        read = await cpu(options.blobs, lambda key: ucondb.examine(f"{FIRST + key}"))
        keys = [f"{FIRST + key}" for key in range(LOOKED_UP_AT_ONCE)]
        look_up = await cpu(10, lambda _: ucondb.look_up_all(keys))
        await ucondb.close()
    proofs = pace.others_per_day(options.runs) + round(options.runs / YEARS / 365.25 * len(AGAIN_DAYS))
    steps = math.ceil(options.runs / LOOKED_UP_AT_ONCE / LOOK_UP_DAYS)
    plans = MINUTES_A_DAY + 2 * (proofs + steps)
    day = plans * plan + proofs * read + steps * look_up
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs; {options.runs} verified runs")
    print(f"plan of a step {plan * 1e3:.2f} ms; {BLOB / 1e6:.1f} MB proven again {read * 1e3:.1f} ms; ", end="")
    print(f"{LOOKED_UP_AT_ONCE} keys looked up {look_up * 1e3:.1f} ms (CPU of the client)")
    print(f"a day: {proofs} proofs, {proofs * BLOB / 1e9:.1f} GB read, {steps} steps of look-ups; ", end="")
    print(
        f"plans {plans * plan:.0f} s, proofs {proofs * read:.0f} s, look-ups {steps * look_up:.1f} s of CPU, ", end=""
    )
    print(f"{day / 86_400:.3%} of a core")


def main() -> None:
    """Parse the options and measure in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--blobs", type=int, default=40)
    log.configure("WARNING")
    root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
    try:
        asyncio.run(measure(root, parser.parse_args()))
    finally:
        remove_tree(root)


if __name__ == "__main__":
    main()
