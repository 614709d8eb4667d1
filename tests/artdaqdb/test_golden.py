"""What is written is, byte for byte, what the real library wrote."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.documents import DocumentPlace, stored
from archiverd.artdaqdb.filesystem.index import Index
from archiverd.artdaqdb.port import Entity

from .conftest import recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archiverd.artdaqdb.filesystem.store import FileSystemDB

STAMP = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d{4}")
DOCUMENTS = {name: text for name, text in recorded("run_history.json").items() if name != "index.json"}
INDEXES = recorded("indexes.json")
STORES = {(store["version"], store["entity"]): store for store in json.loads(json.dumps(recorded("stores.json")))}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_stored_document_is_the_librarys(name: str) -> None:
    """A document has every byte of the library's, times apart."""
    text = DOCUMENTS[name]
    there = json.loads(text, strict=False)
    store = STORES[there["version"], there["entities"][0]["name"]]
    place = DocumentPlace(
        name.removesuffix(".json"), "RunHistory", store["configuration"], store["version"], store["run"], "T"
    )
    made = stored(Entity("RunHistory", store["entity"], store["fcl"].encode()), place)
    assert made.decode() == STAMP.sub("T", text)


@pytest.mark.parametrize("name", sorted(INDEXES))
def test_an_index_is_read_and_written_without_a_change(name: str) -> None:
    """Reading the library's index.json and writing it gives the same bytes."""
    index = Index.parse(INDEXES[name].encode(), name)
    assert b"".join(index.chunks()).decode() == INDEXES[name]
    assert len(list(index)) == len(index)
    assert all(oid in index for oid in index)


async def test_a_tree_is_the_librarys_after_normalising_ids_and_times(
    make: Callable[..., FileSystemDB], tmp_path: Path
) -> None:
    """Three runs and their updates, stored through the port, give the recorded collection."""
    db = make()
    await db.open()
    versions: dict[tuple[int, str, str], list[Entity]] = {}
    for store in STORES.values():
        key = (store["run"], store["configuration"], store["version"])
        versions.setdefault(key, []).append(Entity("RunHistory", store["entity"], store["fcl"].encode()))
    for (run, configuration, version), stored_now in versions.items():
        name = configuration.partition("/")[2]
        schema = Entity("SystemLayout", "schema", f"version: '{version}'\n".encode())
        if version == configuration:
            await db.insert(run, name, [*stored_now, schema])
        else:
            assert await db.update(run, name, [*stored_now, schema]) == version
    await db.close()
    ours = {path.name: path.read_text() for path in (tmp_path / "db" / "RunHistory").iterdir()}
    assert normalised(ours) == normalised(recorded("run_history.json"))


async def test_bulkloaders_tree_is_reproduced_too(make: Callable[..., FileSystemDB], tmp_path: Path) -> None:
    """The same runs, as bulkloader stores them (no hashes), give the recorded collection, whatever the order."""
    recorded_tree = recorded("bulkloader.json")
    there = [json.loads(text, strict=False) for name, text in recorded_tree.items() if name != "index.json"]
    runs: dict[str, list[Entity]] = {}
    for document in there:
        entity = document["entities"][0]["name"]
        store = STORES[document["version"], entity]
        runs.setdefault(document["version"], []).append(Entity("RunHistory", entity, store["fcl"].encode()))
    db = make()
    await db.open()
    for version, meant in runs.items():
        run, _, name = version.partition("/")
        await db.insert(int(run), name, [*meant, Entity("SystemLayout", "schema", b"a: 1\n")])
    await db.close()
    ours, theirs = (
        normalised(files)
        for files in ({p.name: p.read_text() for p in (tmp_path / "db" / "RunHistory").iterdir()}, recorded_tree)
    )
    assert ours[0] == theirs[0]
    assert unordered(ours[1]) == unordered(theirs[1])


def unordered(index: object) -> object:
    """Return a normalised index without the order in which its keys were inserted."""
    assert isinstance(index, dict)
    return {section: sorted(content) for section, content in index.items()}


def normalised(files: dict[str, str]) -> tuple[dict[str, str], object]:
    """Return a collection's documents and its index with ids as version:entity and without times."""
    names = {}
    for name, text in files.items():
        if name != "index.json":
            document = json.loads(text, strict=False)
            names[name.removesuffix(".json")] = f"{document['version']}:{document['entities'][0]['name']}"
    documents = {}
    for name, text in files.items():
        if name != "index.json":
            oid = name.removesuffix(".json")
            documents[names[oid]] = STAMP.sub("T", text).replace(oid, names[oid])
    index = json.loads(files["index.json"])
    for section, content in index.items():
        if section == "ouid":
            index[section] = sorted(names[oid] for oid in content)
        elif section == "configurations.assigned":
            index[section] = list(content)
        else:
            index[section] = [(key, sorted(names[oid] for oid in oids)) for key, oids in content.items()]
    return documents, index
