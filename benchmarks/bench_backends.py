"""What does a run cost through each of artdaqDB's backends?

Imports (insert and update, durable and proven as each backend does it) and exports the same runs through the built-in
engine, MongoDB (if `make mongo-servers` fetched a server, a mongod is on PATH, or ARCHIVERD_TEST_MONGODB_URI names
one), the experiment's library and the command line tools. Stand-ins of the tests replace the last two, so their
figures are what archiverd adds: calls of a child process, and starting processes.

    python benchmarks/bench_backends.py --runs 10 --profile demo
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench_artdaqdb import plans

from archiverd.artdaqdb.backends import through_tools
from archiverd.artdaqdb.conftoolp.store import ConftoolpDB
from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.mongo.store import MongoDB
from archiverd.config.models import ArtdaqDb
from archiverd.demo.runs import remove_tree
from tests.artdaqdb.conftoolp.conftest import STANDIN, library_settings
from tests.artdaqdb.mongo.servers import URI_VARIABLE, bson_server, mongod
from tests.artdaqdb.tools import standin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archiverd.artdaqdb.port import ArtdaqDB
    from archiverd.pipeline.import_plan import Plan


@contextlib.contextmanager
def mongodb_uri(root: Path) -> Iterator[str | None]:
    """Give the URI of a database in MongoDB, None if there is no server."""
    given = os.environ.get(URI_VARIABLE)
    if given:
        yield f"{given.rstrip('/')}/archiverd_bench"
        return
    (root / "mongod").mkdir()
    server = mongod(root / "mongod") or bson_server()
    if server is None:
        yield None
        return
    server.start()
    yield f"mongodb://127.0.0.1:{server.port}/archiverd_bench"
    server.kill()


async def measure(database: ArtdaqDB, made: list[tuple[int, Plan]]) -> tuple[float, float]:
    """Return the medians of import and export, in seconds a run."""
    await database.open()
    imports, exports = [], []
    for run, plan in made:
        began = time.perf_counter()
        await database.insert(run, plan.configuration, plan.entities)
        await database.update(run, plan.configuration, plan.update)
        imports.append(time.perf_counter() - began)
        began = time.perf_counter()
        await database.export(run)
        exports.append(time.perf_counter() - began)
    await database.close()
    return statistics.median(imports), statistics.median(exports)


def main() -> int:
    """Parse the options and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--profile", default="demo", choices=["demo", "sbnd", "icarus", "dune"])
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
    try:
        made = plans(root / "records", options.runs, options.profile)
        files, size = len(made[0][1].entities), sum(len(one.fcl) for one in made[0][1].entities)
        print(f"{options.runs} runs of {files} entities, {size / 1e6:.1f} MB of FHiCL each\n")
        print("| backend | import, ms a run | export, ms a run |\n|---|---|---|")
        bundle = standin.install(root / "bundle")
        tools = through_tools(
            ArtdaqDb(
                database_uri=f"filesystemdb://{root}/tools",
                conftoolp_dir=bundle,
                fcl_conf_dir=root,
                call_timeout_seconds=300,
            )
        )
        with mongodb_uri(root) as uri:
            backends: dict[str, ArtdaqDB | None] = {
                "builtin (files)": FileSystemDB(f"filesystemdb://{root}/files"),
                "mongodb": None if uri is None else MongoDB(ArtdaqDb(database_uri=uri)),
                "conftoolp (stand-in)": ConftoolpDB(
                    library_settings(f"filesystemdb://{root}/library", STANDIN, seconds=300), 1
                ),
                "tools (stand-ins)": tools,
            }
            for name, database in backends.items():
                if database is None:
                    print(f"| {name} | no server | |")
                    continue
                imported, exported = asyncio.run(measure(database, made))
                print(f"| {name} | {imported * 1000:.0f} | {exported * 1000:.0f} |", flush=True)
    finally:
        remove_tree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
