"""No input crashes, hangs or exhausts the engine: limits give ordinary errors, and work grows with the text."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given

from archiverd import fhicl
from archiverd.core.errors import FhiclError

from .recorded import EXPORTS, IMPORTS
from .texts import ANY_BYTES, REPEATABLE, broken_texts

DEPTH = fhicl.DEPTH_LIMIT


def refused(text: bytes) -> tuple[int, int]:
    """Return where the text is refused."""
    with pytest.raises(FhiclError) as caught:
        fhicl.check(text, "a")
    return caught.value.line, caught.value.column


def test_depth_that_is_taken() -> None:
    """Tables and sequences inside each other are taken to the limit, to the document and back."""
    for text in (b"a:{" * DEPTH + b"}" * DEPTH, b"a:" + b"[" * DEPTH + b"]" * DEPTH):
        exported = fhicl.from_json(fhicl.to_json(text, "a", "t"), "a")
        assert exported.count(text[2:3]) == DEPTH
        assert fhicl.from_json(fhicl.to_json(exported, "a", "t"), "a") == exported


def test_depth_that_is_refused() -> None:
    """One level more is an error at the brace or bracket that opens it."""
    assert refused(b"a:{" * (DEPTH + 1)) == (1, 3 * DEPTH + 3)
    assert refused(b"a:" + b"[" * 1_000_000) == (1, DEPTH + 3)


def test_depth_of_values() -> None:
    """Values as Python objects can be compared and printed to their own limit."""
    deep = fhicl.VALUES_DEPTH_LIMIT
    text = b"a:{" * deep + b"}" * deep
    assert fhicl.parse_values(text, "a") == fhicl.parse_values(text, "b")
    assert repr(fhicl.parse_values(text, "a")).count("'a'") == deep
    with pytest.raises(FhiclError, match="nested deeper"):
        fhicl.parse_values(b"a:" + b"[" * (deep + 1) + b"]" * (deep + 1), "a")


def test_depth_of_documents() -> None:
    """A document deeper than any import makes is refused where it gets too deep."""
    for text in (b'{"a":' * 1_000_000, b'{"a":' + b"[" * 1_000_000):
        with pytest.raises(FhiclError, match="nested deeper") as caught:
            fhicl.from_json(text, "a")
        assert caught.value.line == 1


def test_size_of_a_text() -> None:
    """A text of the greatest size is taken, one byte more is refused."""
    text = b"a: 1" + b"\n" * (fhicl.TEXT_LIMIT - 4)
    fhicl.check(text, "a")
    assert refused(text + b"\n") == (0, 1)


def test_number_of_values() -> None:
    """Text of more values than 1 GiB of memory is enough for is refused before they fill the memory."""
    line, column = refused(b"a:[" + b"1," * 5_000_000)
    assert (line, column) == (1, 4 + 2 * (1_500_000 - 1))


def test_size_of_a_document() -> None:
    """Text whose comment would be repeated beyond all bounds is refused."""
    line = b"a:1 " * 40_000 + b"#" + b"x" * 40_000
    with pytest.raises(FhiclError, match="would have more than"):
        fhicl.convert(line, "a")


N = 200_000
HOSTILE = {
    "duplicate keys": b"t: {" + b"a:1 " * N + b"}",
    "keys twice": b"t: {" + b"".join(b"a%d:1 " % (i % (N // 2)) for i in range(N)) + b"}",
    "prolog overridden": b"BEGIN_PROLOG " + b"a:1 " * N + b"END_PROLOG " + b"a:2 " * N,
    "indexed prolog": b"BEGIN_PROLOG " + b"a[0]:1 " * N + b"END_PROLOG " + b"a:2 " * N,
    "includes": b'#include "f.fcl"\n' * N,
    "includes to the next quote": b'#include <f>\n"x"\n' * N,
    "unclosed includes": b"#include <f>\n" * N,
    "odd quotes in comments": b"# don't\n" * N + b'# "\n' + b"a: 1",
    "empty strings": b'a: "" # x\n' * N,
    "escaped quotes": b'a: "' + b'\\"' * N,
    "comments that are not ASCII": b"# \xb5\n" * N,
    "blank lines": b"\r\n" * N + b"a: 1",
    "long name": b"a" + b" . b" * N + b": 1",
    "slashes": b"/" * N,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_work_grows_with_the_text(name: str) -> None:
    """Hostile texts of megabytes take a fraction of a second of processor time; their square would take minutes."""
    begin = time.thread_time()
    try:
        document = fhicl.to_json(HOSTILE[name], "a", "t")
        fhicl.from_json(document, "a")
    except FhiclError:
        pass
    assert time.thread_time() - begin < 10


def hostile_document(entries: str, descriptor_members: str, children: str) -> bytes:
    """Make a document of ``entries`` that all share the descriptor of ``a``."""
    descriptor = f'{{{descriptor_members}"type":"table","comment":"","annotation":"","children":{{{children}"b":0}}}}'
    return (
        f'{{"document":{{"data":{{"prolog":{{}},"main":{{{entries}}}}},'
        f'"metadata":{{"prolog":{{"children":{{}}}},"main":{{"children":{{"a":{descriptor}}}}}}}}}}}'
    ).encode()


@pytest.mark.parametrize("where", ["members", "children"])
def test_work_grows_with_the_document(where: str) -> None:
    """Look-ups that every entry repeats in one huge object do not make the work grow with the square."""
    junk = "".join(f'"k{i}":"",' for i in range(N))
    entries = ",".join(['"a":{"x":"1"}'] * N)
    document = hostile_document(entries, junk if where == "members" else "", junk if where == "children" else "")
    begin = time.thread_time()
    assert fhicl.from_json(document, "a") == b"\na: {\n\n}" * N
    assert time.thread_time() - begin < 10


@REPEATABLE
@given(ANY_BYTES | broken_texts())
def test_any_bytes(text: bytes) -> None:
    """Any bytes give a result or an error with a position, and all functions say the same of it as FHiCL."""
    errors: list[FhiclError | None] = []
    for function in (fhicl.check, fhicl.convert, fhicl.parse_values, fhicl.from_json, fhicl.read_document):
        try:
            function(text, "a")
            errors.append(None)
        except FhiclError as error:
            errors.append(error)
    for error in filter(None, errors):
        assert error.message
        assert (error.line, error.column) == (0, 1) or min(error.line, error.column) > 0
    check, convert, parse_values, *_ = map(str, errors)
    assert check == convert == parse_values


def test_threads() -> None:
    """Conversions in several threads at once give what they give alone."""
    documents = [case.document for case in EXPORTS.values()]
    inputs = [case.text for case in IMPORTS.values() if case.accepted] * 20

    def outcome(text: bytes) -> object:
        try:
            return fhicl.convert(text, "a")
        except FhiclError as error:
            return str(error)

    alone = [outcome(text) for text in inputs + documents]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, inputs + documents)) == alone


def test_large_document_round_trip() -> None:
    """A text of some megabytes comes through whole: every value is there."""
    count = 50_000
    text = b"".join(b'key_%d: "value %d" # note\n' % (i, i) for i in range(count))
    converted = fhicl.convert(text, "a")
    main = json.loads(converted.data)["main"]
    assert main == {f"key_{i}": f"value {i}" for i in range(count)}
    assert len(json.loads(converted.comments)) == count
    assert len(json.loads(converted.metadata)["main"]["children"]) == count
