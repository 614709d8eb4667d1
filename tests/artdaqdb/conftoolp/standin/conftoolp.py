"""A stand-in for the experiment's library: the same calls and answers, over our own engine.

What it is to do wrong is told by files in the directory ``$CONFTOOLP_FAULTS``: ``<function>.once`` (removed when it is
heeded), ``<function>.always``, or ``random.json`` with ``seed``, ``rate`` and ``faults``. Faults: ``hang``, ``abort``,
``kill`` and ``raise`` before the call has its effect, the same with ``-after`` once it has had it, ``refuse: <text>``,
``answer: <text>``, and ``sleep: <seconds>``, after which it works. Unlike the real library's, its index survives being
killed amid a store.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archiverd import fhicl
from archiverd.artdaqdb.filesystem.index import CONFIGURATION, ENTITY, RUN, VERSION, Index
from archiverd.artdaqdb.filesystem.store import make_oid
from archiverd.artdaqdb.filesystem.tree import Tree
from archiverd.artdaqdb.port import Entity
from archiverd.core.errors import ArtdaqDBError, FhiclError
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = tuple[bool, str]


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
    wanted = filters.get(CONFIGURATION)
    section, pattern = (ENTITY, filters.get(ENTITY, "notprovided")) if wanted is None else (CONFIGURATION, wanted)
    with tree() as opened:
        index = opened.indexes.get(query["collection"], Index())
        versions = {oid: version for version in index.keys(VERSION) for oid in index.of(VERSION, version)}
        pairs = sorted(
            {
                (key, versions[oid])
                for key in index.keys(section)
                if like(key, pattern)
                for oid in index.of(section, key)
            }
        )
    names = [(key if wanted is None else filters.get(ENTITY, "notprovided"), version) for key, version in pairs]
    return True, listed(
        query,
        [
            (version, request("load", {"version": version, ENTITY: entity}, query["collection"]))
            for entity, version in names
        ],
    )


def _find_configurations(query: dict[str, Any]) -> Answer:
    pattern = query["filter"].get(CONFIGURATION)
    stamps: dict[str, str] = {}
    with tree() as opened:
        for index in opened.indexes.values():
            for name in index.keys(CONFIGURATION):
                if pattern is not None and like(name, pattern):
                    stamps[name] = max(stamps.get(name, ""), index.last_assigned(name)[:19])
    names = sorted(sorted(stamps), key=lambda one: stamps[one], reverse=True)
    return True, listed(query, [(name, request("buildfilter", {CONFIGURATION: name})) for name in names])


def _find_entities(query: dict[str, Any]) -> Answer:
    pattern = query["filter"].get(ENTITY, "*")
    with tree() as opened:
        names = [
            (name, collection)
            for collection, index in collections(opened)
            for name in sorted(index.keys(ENTITY))
            if like(name, pattern)
        ]
    return True, listed(query, [(name, request("findversions", {ENTITY: name}, where)) for name, where in names])


def _composition(query: dict[str, Any]) -> Answer:
    pattern = query["filter"][CONFIGURATION]
    items = []
    with tree() as opened:
        for collection, index in collections(opened):
            entities = {oid: name for name in index.keys(ENTITY) for oid in index.of(ENTITY, name)}
            wanted = (name for name in index.keys(CONFIGURATION) if like(name, pattern))
            found = {(name, entities[oid]) for name in wanted for oid in index.of(CONFIGURATION, name)}
            for name, entity in sorted(found):
                filters = {CONFIGURATION: name, ENTITY: entity}
                items.append({"name": f"{name}:{entity}", "query": request("load", filters, collection)})
    if not items:
        return False, failure("operation_confcomposition", "No search filters were found.")
    return True, layout({"search": items})


def _write(query: dict[str, Any], text: str) -> Answer:
    filters = query["filter"]
    entity = Entity(query["collection"], filters[ENTITY], text.encode())
    with tree() as opened:
        try:
            opened.store([entity], filters[CONFIGURATION], filters["version"], int(filters[RUN]))
        except FhiclError as error:
            return False, failure("Parse error", str(error))
    return True, text


def _read(query: dict[str, Any]) -> Answer:
    with tree() as opened:
        index = opened.indexes.get(query["collection"], Index())
        criteria = query["filter"]
        collected = [oid for section, name in criteria.items() for oid in index.of(section, name)]
        if len(collected) >= 2 and len(criteria) > 1:
            whole = {oid for oid in collected if collected.count(oid) >= len(criteria)}
            collected = sorted(whole or set(collected))
        if not collected:
            return False, failure("read_document", "No documents found.")
        versions = {oid: version for version in index.keys(VERSION) for oid in index.of(VERSION, version)}
        chosen = max(sorted(collected), key=lambda oid: versions.get(oid, ""))
        text = (opened.root / query["collection"] / f"{chosen}.json").read_bytes()
    if query["dataformat"] == "origin":
        return True, fhicl.read_document(text, chosen).fcl.decode()
    return True, text.decode()


@contextmanager
def tree() -> Iterator[Tree]:
    """Open the database of the environment for one call."""
    uri = os.environ["ARTDAQ_DATABASE_URI"]
    opened = Tree(
        Path(uri.removeprefix("filesystemdb://")), uri, RealDisk(), lambda: datetime.now().astimezone(), make_oid
    )
    opened.open()
    try:
        yield opened
    finally:
        opened.close()


def collections(opened: Tree) -> list[tuple[str, Index]]:
    """Return the collections, SystemLayout first as in the recorded answers."""
    return sorted(opened.indexes.items(), key=lambda one: (one[0] != "SystemLayout", one[0]))


def like(name: str, pattern: str) -> bool:
    """Compare with a pattern: only a ``*`` at its end is special (A.6.1)."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def request(operation: str, filters: dict[str, str], collection: str = "") -> dict[str, Any]:
    """Return a query as the answers hold them (D.2)."""
    where = {"collection": collection} if collection else {}
    return {**where, "dbprovider": "filesystem", "dataformat": "gui", "operation": operation, "filter": filters}


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
    print(f"{function} called")  # noqa: T201  noise is the point
    fault = chosen_fault(function)
    kind, _, text = fault.partition(": ")
    if kind == "refuse":
        return False, failure(function, text)
    if kind == "answer":
        return True, text
    if kind == "sleep":
        time.sleep(float(text))
    if not kind.endswith("-after"):
        fail(kind)
    try:
        answer = work()
    except ArtdaqDBError as error:
        return False, failure("FileSystemDB", error.message)
    if kind.endswith("-after"):
        fail(kind.removesuffix("-after"))
    return answer


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


def chosen_fault(function: str) -> str:
    """Return the fault for this call, empty for none; the n-th call of all fails the same way every time."""
    told = os.environ.get("CONFTOOLP_FAULTS")
    if not told:
        return ""
    directory = Path(told)
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
    with (directory / "calls").open("ab") as calls:
        calls.write(b".")
    generator = random.Random(f"{settings['seed']} {(directory / 'calls').stat().st_size}")
    return generator.choice(settings["faults"]) if generator.random() < settings["rate"] else ""
