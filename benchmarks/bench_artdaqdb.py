"""What does importing a run cost, and does it grow with the archive?

Imports and exports runs of a detector's size into FileSystemDBs that already hold 0, 1 000 and 10 000 runs (minimal
documents, but an index of realistic size: 93 entities a run), and measures the FHiCL engine on the same files.

    python benchmarks/bench_artdaqdb.py --runs 20 --archives 0 1000 10000
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd import fhicl
from archiverd.artdaqdb.filesystem.index import Index, Names
from archiverd.artdaqdb.filesystem.object_ids import make_oid
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.schema import load_schema
from archiverd.pipeline.import_plan import Plan, plan_import
from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.preparation import ConversionCache, prepare
from archiverd.runrecord.record import read_run_record

if TYPE_CHECKING:
    from collections.abc import Callable

MAKER = Path(__file__).parents[1] / "tests" / "tools" / "make_run_records.py"
ENTITIES = 93
FIRST = 1_000_001
STAMP = "2026-11-23T16:40:16.255-0600"


def plans(records: Path, count: int, profile: str) -> list[tuple[int, Plan]]:
    """Make run records; return their import plans."""
    command = [sys.executable, str(MAKER), str(records), "--runs", str(count), "--first", str(FIRST), "--gaps", "0"]
    command += ["--profile", profile, "--fcl", "dumped", "--crash", "0", "--no-chmod", "--runs-per-config", "5"]
    subprocess.run(command, check=True)
    schema, cache = load_schema(None), ConversionCache()
    made = []
    for run in range(FIRST, FIRST + count):
        prepared = prepare(read_run_record(records / str(run), run), BY_DEFAULT, cache)
        made.append((run, plan_import(prepared, schema, "archive")))
    return made


def prefill(root: Path, runs: int) -> None:
    """Write indexes of realistic size for ``runs`` runs; their documents are never read."""
    for collection, entities in (("RunHistory", ENTITIES - 1), ("SystemLayout", 1)):
        index = Index()
        for run in range(1, runs + 1):
            configuration = f"{run}/run2-beam-noSN-00012"
            for number in range(entities):
                names = Names(configuration, (configuration,), (STAMP,), (f"entity{number:02d}",), (str(run),))
                index.add(make_oid(), names)
        (root / collection).mkdir(parents=True)
        (root / collection / "index.json").write_bytes(b"".join(index.chunks()))


async def measure(root: Path, made: list[tuple[int, Plan]]) -> tuple[list[float], list[float], float, float]:
    """Import and export every plan; return the seconds each took, and those of opening and closing."""
    db = FileSystemDB(f"filesystemdb://{root}")
    began = time.perf_counter()
    await db.open()
    opening = time.perf_counter() - began
    imports, exports = [], []
    for run, plan in made:
        began = time.perf_counter()
        await db.insert(run, plan.configuration, plan.entities)
        await db.update(run, plan.configuration, plan.update)
        imports.append(time.perf_counter() - began)
        began = time.perf_counter()
        await db.export(run)
        exports.append(time.perf_counter() - began)
    began = time.perf_counter()
    await db.close()
    return imports, exports, opening, time.perf_counter() - began


def engine(made: list[tuple[int, Plan]]) -> None:
    """Print the FHiCL engine's speed on the same files."""
    texts = [entity.fcl for entity in made[0][1].entities]
    size = sum(map(len, texts)) / 1e6
    for name, work in (("parse", lambda t: fhicl.check(t, "x")), ("to document text", lambda t: fhicl.convert(t, "x"))):
        best = min(_timed(lambda work=work: [work(text) for text in texts]) for _ in range(5))
        print(f"{name}: {size / best:.0f} MB/s of dumped FHiCL ({size:.1f} MB a run)")


def _timed(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


def main() -> None:
    """Parse the options, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--profile", default="sbnd", choices=["demo", "sbnd", "icarus", "dune"])
    parser.add_argument("--archives", type=int, nargs="+", default=[0, 1_000, 10_000])
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
    try:
        made = plans(root / "records", options.runs, options.profile)
        engine(made)
        print("| runs in the archive | import, median ms | max | export, median ms | open s | close s | peak RSS MB |")
        print("|---|---|---|---|---|---|---|")
        for size in options.archives:
            db = root / f"db{size}"
            _apart(partial(prefill, db, size))
            _apart(partial(row, db, size, made))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def row(db: Path, size: int, made: list[tuple[int, Plan]]) -> None:
    """Measure one database and print its row."""
    imports, exports, opening, closing = asyncio.run(measure(db, made))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    median, most = statistics.median(imports) * 1000, max(imports) * 1000
    exported = statistics.median(exports) * 1000
    print(f"| {size} | {median:.0f} | {most:.0f} | {exported:.0f} | {opening:.2f} | {closing:.2f} | {peak:.0f} |")


def _apart(work: Callable[[], None]) -> None:
    """Run ``work`` in a child process, so that its memory is measured alone."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        try:
            work()
            sys.stdout.flush()
        except BaseException:  # noqa: BLE001 - the child must end here, whatever happened
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("a measurement failed")


if __name__ == "__main__":
    main()
