"""How large does the journal of a big site get, manifests included?

Every run goes through the importer's and the migrator's transitions, with the fates of the files of an SBND record (92
files) as the importer plans them, and one listing in its row. What repeats is taken from records of the tests' maker:
metadata.txt is another in each run, the files that differ between two configurations in each configuration, all others
are the same. The runs are spread over ten years up to now.

    python benchmarks/bench_journal.py --runs 100000
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.artdaqdb.schema import load_schema
from archiverd.core.priority import Lane
from archiverd.demo.runs import remove_tree
from archiverd.journal import transitions
from archiverd.journal.destinations import Configured, Destination
from archiverd.journal.journal import Journal
from archiverd.journal.rows import ObservedRecord
from archiverd.journal.transitions import BlobIdentity, ReadRecord, RecordEnd
from archiverd.pipeline.import_plan import plan_import
from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.preparation import prepare
from archiverd.runrecord.record import read_run_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archiverd.journal.rows import FileFate
    from archiverd.journal.transitions import Transition

MAKER = Path(__file__).parents[1] / "tests" / "tools" / "make_run_records.py"
FIRST = 10_000
YEARS = 10.0
AT_ONCE = 200
"""Runs whose transitions share a commit."""
HERE = Configured(
    Destination("filesystemdb:///daq/artdaqdb"), Destination("https://ucondb.example.org/sbnd", "records", "fcl"), "/r"
)


@dataclass(frozen=True, slots=True)
class Site:
    """The runs of a made-up site."""

    fates: tuple[FileFate, ...]
    """Those of one record."""
    by_configuration: frozenset[str]
    """Names of the files that are others in each configuration."""
    configuration_runs: int
    """Runs that share a configuration."""

    def manifest(self, run: int) -> tuple[FileFate, ...]:
        """Return the fates of the files of ``run``."""
        era = run // self.configuration_runs
        return tuple(replace(one, sha256=self._sha256(one, run, era)) for one in self.fates)

    def _sha256(self, fate: FileFate, run: int, era: int) -> str:
        if not fate.sha256:
            return ""
        if fate.name == "metadata.txt":
            return sha256(run, fate.name)
        return sha256(era, fate.name) if fate.name in self.by_configuration else fate.sha256


def sha256(*of: object) -> str:
    """Return a made-up digest."""
    return hashlib.sha256(repr(of).encode()).hexdigest()


def plan_site(root: Path, configuration_runs: int) -> Site:
    """Plan records of the maker as the importer does, and see what repeats."""
    command = [sys.executable, str(MAKER), str(root), "--runs", "24", "--first", "1", "--profile", "sbnd"]
    command += ["--fcl", "dumped", "--gaps", "0", "--crash", "0", "--no-chmod", "--runs-per-config", "12"]
    subprocess.run(command, check=True)
    fates = {}
    for run in (1, 24):
        prepared = prepare(read_run_record(root / str(run), run), BY_DEFAULT)
        fates[run] = plan_import(prepared, load_schema(None), "archive").fates
    last = {(one.name, one.entity): one.sha256 for one in fates[24]}
    other = frozenset(one.name for one in fates[1] if last.get((one.name, one.entity)) != one.sha256)
    return Site(fates[1], other, configuration_runs)


def story(run: int, at: float, files: tuple[FileFate, ...], listing: str, to: tuple[int | None, int | None]) -> _Story:
    """Return the transitions of a run that ended at ``at`` and was proven at once."""
    stopped = time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(at))
    end = RecordEnd(at, at, 1, stopped, stopped, listing)
    blob = BlobIdentity(time.strftime("%b %d %H:%M UTC", time.gmtime(at)), 3_700_000, sha256(run), run)
    read = ReadRecord(files, listing, destination=to[0])
    note = f"{len(files)} entities stored, updated to v1"
    imported = transitions.import_done(
        run,
        note,
        configuration="standard_beam",
        imported_at=at,
        stopped=True,
        incomplete=False,
        no_end=False,
        read=read,
    )
    return [
        transitions.ended(run, end),
        transitions.import_begins(run),
        imported,
        transitions.upload_begins(run, blob, puts=1),
    ], blob


_Story = tuple[list["Transition"], BlobIdentity]


async def fill(
    journal: Journal,
    runs: Sequence[int],
    manifest: Callable[[int], tuple[FileFate, ...]],
    listing: Callable[[int], str],
    clock: Clock,
) -> None:
    """Let ``runs`` be verified one after the other, evenly over ten years until now, in an open journal."""
    await journal.settle(HERE)
    to = (journal.here.artdaqdb, journal.here.ucondb)
    now, step = clock(), YEARS * 365.25 * 86_400 / len(runs)
    for start in range(0, len(runs), AT_ONCE):
        part = runs[start : start + AT_ONCE]
        clock.at = now - step * (len(runs) - start - len(part))
        await journal.see(part, Lane.FRESH)
        await journal.note_observed([ObservedRecord(run, 1, "Tue Nov 14 10:00:00 UTC 2023") for run in part])
        stories = {}
        for place, run in enumerate(part, start):
            stories[run] = story(run, now - step * (len(runs) - 1 - place), manifest(run), listing(run), to)
        rows = await journal.record(*(one for moves, _ in stories.values() for one in moves))
        final = {row.run: row for row in rows}
        proofs = [
            transitions.upload_proven(
                final[run], blob, destination=to[1], verified_at=final[run].ended_at or now, validation=""
            )
            for run, (_, blob) in stories.items()
        ]
        await journal.record(*proofs)
    clock.at = now


@dataclass(slots=True)
class Clock:
    """A clock that is set."""

    at: float

    def __call__(self) -> float:
        """Return the time in epoch seconds."""
        return self.at


def sizes(path: Path) -> Counter[str]:
    """Return the bytes of each table with its indexes; empty where this SQLite cannot tell."""
    found: Counter[str] = Counter()
    db = sqlite3.connect(path)
    try:
        rows = db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
    except sqlite3.OperationalError:
        rows = []
    for name, size in rows:
        found[name] += size
    db.close()
    return found


async def measure(root: Path, options: argparse.Namespace) -> None:
    """Print the sizes."""
    site = plan_site(root / "records", options.runs_per_config)
    print(f"{len(site.fates)} fates a record; {len(site.by_configuration)} of its files change with a configuration,")
    print(f"which {site.configuration_runs} runs share; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    path, clock = root / "journal.sqlite", Clock(time.time())
    journal = Journal(path, clock=clock)
    await journal.open()
    runs = [FIRST + run for run in range(options.runs)]
    began = time.process_time()
    await fill(journal, runs, site.manifest, lambda run: sha256(run)[:32], clock)
    took = time.process_time() - began
    await journal.close()
    print(f"{options.runs} runs: {path.stat().st_size / 1e6:.1f} MB, {path.stat().st_size / options.runs:.0f} B a run")
    for name, size in sizes(path).most_common(12):
        print(f"    {name:<24} {size / 1e6:7.1f} MB {size / options.runs:6.0f} B a run")
    db = sqlite3.connect(path)
    db.execute("VACUUM")
    db.close()
    print(f"after VACUUM: {path.stat().st_size / 1e6:.1f} MB; ", end="")
    print(f"CPU of all changes in a run's life {took / options.runs * 1e3:.2f} ms")


def main() -> None:
    """Parse the options and measure in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--runs-per-config", type=int, default=12, help="the maker's own number is 12")
    log.configure("WARNING")
    root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
    try:
        asyncio.run(measure(root, parser.parse_args()))
    finally:
        remove_tree(root)


if __name__ == "__main__":
    main()
