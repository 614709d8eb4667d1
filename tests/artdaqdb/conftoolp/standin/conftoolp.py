"""A stand-in for the experiment's library: the same calls and answers, over our own engine.

It stores as the real one does (A.2, A.5): a document, then the whole index.json, with nothing that would survive being
killed in between. A ``mongodb://`` URI is taken for the directory ``mongodb`` beside the files of faults, one call at a
time as a server would, with that provider's other answers (B.3, B.4).

What it is to do wrong is told by files in the directory ``$CONFTOOLP_FAULTS``: ``<function>.once`` (removed when it is
heeded), ``<function>.always``, or ``random.json`` with ``seed``, ``rate`` and ``faults``. Faults: ``hang``, ``abort``,
``kill``, ``memory`` and ``raise`` before the call has its effect, the same with ``-after`` once it has had it, or with
``-amid-document`` (half of it is written), ``-amid-indexing`` (its index is not written) and ``-amid-index`` (half of
that is), ``refuse: <text>``, ``answer: <text>``, and ``sleep: <seconds>``, after which it works.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archiverd import fhicl
from archiverd.artdaqdb.documents import DocumentPlace, stored, system_metadata, timestamp
from archiverd.artdaqdb.filesystem.index import CONFIGURATION, EMPTY, ENTITY, RUN, VERSION, Index, Names
from archiverd.artdaqdb.filesystem.object_ids import make_oid
from archiverd.artdaqdb.port import Entity
from archiverd.artdaqdb.rules import SYSTEM_METADATA
from archiverd.core.errors import ArtdaqDBError, FhiclError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = tuple[bool, str]

CALL_LENGTH = 58
"""Bytes of a line in the file ``calls`` beside the faults: time, process id and function of a call."""

told_fault = ""
"""What the present call is to do wrong."""


@dataclass(frozen=True)
class Row:
    """What an index holds of one document."""

    oid: str
    version: str
    configuration: str
    entity: str
    run: str

    def fits(self, criteria: dict[str, str]) -> bool:
        """Compare as MongoDB does: every criterion, exactly."""
        mine = {VERSION: self.version, CONFIGURATION: self.configuration, ENTITY: self.entity, RUN: self.run}
        return all(mine[section] == value for section, value in criteria.items())


def find_versions(query: str) -> Answer:
    """Return the versions of one collection (A.6.2)."""
    return faulty("find_versions", lambda: _find_versions(json.loads(query)))


def find_configurations(query: str) -> Answer:
    """Return configurations of all collections, last assigned first (A.6.2)."""
    return faulty("find_configurations", lambda: _find_configurations(json.loads(query)))


def find_entities(query: str) -> Answer:
    """Return the entity names of every collection (A.6.2)."""
    return faulty("find_entities", lambda: _find_entities(json.loads(query)))


def configuration_composition(query: str) -> Answer:
    """Return a query for every entity of a configuration (A.6.2)."""
    return faulty("configuration_composition", lambda: _composition(json.loads(query)))


def write_document(query: str, text: str) -> Answer:
    """Store one document, whatever is there already."""
    return faulty("write_document", lambda: _write(json.loads(query), text))


def read_document(query: str) -> Answer:
    """Return the matching document with the greatest version, or another one (A.6.3)."""
    return faulty("read_document", lambda: _read(json.loads(query)))


def _find_versions(query: dict[str, Any]) -> Answer:
    filters = query["filter"]
    rows = rows_of(query["collection"])
    if on_mongodb():
        entity = filters.get(ENTITY, "*")
        exact = {section: value for section, value in filters.items() if section != ENTITY}
        found = [(row.entity, row.version) for row in rows if row.fits(exact) and like(row.entity, entity)]
    elif CONFIGURATION in filters:
        wanted = {(row.configuration, row.version) for row in rows if like(row.configuration, filters[CONFIGURATION])}
        found = [(filters.get(ENTITY, "notprovided"), version) for _, version in sorted(wanted)]
    else:
        pattern = filters.get(ENTITY, "notprovided")
        found = sorted({(row.entity, row.version) for row in rows if like(row.entity, pattern)})
    items = [
        (version, request("load", {"version": version, ENTITY: entity}, query["collection"]))
        for entity, version in found
    ]
    return True, listed(query, items)


def _find_configurations(query: dict[str, Any]) -> Answer:
    pattern = query["filter"].get(CONFIGURATION)
    if pattern is None and on_mongodb():
        return False, failure("MongoDB", f'Search JSONDocument is missing the "{CONFIGURATION}" element.')
    stamps: dict[str, str] = {}
    for name in collections():
        index = read_index(name)
        for configuration in index.keys(CONFIGURATION):
            if pattern is not None and like(configuration, pattern):
                stamp = index.last_assigned(configuration)[:19]
                stamps[configuration] = max(stamps.get(configuration, ""), stamp)
    names = sorted(sorted(stamps), key=lambda one: stamps[one], reverse=True)
    return True, listed(query, [(name, request("buildfilter", {CONFIGURATION: name})) for name in names])


def _find_entities(query: dict[str, Any]) -> Answer:
    pattern = query["filter"].get(ENTITY, "*")
    names = [
        (name, collection)
        for collection in collections()
        for name in sorted({row.entity for row in rows_of(collection)})
        if like(name, pattern)
    ]
    return True, listed(query, [(name, request("findversions", {ENTITY: name}, where)) for name, where in names])


def _composition(query: dict[str, Any]) -> Answer:
    pattern = query["filter"][CONFIGURATION]
    items = []
    for collection in collections():
        rows = rows_of(collection)
        found = [(row.configuration, row.entity) for row in rows if like(row.configuration, pattern)]
        for name, entity in found if on_mongodb() else sorted(set(found)):
            filters = {CONFIGURATION: name, ENTITY: entity}
            items.append({"name": f"{name}:{entity}", "query": request("load", filters, collection)})
    if not items:
        nothing = f"No results found for {pattern}" if on_mongodb() else "No search filters were found."
        return False, failure("operation_confcomposition", nothing)
    return True, layout({"search": items})


def _write(query: dict[str, Any], text: str) -> Answer:
    filters, collection = query["filter"], query["collection"]
    stamp = timestamp(datetime.now().astimezone())
    place = DocumentPlace(make_oid(), collection, filters[CONFIGURATION], filters["version"], int(filters[RUN]), stamp)
    try:
        document = stored(Entity(collection, filters[ENTITY], text.encode()), place)
    except FhiclError as error:
        return False, failure("Parse error", str(error))
    describe()
    (root() / collection).mkdir(exist_ok=True)
    write_file(root() / collection / f"{place.oid}.json", document, "document")
    maybe("indexing")
    index = read_index(collection)
    names = Names(place.version, (place.configuration,), (stamp,), (filters[ENTITY],), (filters[RUN],))
    index.add(place.oid, names)
    write_file(root() / collection / "index.json", b"".join(index.chunks()), "index")
    return True, text


def _read(query: dict[str, Any]) -> Answer:
    criteria = query["filter"]
    index = read_index(query["collection"])
    rows = {row.oid: row for row in rows_of(query["collection"])}
    if on_mongodb():
        collected = [oid for oid, row in rows.items() if row.fits(criteria)]
    else:
        collected = [oid for section, name in criteria.items() for oid in index.of(section, name)]
        if len(collected) >= 2 and len(criteria) > 1:
            whole = {oid for oid in collected if collected.count(oid) >= len(criteria)}
            collected = sorted(whole or set(collected))
    if not collected:
        return False, failure("read_document", "No documents found.")
    chosen = max(sorted(collected), key=lambda oid: rows[oid].version if oid in rows else "")
    text = (root() / query["collection"] / f"{chosen}.json").read_bytes()
    if query["dataformat"] == "origin":
        return True, fhicl.read_document(text, chosen).fcl.decode()
    return True, text.decode()


def on_mongodb() -> bool:
    """Tell whether the environment's URI is taken for a MongoDB: it begins so (A.1)."""
    return os.environ["ARTDAQ_DATABASE_URI"].startswith("mongo")


