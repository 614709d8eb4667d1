"""Spelling arbitrary text in FHiCL, and reading it back."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd import fhicl
from archiverd.core.errors import FhiclError
from archiverd.runrecord.spelling import (
    byte_text,
    comment,
    distinct,
    encoded_key,
    identifier,
    key,
    lines_of,
    string,
    strings,
)

MARK = " (percent-encoded)"
SAYINGS = st.sampled_from(
    ["\\", '"', "%", "%41", MARK, "#include ", "#include\t", "#####", "End of Record", "components: ", "é", "\0", "\n"]
)
TEXT = st.lists(st.one_of(SAYINGS, st.text(max_size=4)), max_size=6).map(lambda parts: "".join(parts).encode())


def value_of(spelled: str) -> bytes:
    """Read a FHiCL string back as docs/quirks.md says."""
    escapes = {"n": "\n", "t": "\t"}
    text = re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[1]), spelled[1:-1])
    return unquote_to_bytes(text.removesuffix(MARK)) if text.endswith(MARK) else text.encode("ascii")


def key_of(spelled: str) -> bytes:
    """Read a key back as docs/quirks.md says."""
    if not spelled.startswith("pct_"):
        return spelled.encode("ascii")
    return re.sub(r"_([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), spelled.removeprefix("pct_")).encode("latin-1")


@given(TEXT, st.booleans())
def test_any_bytes_make_a_string_that_reads_back(data: bytes, guarded: bool) -> None:
    """Whatever a value contains, its spelling is FHiCL and decodes to the same bytes."""
    spelled = string(data.decode("latin-1"), guarded=guarded)
    fhicl.check(f"x: {spelled}\n".encode("ascii"), "x")
    assert value_of(spelled) == data


@given(TEXT)
def test_guarded_strings_contain_nothing_readers_search_for(data: bytes) -> None:
    """In metadata.fcl no value contains a separator, the end mark or a key that readers search for."""
    spelled = string(data.decode("latin-1"), guarded=True)
    assert not re.search(r"#####|End of Record|(config_name|components|sbndaq_commit_or_version):\s", spelled)


@given(TEXT.filter(lambda data: b"\n" not in data), st.booleans())
def test_any_comment_is_a_comment(data: bytes, guarded: bool) -> None:
    """Whatever a comment contains, its spelling is a comment, no directive, and decodes to the same bytes."""
    text = "#" + data.decode("latin-1").replace("\r", "")
    spelled = comment(text, guarded=guarded)
    assert fhicl.parse_values(f"{spelled}\nx: 1\n".encode("ascii"), "x") == fhicl.parse_values(b"x: 1\n", "x")
    plain = spelled.removesuffix(MARK)
    assert (unquote_to_bytes(plain) if plain != spelled else spelled.encode()) == text.encode("latin-1")


@given(st.binary(max_size=12))
def test_any_bytes_make_a_key_that_reads_back(data: bytes) -> None:
    """Whatever a key is called, its spelling is a FHiCL key and decodes to the same bytes."""
    for spelled in (key(data.decode("latin-1")), identifier(data.decode("latin-1"))):
        fhicl.check(f"{spelled}: 1\n".encode("ascii"), "x")
        assert key_of(spelled) == data


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("plain_2", "plain_2"),
        ("a.b", "a.b"),
        ("a..b", "pct_a_2E_2Eb"),
        ("pct_x", "pct_pct_5Fx"),
        ("BEGIN_PROLOG", "pct_BEGIN_5FPROLOG"),
        ("fhicl_pound_include_0", "pct_fhicl_5Fpound_5Finclude_5F0"),
        ("2nd", "pct_2nd"),
        ("", "pct_"),
    ],
)
def test_keys(name: str, spelled: str) -> None:
    """Plain and dotted names stay; names with another meaning to FHiCL, artdaqDB or archiverd do not."""
    assert key(name) == spelled


def test_dots_in_an_identifier_are_encoded() -> None:
    """Where a dotted name would make a nested table, the dot is encoded."""
    assert identifier("crt.01") == "pct_crt_2E01"


@given(st.lists(st.sampled_from(["a", "a.b", "a.b.c", "b", "a_earlier1", "a_earlier2"]), max_size=8))
def test_distinct_names_are_distinct_and_none_is_lost(names: list[str]) -> None:
    """Every key has a name of its own, the last of equals its plain one, and no key lies inside another."""
    result = distinct(names)
    assert len(result) == len(names) == len(set(result))
    assert not any(other.startswith(f"{name}.") for name in result for other in result)
    for position, name in enumerate(names):
        if name not in names[position + 1 :] and "." not in name:
            assert result[position] == name


def test_a_dotted_key_inside_an_atom_is_encoded() -> None:
    """An atom cannot be a table as well, whichever comes first."""
    assert distinct(["a", "a.b", "c.d"]) == ["a", "pct_a_2Eb", "c.d"]
    assert distinct(["a.b", "a"]) == ["pct_a_2Eb", "a"]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\n\n", ["a", ""]),
        (b"a\r\nb\rc\n", ["a", "b", "c"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        (b"a\x0bb\x0cc\x1cd\x85e\xe2\x80\xa8f\n", ["a\x0bb\x0cc\x1cd\x85e\xe2\x80\xa8f"]),
    ],
)
def test_lines(data: bytes, lines: list[str]) -> None:
    """Only LF, CR LF and CR end a line."""
    assert lines_of(data) == lines


def test_sequences() -> None:
    """A sequence of strings is on one line, as readers of `components` need it."""
    assert strings(["a", 'b"', "c\\"]) == '["a", "b\\"", "c\\\\ (percent-encoded)"]'


def test_file_names_with_stray_bytes() -> None:
    """A file name that is not UTF-8 keeps its bytes."""
    assert encoded_key(byte_text("a\udce9é")) == "pct_a_E9_C3_A9"


def test_the_reason_for_the_spelling() -> None:
    """FHiCL really refuses a string that ends in a backslash; were it to take one, the mark would not be needed."""
    with pytest.raises(FhiclError):
        fhicl.check(rb'x: "a\\"' + b"\n", "x")
