"""What is sent to MongoDB is what the real library sent, and what it left there is read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import ObjectId, json_util

from archiverd import fhicl
from archiverd.artdaqdb.documents import DocumentPlace, stored
from archiverd.artdaqdb.mongo.documents import to_bson
from archiverd.artdaqdb.port import Entity
from tests.artdaqdb.conftest import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from .scripted import Scripted

STAMP = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d{4}")
INSERTED: list[dict[str, Any]] = json.loads(json.dumps(recorded("mongodb.json")))
STORES = {(store["version"], store["entity"]): store for store in json.loads(json.dumps(recorded("stores.json")))}


def names(document: dict[str, Any]) -> str:
    """Return a recorded document's version and entity."""
    return f"{document['version']} {document['entities'][0]['name']}"


def entity(document: dict[str, Any]) -> Entity:
    """Return what a recorded document was made of."""
    name = document["entities"][0]["name"]
    return Entity("RunHistory", name, STORES[document["version"], name]["fcl"].encode())


@pytest.mark.parametrize("there", INSERTED, ids=names)
def test_a_document_is_what_the_library_inserts(there: dict[str, Any]) -> None:
    """Every key in its order, every type and every value are the library's, times apart."""
    (configuration,) = (one["name"] for one in there["configurations"])
    run = int(there["runs"][0]["name"])
    place = DocumentPlace(there["_id"]["$oid"], "RunHistory", configuration, there["version"], run, "T")
    made = bson.decode(to_bson(stored(entity(there), place), "x"))
    assert json_util.dumps(made) == STAMP.sub("T", json.dumps(there))


async def test_a_database_of_the_librarys_is_listed_exported_and_added_to(
    scripted: Scripted, connect: Callable[..., Any]
) -> None:
    """Runs and updates that the library stored count as archived and export as ours do; the next update is ours."""
    layout = {
        one["version"]: {**one, "_id": {"$oid": str(ObjectId())}, "collection": "SystemLayout"} for one in INSERTED
    }
    for collection, documents in (("RunHistory", INSERTED), ("SystemLayout", layout.values())):
        scripted.collections[collection] = [bson.encode(json_util.loads(json.dumps(one))) for one in documents]
    db = await connect(scripted.uri)
    listed = {run: (one.configuration, one.update) for run, one in (await db.list_runs()).items()}
    assert listed == {1001: ("1001/demo00001", 1), 1002: ("1002/demo00001", 2), 1003: ("1003/calib_laser00012", 0)}
    newest = {one["entities"][0]["name"]: one for one in INSERTED if one["version"].startswith("1002/")}
    exported = {one.name: one for one in await db.export(1002) if one.collection == "RunHistory"}
    assert exported.keys() == newest.keys()
    for name, one in exported.items():
        assert one.version == newest[name]["version"]
        assert one.fcl == fhicl.from_json(fhicl.to_json(entity(newest[name]).fcl, name, ""), name)
    again = [Entity("RunHistory", "RunHistory2", b"stop: 1\n")]
    assert await db.update(1002, "demo00001", again) == "1002/demo00001v3"
