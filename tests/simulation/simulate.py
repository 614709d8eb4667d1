"""Many simulated days over many seeds: `make simulate DAYS=10000`; `--wild` for days on which hardly anything works.

Prints the seed of a life that breaks a promise; `--seed N` plays that one again.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import sys
import tempfile
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parents[2]))

from archiverd import log
from tests.simulation.life import WILD, Rates, play

DAYS_A_LIFE = 50
DAYS_A_WILD_LIFE = 3


def one_life(seed: int, days: int, rates: Rates) -> tuple[int, str, str]:
    """Play one seed; return it with what happened and what was broken."""
    log.configure("ERROR", stream=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the process's life
    with tempfile.TemporaryDirectory(prefix="archiverd-sim-") as directory:
        root = Path(directory) / "detector"
        root.mkdir()
        try:
            return seed, " ".join(play(seed, days, root, rates)), ""
        except BaseException as error:  # noqa: BLE001 - told with its seed
            return seed, "", f"{type(error).__name__}: {error}"


def main() -> int:
    """Play lives until enough days have passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=10_000, help="simulated days in all")
    parser.add_argument("--seed", type=int, help="play this seed only")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--wild", action="store_true", help="seven times the runs, kills and outages, in shorter lives")
    options = parser.parse_args()
    days, rates = (DAYS_A_WILD_LIFE, WILD) if options.wild else (DAYS_A_LIFE, Rates())
    lives = -(-options.days // days)
    seeds = range(options.first, options.first + lives) if options.seed is None else [options.seed]
    broken, begun = 0, time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(options.workers) as pool:
        played = pool.map(one_life, seeds, [days] * len(seeds), [rates] * len(seeds))
        for number, (seed, told, problem) in enumerate(played, 1):
            if problem:
                broken += 1
                print(f"seed {seed}: {problem}", flush=True)
            elif number % 20 == 0 or options.seed is not None:
                print(f"{number * days} days in {time.monotonic() - begun:.0f} s; seed {seed}: {told}", flush=True)
    print(f"{len(seeds) * days} simulated days, {len(seeds)} lives, {broken} broken promises")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