def root() -> Path:
    """Return the database's directory."""
    if on_mongodb():
        return Path(os.environ["CONFTOOLP_FAULTS"], "mongodb")
    return Path(os.environ["ARTDAQ_DATABASE_URI"].removeprefix("filesystemdb://"))


def describe() -> None:
    """Make the database if it is new (A.3)."""
    directory = root() / SYSTEM_METADATA
    if not directory.is_dir():
        directory.mkdir(parents=True)
        oid = make_oid()
        described = system_metadata(os.environ["ARTDAQ_DATABASE_URI"], oid, datetime.now().astimezone())
        (directory / f"{oid}.json").write_bytes(described)


def collections() -> list[str]:
    """Return the collections, SystemLayout first as in the recorded answers; each gets an index (A.2)."""
    describe()
    names = sorted(path.name for path in root().iterdir() if path.is_dir())
    for name in names:
        read_index(name)
    return sorted((name for name in names if name != SYSTEM_METADATA), key=lambda one: (one != "SystemLayout", one))


def read_index(collection: str) -> Index:
    """Return a collection's index; an empty one is made if there is none (A.2)."""
    describe()
    path = root() / collection / "index.json"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(EMPTY)
    return Index.parse(path.read_bytes(), str(path))


def rows_of(collection: str) -> list[Row]:
    """Return a collection's documents."""
    index = read_index(collection)
    held: dict[str, dict[str, str]] = {}
    for section in (VERSION, CONFIGURATION, ENTITY, RUN):
        for key in index.keys(section):
            for oid in index.of(section, key):
                held.setdefault(oid, {})[section] = key
    return [Row(oid, one[VERSION], one[CONFIGURATION], one[ENTITY], one[RUN]) for oid, one in held.items()]


