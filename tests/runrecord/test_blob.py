"""The blob: packing, unpacking, and contents that look like its separators."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.core.errors import BlobCreationError
from archiverd.runrecord.blob import UnpackedBlob, packed_on_text, read_packed_on, unpack
from archiverd.runrecord.blob import pack as pack_parts
from archiverd.ucondb.port import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

WHEN = "Oct 26 14:30 UTC"


def pack(run: int, packed_on: str, files: Sequence[tuple[str, bytes]]) -> bytes:
    """Return the blob in one piece."""
    return b"".join(pack_parts(run, packed_on, files))


PIECES = st.sampled_from(
    [
        b"#####",
        b"##### ",
        b"#####  ",
        b"\n",
        b"\r\n",
        b"a.fcl:",
        b"metadata.fcl:",
        b"End of Record",
        b"x: 1",
        b"\xff",
        b"",
    ]
)
CONTENT = st.one_of(
    st.binary(max_size=20), st.lists(PIECES, max_size=9).map(b"".join), st.lists(PIECES).map(b"\n".join)
)
NAMES = st.one_of(
    st.sampled_from(["boot", "Boot", "BOOT", "ranks", "a.fcl:"]), st.from_regex(r"[ -~é]{1,6}", fullmatch=True)
)


def test_the_form() -> None:
    """The blob is laid out byte for byte as readers downstream parse it."""
    assert pack(19661, WHEN, [("tpc01.fcl", b"a: 1\n"), ("boot.fcl", b"b: 2")]) == (
        b"Start of Record\nRun Number: 19661\nPacked on Oct 26 14:30 UTC\n"
        b"\n#####\ntpc01.fcl:\n#####\na: 1\n"
        b"\n#####\nboot.fcl:\n#####\nb: 2"
        b"\nEnd of Record\nRun Number: 19661\nPacked on Oct 26 14:30 UTC\n"
    )


def test_the_order() -> None:
    """Files are sorted by lower-cased name, text files and histories last in a fixed order; case twins stay."""
    last = [
        "boot",
        "known_boardreaders_list",
        "setup",
        "environment",
        "metadata",
        "settings",
        "ranks",
        "RunHistory",
        "RunHistory2",
    ]
    stems = ["crttop01", "CrtTop01", "B", "a1", "a", "a-b", "Zz", "hashes", *reversed(last)]
    packed = unpack(pack(1, WHEN, [(f"{stem}.fcl", b"") for stem in stems]))
    expected = ["a", "a-b", "a1", "B", "CrtTop01", "crttop01", "hashes", "Zz", *last]
    assert [name for name, _ in packed.files] == [f"{stem}.fcl" for stem in expected]


@given(st.dictionaries(NAMES.map("{}.fcl".format), CONTENT, max_size=5), st.integers(1, 10**18 - 1))
def test_unpack_reverses_pack(files: dict[str, bytes], run: int) -> None:
    """Whatever the files hold, unpacking gives the same names and bytes, and the run and time."""
    unpacked = unpack(pack(run, WHEN, list(files.items())))
    assert (unpacked.run, unpacked.packed_on) == (run, WHEN)
    assert dict(unpacked.files) == files
    assert len(unpacked.files) == len(files)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"a: 1", b"a: 1\r\n", b"#####\n", b"\n#####\nx: 1\n", b"x\n#####\nx.fcl\n#####\n", b"##### \n"],
)
def test_ordinary_contents_stand_as_they_are(content: bytes) -> None:
    """Only content that would split wrongly is changed: the rest is in the blob byte for byte."""
    assert b"\nx.fcl:\n#####\n" + content + b"\nEnd of Record\n" in pack(1, WHEN, [("x.fcl", content)])


@pytest.mark.parametrize(
    "content", [b"a: 1\n#####\nmetadata.fcl:\n#####\nb: 2\n", b"#####\nx.fcl:\n#####", b"\n#####\nx.fcl:"]
)
def test_lookalikes_get_a_blank(content: bytes) -> None:
    """Content with the lines that begin a file gets one blank, and splits as it was packed."""
    blob = pack(1, WHEN, [("a.fcl", content), ("b.fcl", b"c: 3\n")])
    assert content.replace(b"#####\n", b"##### \n", 1) in blob
    assert unpack(blob).files == (("a.fcl", content), ("b.fcl", b"c: 3\n"))


@pytest.mark.parametrize("name", ["boot.txt", ".fcl", "a\nb.fcl", "a\udce9.fcl", ""])
def test_names_the_form_cannot_hold(name: str) -> None:
    """A name that the format does not allow is refused by name, not written."""
    with pytest.raises(BlobCreationError, match=r"Run 7 cannot be packed: .* cannot be a name in a blob"):
        pack(7, WHEN, [(name, b"")])


def test_a_name_twice() -> None:
    """Two files of one name are refused: one would hide the other."""
    with pytest.raises(BlobCreationError, match=r"'a\.fcl' is there twice"):
        pack(7, WHEN, [("a.fcl", b"1"), ("a.fcl", b"2")])


def test_a_time_text_of_two_lines() -> None:
    """A time text that would break the format is refused."""
    with pytest.raises(BlobCreationError, match="is not a time text"):
        pack(7, "Oct 26\nx", [])


BLOB = pack(7, WHEN, [("a.fcl", b"1\n"), ("b.fcl", b"2\n")])


@pytest.mark.parametrize("length", range(len(BLOB)))
def test_a_cut_blob(length: int) -> None:
    """A blob cut anywhere is no blob."""
    with pytest.raises(BlobCreationError):
        unpack(BLOB[:length])


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        (BLOB.replace(b"Run Number: 7", b"Run Number: 8", 1), "cut short"),
        (BLOB.replace(b"UTC\n\n", b"UTC\ntext\n\n", 1), "text before its first file"),
        (BLOB.replace(b"a.fcl", b"\xff.fcl"), "not UTF-8"),
        (b"Start of Record\nRun Number: \xb2\n", "does not begin with"),
    ],
)
def test_a_broken_blob(blob: bytes, said: str) -> None:
    """A blob that does not agree with itself is refused in words."""
    with pytest.raises(BlobCreationError, match=said):
        unpack(blob)


@given(st.binary(max_size=60).map(lambda tail: BLOB[:40] + tail))
def test_any_bytes(data: bytes) -> None:
    """No bytes raise anything but BlobCreationError."""
    try:
        unpack(data)
    except BlobCreationError:
        return


def test_the_beginning_is_enough_for_the_time_text() -> None:
    """The first bytes of a blob tell when it was packed, whatever follows; those of anything else are refused."""
    blob = pack(10**18 - 1, "x" * 64, [("a.fcl", b"1\n" * HEAD_BYTES)])
    assert read_packed_on(blob[:HEAD_BYTES]) == "x" * 64
    with pytest.raises(BlobCreationError, match="does not begin with"):
        read_packed_on(blob[1:])


def test_a_blob_without_files() -> None:
    """A run without files has a blob without files."""
    assert unpack(pack(7, WHEN, [])) == UnpackedBlob(7, WHEN, ())


def test_packed_on() -> None:
    """The time is written in English and padded with zeros, whatever the locale."""
    assert packed_on_text(datetime(2025, 3, 4, 5, 6, 59, tzinfo=UTC)) == "Mar 04 05:06 UTC"
