"""Stored documents: reading them leniently, exporting them, and getting back what went in."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archiverd import fhicl
from archiverd.core.errors import FhiclError

from .recorded import ACCEPTED
from .texts import REPEATABLE, steady_texts, texts

ATOM = {"type": "number", "comment": "", "annotation": ""}


def document(data: object, children: object, **more: object) -> bytes:
    """Make a compact stored document with ``data`` in its main part, as a foreign writer would."""
    parts = {"prolog": {}, "main": data}
    described = {"prolog": {"children": {}}, "main": {"children": children}}
    whole = {"document": {"data": parts, "metadata": described}, "origin": {"format": "fhicl"}} | more
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def exported(data: object, children: object) -> bytes:
    """Export a document made from ``data`` and its descriptors."""
    return fhicl.from_json(document(data, children), "doc")


@REPEATABLE
@given(steady_texts())
def test_export_comes_back_the_same(text: bytes) -> None:
    """Importing an export and exporting it again gives the identical text, and the values never change."""
    first = fhicl.from_json(fhicl.to_json(text, "a", "t"), "a")
    assume(first)
    assert fhicl.from_json(fhicl.to_json(first, "a", "t"), "a") == first
    assert fhicl.parse_values(first, "a") == fhicl.parse_values(text, "a")


@REPEATABLE
@given(texts())
def test_whatever_imports_is_a_readable_document(text: bytes) -> None:
    """A document made by an import is read, and exported unless a key repeated at the top changes its kind."""
    try:
        values = fhicl.parse_values(text, "a")
    except FhiclError:
        return
    keys = [key for part in values.values() for key, _ in part]
    assume(len(set(keys)) == len(keys))
    fhicl.read_document(fhicl.to_json(text, "a", "t"), "a")


def test_repeated_key_of_another_kind_imports_but_cannot_be_exported() -> None:
    """The first descriptor of a repeated key is used for all: where it does not fit, the export says so."""
    imported = fhicl.to_json(b"a: 1\na: { b: 2 }\n", "a", "t")
    with pytest.raises(FhiclError, match='the value of "a" does not fit its type "number"'):
        fhicl.from_json(imported, "a")


@pytest.mark.parametrize("name", ["com_both", "prolog_simple", "seq_nested", "inc_many", "str_multiline"])
def test_foreign_writers_are_read(name: str) -> None:
    """The same document written compactly by Python reads and exports the same."""
    own = ACCEPTED[name].document
    foreign = json.dumps(json.loads(own, strict=False), ensure_ascii=False, separators=(",", ":")).encode()
    assert fhicl.read_document(foreign, "a") == fhicl.read_document(own, "a")


def test_names_of_a_stored_document() -> None:
    """Names, run and id of a stored document are read, decoded, with several configurations."""
    stored = document(
        {},
        {},
        version="1002/demo00001v2",
        entities=[{"name": "RunHistory2", "assigned": "T"}],
        configurations=[{"name": "1002/demo00001"}, {"name": 'q"\\/é'}, {"assigned": "T"}],
        runs=[{"name": "1002"}],
        collection="RunHistory",
        _id={"$oid": "cfff6abbab86482f8a7518b2"},
    )
    assert fhicl.read_document(stored, "a") == fhicl.Document(
        fcl=b"",
        version="1002/demo00001v2",
        configurations=("1002/demo00001", 'q"\\/é'),
        entities=("RunHistory2",),
        runs=("1002",),
        collection="RunHistory",
        oid="cfff6abbab86482f8a7518b2",
        origin_format="fhicl",
    )


def test_older_documents() -> None:
    """An older document has one configurable_entity and another form of id, and may lack everything else."""
    text = document({}, {}, configurable_entity={"name": "boot"}, _id={"_oid": "0" * 24})
    older = json.loads(text)
    del older["origin"]
    read = fhicl.read_document(json.dumps(older).encode(), "a")
    assert (read.entities, read.oid, read.origin_format) == (("boot",), "0" * 24, "")
    assert (read.version, read.configurations, read.runs, read.collection) == ("", (), (), "")


def test_other_origins() -> None:
    """A document that came from JSON exports its data, one of unknown origin itself, one from XML nothing."""
    whole = b'{"document": {"data": {"b": 1.25e2, "a": [true, "x"], "c": {}}}, "origin": {"format": "%s"}}'
    data = b'{\n"b" : 125.0,\n"a" : [\ntrue,\n"x"\n],\n"c" : {\n\n}\n}'
    assert fhicl.read_document(whole % b"json", "a").fcl == data
    assert (
        fhicl.read_document(whole % b"db", "a").fcl
        == b'{\n"document" : {\n"data" : ' + data + b'\n},\n"origin" : {\n"format" : "db"\n}\n}'
    )
    with pytest.raises(FhiclError, match="XML"):
        fhicl.read_document(whole % b"xml", "a")


def test_names_that_are_not_utf8_stay_distinct() -> None:
    """Bytes that are no UTF-8 in a name are shown, not lost."""
    text = document({}, {}, version="x").replace(b'"x"', b'"x\xb5"')
    assert fhicl.read_document(text, "a").version == "x\\xb5"


def test_duplicate_keys_take_the_first() -> None:
    """Look-ups in a document take the first of several members, also in large objects."""
    junk = {f"k{i}": ATOM for i in range(40)}
    children = junk | {"a": ATOM}
    first = b'"a":{"type":"nil","comment":"#first","annotation":""},'
    text = document({"a": "1"}, children).replace(b'"k1":', first + b'"k1":')
    assert fhicl.from_json(text, "doc") == b"#first\na: 1 \n"
    assert exported({"a": "1"}, children) == b"\na: 1 \n"


def test_the_dialects_strings() -> None:
    """Raw control characters are taken; a backslash before a character that is no escape is kept."""
    children = {"a": ATOM | {"type": "string_doublequoted"}}
    text = document({"a": "X"}, children).replace(b"X", b'tab\there\nline \\u00b5 \\/ \\" \\\\ \xff')
    assert fhicl.from_json(text, "doc") == b'\na: "tab\there\nline \\u00b5 \\/ " \\ \xff" \n'


def test_text_after_the_document_is_ignored() -> None:
    """What follows the closing brace of the document does not matter."""
    assert fhicl.from_json(document({"a": "1"}, {"a": ATOM}) + b"} anything", "doc") == b"\na: 1 \n"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("-0", b"0"),
        ("007", b"7"),
        ("9223372036854775807", b"9223372036854775807"),
        ("9223372036854775808", b"9.223e18"),
        ("-1.0005e-7", b"-1.0e-07"),
        ("99999.9", b"99999.9"),
        ("1.05", b"1.05"),
        ("100000.0", b"1.0e05"),
        ("0.0", b"0.0"),
        (".5", b"0.5"),
    ],
)
def test_native_numbers(number: str, text: bytes) -> None:
    """Numbers of older documents print as 64-bit integers, or with at most three decimals."""
    old = document({"a": 1}, {"a": ATOM}).replace(b'"a":1', b'"a":' + number.encode())
    assert fhicl.from_json(old, "doc") == b"\na: " + text + b" \n"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (b"[]", 1, 1),
        (b" ", 0, 1),
        (b"", 0, 1),
        (b'{"a": null}', 1, 7),
        (b'{"a":\n 1e5}', 2, 3),
        (b'{"a": 1,}', 1, 9),
        (b'{"a": [1,]}', 1, 10),
        (b'{"a" 1}', 1, 6),
        (b'{"a": "x', 1, 7),
        (b'{"a": "x\\', 1, 7),
        (b"{a: 1}", 1, 2),
        (b'{"a": -}', 1, 7),
        (b'{"a": {"b": [', 0, 1),
        (b'{"a": tru}', 1, 7),
    ],
)
def test_position_of_what_is_no_json(text: bytes, line: int, column: int) -> None:
    """Text that is not in the dialect is refused where it goes wrong."""
    for read in (fhicl.from_json, fhicl.read_document):
        with pytest.raises(FhiclError) as caught:
            read(text, "doc")
        assert (caught.value.line, caught.value.column) == (line, column), caught.value


@pytest.mark.parametrize(
    ("data", "descriptor"),
    [
        (["x"], ATOM),
        (True, ATOM),
        (1, ATOM | {"type": "string"}),
        (1, ATOM | {"type": "bool"}),
        (1, ATOM | {"type": "nil"}),
        ({}, ATOM | {"type": "sequence"}),
        ([], ATOM | {"type": "table"}),
        ("x", ATOM | {"type": 5}),
        ("x", ATOM | {"comment": 5}),
        ("x", ATOM | {"annotation": 5}),
        ("x", ATOM | {"protection": 5}),
        ("x", "no object"),
        ({"b": "x"}, ATOM | {"type": "table", "children": "no object"}),
        ({"b": 1}, ATOM | {"type": "table", "children": {"b": ATOM | {"type": "string"}}}),
        ([["x"]], ATOM | {"type": "sequence", "children": {"0": ATOM}}),
    ],
)
def test_values_that_do_not_fit_their_descriptor(data: object, descriptor: object) -> None:
    """A document whose descriptors do not fit its values is an error, wherever it is."""
    with pytest.raises(FhiclError):
        exported({"a": data}, {"a": descriptor})


def test_missing_descriptors_cut_short() -> None:
    """Where artdaqDB silently cuts a table or sequence short, so does the export."""
    table = ATOM | {"type": "table"}
    sequence = ATOM | {"type": "sequence"}
    inner = {"x": ATOM, "y": {"type": "number", "comment": ""}, "z": ATOM}
    values = {"x": "1", "y": "2", "z": "3"}
    assert exported({"t": values}, {"t": table | {"children": inner}}) == b"\nt: {\n\nx: 1 \n\n}"
    assert exported({"t": values}, {"t": table}) == b"\nt: {\n\n}"
    assert exported({"s": ["1", "2"]}, {"s": sequence | {"children": {"0": ATOM, "00": ATOM}}}) == b"\ns: [1] \n"
    uncommented = sequence | {"children": {"0": ATOM, "1": {"type": "sequence", "annotation": "", "children": {}}}}
    assert exported({"s": ["1", []]}, {"s": uncommented}) == b"\ns: [1] \n"


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60, unique=True))
@REPEATABLE
def test_order_of_descriptors_does_not_matter(order: list[int]) -> None:
    """Descriptors are found by key, whatever their order and number."""
    values = {f"k{i}": str(i) for i in sorted(order)}
    children = {f"k{i}": ATOM for i in order}
    assert exported(values, children) == b"".join(b"\nk%d: %d \n" % (i, i) for i in sorted(order))
    elements = {"s": ATOM | {"type": "sequence", "children": {str(i): ATOM for i in reversed(range(len(order)))}}}
    assert exported({"s": [str(i) for i in order]}, elements) == b"\ns: [%s] \n" % ", ".join(map(str, order)).encode()
