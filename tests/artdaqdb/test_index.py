"""The index in memory: what it holds, how it merges, how it is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiverd.artdaqdb.filesystem import object_ids
from archiverd.artdaqdb.filesystem.index import SECTIONS, Index, Names
from archiverd.core.errors import ArtdaqDBError

IDS = st.one_of(st.binary(min_size=12, max_size=12).map(bytes.hex), st.sampled_from(["0" * 24, "f" * 24]))
STEMS = st.one_of(IDS, st.sampled_from(["copy of a document", "ABCDEFABCDEFABCDEFABCDEF", "é"]))
WORDS = st.one_of(st.sampled_from(["1/a", "1/av1", "10/a", "boot", '"', "\\n", "a]b", "é\n"]), st.text(max_size=5))
STAMPS = st.sampled_from(["2026-11-23T16:40:16.255-0600", "2026-11-23T16:40:16.256-0600", "2017", "2016]"])


@st.composite
def names(draw: st.DrawFn) -> Names:
    """Return any names a document may have."""
    configurations = tuple(draw(st.lists(WORDS, max_size=2)))
    return Names(
        version=draw(WORDS),
        configurations=configurations,
        assigned=tuple(draw(STAMPS) for _ in configurations),
        entities=tuple(draw(st.lists(WORDS, max_size=2))),
        runs=tuple(draw(st.lists(WORDS, max_size=2))),
        aliases=tuple(draw(st.lists(WORDS, max_size=1))),
    )


DOCUMENTS = st.lists(st.tuples(STEMS, names()), max_size=8)


def indexed(documents: list[tuple[str, Names]]) -> Index:
    """Return an index of ``documents``."""
    index = Index()
    for oid, name in documents:
        index.add(oid, name)
    return index


def written(index: Index) -> bytes:
    """Return the text of an index."""
    return b"".join(index.chunks())


def content(index: Index) -> dict[str, Any]:
    """Return what an index says, however its keys are ordered."""
    return json.loads(written(index), strict=False)


def plainly(documents: list[tuple[str, Names]]) -> dict[str, Any]:
    """Return what the index of ``documents`` must say, made with plain sets."""
    said: dict[str, Any] = {"ouid": set(), "configurations.assigned": {}, **{section: {} for section in SECTIONS}}
    for oid, name in documents:
        said["ouid"].add(oid)
        for section, key in name.under():
            said[section].setdefault(key, set()).add(oid)
        for configuration, stamp in zip(name.configurations, name.assigned, strict=True):
            said["configurations.assigned"].setdefault(configuration, set()).add(stamp)
    return {
        section: sorted(keys) if section == "ouid" else {key: sorted(values) for key, values in keys.items()}
        for section, keys in said.items()
    }


@given(DOCUMENTS)
def test_an_index_says_of_every_document_what_it_was_told(documents: list[tuple[str, Names]]) -> None:
    """Whatever names and ids there are: every section has each document under its names, sorted, once."""
    index = indexed(documents)
    assert content(index) == plainly(documents)
    assert sorted(index) == sorted({oid for oid, _ in documents})
    assert len(index) == len({oid for oid, _ in documents})
    assert all(oid in index for oid, _ in documents)
    assert "123456789abc4def8abcdef0" not in index


@given(DOCUMENTS)
def test_an_index_survives_its_file_in_any_layout(documents: list[tuple[str, Names]]) -> None:
    """Reading gives the same index, be it in the library's layout, compact, indented or unsorted."""
    index = indexed(documents)
    said = content(index)
    shuffled = {"ouid": said["ouid"][::-1]} | {key: value for key, value in said.items() if key != "ouid"}
    for text in (
        written(index).decode(),
        json.dumps(said, ensure_ascii=False, separators=(",", ":")),
        json.dumps(said, ensure_ascii=False, indent=3),
        json.dumps(shuffled),
    ):
        again = Index.parse(text.encode(), "index.json")
        assert written(again) == written(index)
        assert list(again) == list(index)


@given(DOCUMENTS, DOCUMENTS)
def test_merging_is_indexing_both(mine: list[tuple[str, Names]], theirs: list[tuple[str, Names]]) -> None:
    """A merged index holds all that either held, and merge says whether the other lacked something."""
    index = indexed(mine)
    lacking = index.merge(indexed(theirs))
    assert content(index) == plainly([*mine, *theirs])
    assert lacking == (content(index) != plainly(theirs))
    assert not index.merge(indexed([*mine, *theirs]))


@given(DOCUMENTS, DOCUMENTS)
def test_merging_does_not_change_the_other(mine: list[tuple[str, Names]], theirs: list[tuple[str, Names]]) -> None:
    """The other index, and ours before, may still be in use elsewhere."""
    other = indexed(theirs)
    before = written(other)
    index = indexed(mine)
    index.merge(other)
    index.add("ab" * 12, Names("1/a", ("1/a",), ("2030",), ("boot",), ("1",)))
    assert written(other) == before


@given(DOCUMENTS, st.tuples(STEMS, names()))
def test_versions_of_a_run_are_those_with_its_number(
    documents: list[tuple[str, Names]], late: tuple[str, Names]
) -> None:
    """Run 1 is not run 10, also for what is added after the first question."""
    index = indexed(documents)
    index.versions_of(1)
    index.add(*late)
    expected = [version for version in index.keys(SECTIONS[0]) if version.startswith("1/")]
    assert index.versions_of(1) == expected


@given(st.sets(IDS), IDS)
def test_packed_sets_are_sets(some: set[str], one: str) -> None:
    """Packing, adding, asking and uniting are those of sets."""
    packed = object_ids.pack(some)
    assert list(object_ids.unpack(packed)) == sorted(some)
    assert object_ids.contains(packed, bytes.fromhex(one)) == (one in some)
    assert object_ids.including(packed, bytes.fromhex(one)) == object_ids.pack(some | {one})
    assert object_ids.union(packed, object_ids.pack([one])) == object_ids.pack(some | {one})
    assert b"".join(object_ids.by_first_byte(packed)) == packed
    assert object_ids.outside(object_ids.inside(packed).encode()) == packed


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_bytes_that_are_no_index_are_an_error_and_nothing_else(data: bytes) -> None:
    """Whatever bytes an index.json holds instead of an index, reading it gives the error operators know."""
    with pytest.raises(ArtdaqDBError, match="SearchIndex is corrupt and needs to be rebuilt"):
        Index.parse(data, "x/index.json")


def test_equal_sets_are_one_object() -> None:
    """A run's ids stand once in memory, though under its version, its configuration and its number."""
    index = indexed([(f"{n:024x}", Names("7/a", ("7/a",), ("T",), (f"e{n}",), ("7",))) for n in range(5)])
    again = Index.parse(written(index), "index.json")
    for one in (index, again):
        held = [one._sections[section][key] for section, key in (("version", "7/a"), ("runs.name", "7"))]
        assert held[0] is held[1]