def write_file(path: Path, data: bytes, what: str) -> None:
    """Write over a file, with a bad moment in the middle."""
    with path.open("wb", buffering=0) as file:
        file.write(data[: len(data) // 2])
        maybe(what)
        file.write(data[len(data) // 2 :])


@contextmanager
def alone() -> Iterator[None]:
    """Be the only caller, where a server would see to that."""
    if not on_mongodb():
        yield
        return
    with Path(os.environ["CONFTOOLP_FAULTS"], "server").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def like(name: str, pattern: str) -> bool:
    """Compare with a pattern: only a ``*`` at its end is special (A.6.1)."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def request(operation: str, filters: dict[str, str], collection: str = "") -> dict[str, Any]:
    """Return a query as the answers hold them (D.2)."""
    where = {"collection": collection} if collection else {}
    return {
        **where,
        "dbprovider": "mongo" if on_mongodb() else "filesystem",
        "dataformat": "gui",
        "operation": operation,
        "filter": filters,
    }


def listed(query: dict[str, Any], items: list[tuple[str, dict[str, Any]]]) -> str:
    """Return names with their queries in the format that was asked for (D.1, D.2)."""
    if query["dataformat"] == "csv":
        return ",".join(name for name, _ in items)
    texts = [layout({"name": name, "query": one}) for name, one in items]
    return '{ "search": [' + ("\n" + ",".join(texts) if texts else "") + "] }"


def layout(value: Any) -> str:
    """Return JSON in the library's layout (A.7)."""
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(key)} : {layout(one)}" for key, one in value.items()) + "\n}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(layout, value)) + "\n]"
    return json.dumps(value, ensure_ascii=False)


def failure(category: str, message: str) -> str:
    """Return the text of a C++ exception (D.3)."""
    return (
        "Process exited\nStack trace [2 frames] @ __cxa_throw():\n#1 0x7f00\n#2 0x7f01\n"
        "Error: Dynamic exception type: artdaq::database::runtime_error\n"
        f"std::exception::what: ---- {category} BEGIN\n  {message}\n---- {category} END\n\n"
    )


def faulty(function: str, work: Callable[[], Answer]) -> Answer:
    """Do ``work``, or what the files of faults say instead; make noise on stdout in any case."""
    global told_fault  # noqa: PLW0603  one call at a time
    print(f"{function} called")  # noqa: T201  noise is the point
    told_fault = chosen_fault(function)
    kind, _, text = told_fault.partition(": ")
    if kind == "refuse":
        return False, failure(function, text)
    if kind == "answer":
        return True, text
    if kind == "sleep":
        time.sleep(float(text))
    fail(kind)
    try:
        with alone():
            answer = work()
    except ArtdaqDBError as error:
        return False, failure("FileSystemDB", error.message)
    maybe("after")
    return answer


def maybe(moment: str) -> None:
    """Misbehave if this is the moment for it."""
    for kind in (told_fault.removesuffix(f"-amid-{moment}"), told_fault.removesuffix(f"-{moment}")):
        if kind != told_fault:
            fail(kind)


def fail(kind: str) -> None:
    """Misbehave, or return."""
    if kind == "hang":
        time.sleep(600)
    elif kind == "abort":
        print("terminate called after throwing an instance", file=sys.stderr, flush=True)  # noqa: T201
        os.abort()
    elif kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "raise":
        raise RuntimeError("told to raise")
    elif kind == "memory":
        held = []
        while True:
            held.append(bytearray(64 << 20))


def chosen_fault(function: str) -> str:
    """Return the fault for this call, empty for none; the n-th call of all fails the same way every time."""
    told = os.environ.get("CONFTOOLP_FAULTS")
    if not told:
        return ""
    directory = Path(told)
    with (directory / "calls").open("ab") as calls:
        calls.write(f"{time.time():17.6f} {os.getpid():8} {function:30}\n".encode())
        number = calls.tell() // CALL_LENGTH
    once, always, by_chance = (
        directory / f"{function}.once",
        directory / f"{function}.always",
        directory / "random.json",
    )
    if once.exists():
        fault = once.read_text()
        once.unlink()
        return fault
    if always.exists():
        return always.read_text()
    if not by_chance.exists():
        return ""
    settings = json.loads(by_chance.read_text())
    generator = random.Random(f"{settings['seed']} {number}")
    return generator.choice(settings["faults"]) if generator.random() < settings["rate"] else ""
