"""Stand-ins for bulkloader and bulkdownloader: their arguments, texts, exit codes and traps, over our own engine.

They do what artdaqdb_format.md section E records of the real ones: no version, no check for duplicates, the schema
told by its path, every other text in RunHistory, index entries lost by threads. A file ``fault`` beside the program
makes the next calls go wrong; every call is noted in ``calls``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.artdaqdb.filesystem import tree as tree_room
from archiverd.artdaqdb.filesystem.runs import TreeRuns
from archiverd.artdaqdb.filesystem.tree import Tree
from archiverd.artdaqdb.port import Entity
from archiverd.core.errors import FhiclError
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archiverd.fhicl import Document

NOTHING = """Failed loading configuration composition for {}
Error message:Process exited
Error: Dynamic exception type: artdaq::database::runtime_error
std::exception::what: ---- operation_confcomposition BEGIN
  No search filters were found.
---- operation_confcomposition END
"""
NO_SERVER = (
    "Error message:Process exited\nError: Dynamic exception type: mongocxx::v_noabi::exception\n"
    "std::exception::what: No suitable servers found: [connection refused calling hello on 'db:27017']: "
    "failed to create a client session\n"
)
KILLED = 128 + signal.SIGKILL
NAMES = {"bulkloader": "loading", "bulkdownloader": "downloading"}


def install(directory: Path) -> Path:
    """Put both programs into ``directory`` and return it."""
    directory.mkdir()
    root = Path(__file__).parents[3]
    for name, function in NAMES.items():
        program = directory / name
        program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
            f"from tests.artdaqdb.tools import standin\nstandin.main(standin.{function})\n"
        )
        program.chmod(0o755)
    return directory


def calls(directory: Path) -> list[dict[str, str]]:
    """Return the calls of the programs in ``directory``, oldest first."""
    path = directory / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main(work: Callable[[dict[str, str], str], int]) -> None:
    """Be the program: record the call, fail as the faults say, else work."""
    tree_room.take_lock = lambda _root: os.open(os.devnull, os.O_RDONLY)  # the real ones know of no lock
    own = Path(sys.argv[0]).parent
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    noted = {**options, "tool": Path(sys.argv[0]).name, "uri": os.environ["ARTDAQ_DATABASE_URI"]}
    noted["library"] = os.environ.get("LD_LIBRARY_PATH", "")
    noted["secrets"] = " ".join(name for name in os.environ if name.startswith(("ARCHIVERD_", "UCONDB_")))
    with (own / "calls").open("a") as file:
        file.write(json.dumps({**noted, "parent": str(os.getppid())}) + "\n")
    fault = (own / "fault").read_text() if (own / "fault").exists() else ""
    tool, _, fault = fault.rpartition(":")
    sys.exit(work(options, fault if tool in ("", noted["tool"]) else ""))


def go_wrong(fault: str) -> int | None:
    """Do what any program may do; return an exit code if that is all."""
    if fault == "hang":
        child = subprocess.Popen(["sleep", "600"])  # what a killed program leaves unless its group is killed
        Path(sys.argv[0]).with_name("child").write_text(str(child.pid))
        time.sleep(600)
    if fault == "sigfpe":
        os.kill(os.getpid(), signal.SIGFPE)
    if fault == "unreachable":
        sys.stderr.write(NO_SERVER)
        return 1
    if fault == "flood":
        while True:
            sys.stderr.write("x" * 65536)
            sys.stdout.write("x" * 65536)
    return None


def loading(options: dict[str, str], fault: str) -> int:
    """Store every file whose path holds ``.fcl``."""
    code = go_wrong(fault)
    if code is not None:
        return code
    entities = [
        Entity("SystemLayout", "schema", path.read_bytes())
        if "schema.fcl" in str(path)
        else Entity("RunHistory", path.stem, path.read_bytes())
        for path in sorted(Path(options["-p"]).rglob("*"))
        if ".fcl" in str(path) and path.is_file()
    ]
    if not entities:
        os.kill(os.getpid(), signal.SIGFPE)
    if fault.startswith("amid"):
        _die(options, entities[0], fault)
    if fault == "silent":
        stored = entities[1:]
    elif int(options.get("-t", os.cpu_count() or 2)) > 1:
        stored = entities[::3]
    else:
        stored = entities
    failed = _store(options, stored[:-1] if fault == "fail" else stored)
    if fault in ("fail", "exit 0"):
        failed.append("Failed loading file:x.fcl\nError message:Process exited\nError: disk trouble")
    sys.stdout.write(f"Loaded {len(entities)} files with {options['-t']} threads in 12 msecs.\n")
    if failed:
        sys.stderr.write("\n".join(failed) + f"\nError: Failed to load {len(failed)} file(s).\n")
    return 1 if failed and fault != "exit 0" else 0


def _store(options: dict[str, str], entities: list[Entity]) -> list[str]:
    """Store each entity on its own, as a duplicate if need be; return the complaints."""
    failed = []
    full = f"{options['-r']}/{options['-c']}"
    with _opened() as tree:
        for entity in entities:
            try:
                tree.store([entity], full, full, int(options["-r"]))
            except FhiclError as error:
                failed.append(f"Failed loading file:{entity.name}.fcl\nError message:{error}")
    return failed


def _die(options: dict[str, str], entity: Entity, fault: str) -> None:
    """Die storing the first entity: its index is not written, or half of it is, or half of the document."""
    collection = Path(os.environ["ARTDAQ_DATABASE_URI"].removeprefix("filesystemdb://")) / entity.collection
    index = collection / "index.json"
    before = {path: path.read_bytes() for path in collection.glob("*.json")}
    _store(options, [entity])
    (document,) = set(collection.glob("*.json")) - before.keys() - {index}
    if fault == "amid index":
        index.write_bytes(index.read_bytes()[:50])
    elif index in before:
        index.write_bytes(before[index])
    else:
        index.unlink()
    if fault == "amid document":
        document.write_bytes(document.read_bytes()[:50])
    os.kill(os.getpid(), signal.SIGKILL)


def downloading(options: dict[str, str], fault: str) -> int:
    """Write every entity of a configuration, of several versions the one that is greatest as a text."""
    code = go_wrong(fault)
    if code is not None:
        return code
    run, full = int(options["-r"]), f"{options['-r']}/{options['-c']}"
    newest = _newest(run, full)
    if not newest:
        sys.stderr.write(NOTHING.format(full))
        return 1
    top, prefix = Path(options["-p"]), options["-c"].rstrip("0123456789")
    for number, ((collection, name), one) in enumerate(sorted(newest.items())):
        directory = top if collection == "SystemLayout" else top / prefix
        directory.mkdir(exist_ok=True)
        if not (fault == "exit 0" and number == 0):
            (directory / f"{name}.fcl").write_bytes(one.fcl.upper() if fault == "wrong" else one.fcl)
    sys.stdout.write(f"Downloaded {len(newest)} files with 1 threads in 9 msecs.\n")
    if fault == "exit 0":
        sys.stderr.write("Error: Failed to export 1file(s).\n")
    return 0


def _newest(run: int, full: str) -> dict[tuple[str, str], Document]:
    newest: dict[tuple[str, str], Document] = {}
    with _opened() as tree:
        for one in TreeRuns(tree)._documents(full, run):
            key = (one.collection, one.entities[0])
            if key not in newest or one.version > newest[key].version:
                newest[key] = one
    return newest


@contextmanager
def _opened() -> Iterator[Tree]:
    uri = os.environ["ARTDAQ_DATABASE_URI"]
    root = Path(uri.removeprefix("filesystemdb://"))
    tree = Tree(root, uri, RealDisk(), lambda: datetime.now().astimezone(), lambda: uuid.uuid4().hex[:24])
    tree.open()
    try:
        yield tree
    finally:
        tree.close()
