"""Documents as BSON: nothing that FHiCL may hold is lost, and no bytes crash the reader."""

from __future__ import annotations

import json
import random

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd import fhicl
from archiverd.artdaqdb.documents import DocumentPlace, stored, text
from archiverd.artdaqdb.mongo.documents import DEPTH_LIMIT, to_bson, to_json
from archiverd.artdaqdb.port import Entity
from archiverd.core.errors import ArtdaqDBError

OID = "0123456789ab4def81234567"
PLACE = DocumentPlace(OID, "RunHistory", "7/demo", "7/demov1", 7, "2026-11-23T16:40:16.255-0600")

# the characters JSON's own escapes are for, and some that need none
_STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8).map(
    lambda key: f"k{key}"
)


class Pairs(tuple[tuple[str, object], ...]):
    """A JSON object with its keys in order, some perhaps twice."""

    __slots__ = ()


_VALUES = st.recursive(
    st.one_of(_STRINGS, st.booleans(), st.integers(-(2**63), 2**63 - 1)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.lists(st.tuples(_KEYS, inner), max_size=4).map(Pairs)),
    max_leaves=20,
)
_OBJECTS = st.lists(st.tuples(st.sampled_from(["a", "a", "b.c", "$d", ""]), _VALUES), max_size=5).map(Pairs)


def written(value: object) -> str:
    """Return JSON in the library's dialect."""
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{text(key)} : {written(one)}" for key, one in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return text(value) if isinstance(value, str) else json.dumps(value)


def read(json_text: bytes) -> object:
    """Return JSON with its objects as pairs."""
    return json.loads(json_text, object_pairs_hook=Pairs, strict=False)


@given(_OBJECTS)
def test_bson_and_back_keeps_everything(value: Pairs) -> None:
    """Duplicate, dotted and empty keys, nested arrays, every string and integer come back, in order."""
    assert read(to_json(to_bson(written(value).encode(), "x"))) == value


@given(_OBJECTS)
def test_the_bson_is_what_the_driver_reads(value: Pairs) -> None:
    """An independent reader finds the same values; of a key that occurs twice it keeps the last."""

    def plain(one: object) -> object:
        if isinstance(one, Pairs):
            return {key: plain(inner) for key, inner in one}
        return [plain(inner) for inner in one] if isinstance(one, list) else one

    assert bson.decode(to_bson(written(value).encode(), "x")) == plain(value)


@pytest.mark.parametrize(
    "fcl",
    [
        "a: 1\na: 2\nt: {x: 1}\nt: {x: 2}\n",
        "a.b: 1\nc: [[1, 2], [[3]], [], {}]\n",
        'x: "q\\"\\\\ \\n" # c "d" \\ e\ny: \'back\\slash / \\/ \'\n',
        "BEGIN_PROLOG\np: 1\nEND_PROLOG\nq: @local::p\nn: @nil\nr: (1,2)\n",
        "",
    ],
)
def test_a_document_exports_the_same_from_bson(fcl: str) -> None:
    """What MongoDB holds is exported byte for byte as from the document's file."""
    document = stored(Entity("RunHistory", "e", fcl.encode() or b"# nothing\n"), PLACE)
    back = to_json(to_bson(document, "e"))
    assert fhicl.read_document(back, "e") == fhicl.read_document(document, "e")


def test_the_object_id_is_no_string() -> None:
    """``_id`` is an ObjectId and line numbers are integers, as the library sends them (B.2)."""
    document = bson.decode(to_bson(stored(Entity("RunHistory", "e", b"a: 1 # x\n"), PLACE), "e"))
    assert document["_id"] == bson.ObjectId(OID)
    assert document["comments"] == [{"linenum": 1, "value": "# x"}]
    assert document["bookkeeping"]["isdeleted"] is False


@pytest.mark.parametrize("depth", [DEPTH_LIMIT, 2000])
def test_what_is_too_deep_is_named(depth: int) -> None:
    """A document deeper than MongoDB stores, or than Python recurses, is an error that names its entity."""
    deep = b'{"a":' * depth + b"[]" + b"}" * depth
    with pytest.raises(ArtdaqDBError, match="Entity e of run 7 has tables inside each other, deeper than the 180"):
        to_bson(deep, "Entity e of run 7")


def test_what_is_just_not_too_deep_is_held() -> None:
    """The limit is the last level that is taken."""
    deep = b'{"a":' * (DEPTH_LIMIT - 1) + b"[]" + b"}" * (DEPTH_LIMIT - 1)
    assert to_json(to_bson(deep, "x")) == deep


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_damaged_at_most(data: bytes) -> None:
    """Bytes that are no BSON raise ValueError and nothing else, and never run away."""
    try:
        to_json(data)
    except ValueError:
        return
    bson.decode(data)


@given(st.integers(0, 2**32))
def test_a_document_with_wrong_bytes_is_damaged_at_most(seed: int) -> None:
    """Single bytes of a real document changed, or its end cut off, give a document or ValueError."""
    dice = random.Random(seed)
    data = bytearray(to_bson(stored(Entity("RunHistory", "e", b"a: [1, {b: 2}] # x\n"), PLACE), "e"))
    for _ in range(dice.randint(1, 3)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    try:
        to_json(bytes(data[: dice.choice([len(data), dice.randrange(len(data))])]))
    except ValueError:
        return
