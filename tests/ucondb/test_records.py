"""Records of versions, lists of them, and URLs."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.config.ucondb import demand_usable, is_acceptable
from archiverd.core.errors import ConfigurationError
from archiverd.ucondb.port import StoredVersion
from archiverd.ucondb.records import parse_listing, parse_metadata, parse_sequence
from archiverd.ucondb.session import Session
from archiverd.ucondb.urls import RequestTargets
from tests.ucondb.playback import body_of, settings

RECORD = st.fixed_dictionaries(
    {
        "key": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        "id": st.integers(1, 2**31),
        "data_size": st.integers(0, 2**28),
        "uadler32": st.integers(0, 2**32 - 1),
        "tv": st.floats(),
        "tags": st.lists(st.text(max_size=5), max_size=2),
    }
)


def versions(records: list[dict[str, Any]]) -> dict[str, StoredVersion]:
    """Return what a list of records means."""
    return {
        r["key"]: StoredVersion(r["key"], r["id"], r["data_size"], r["uadler32"])
        for r in records
        if r["key"] is not None
    }


def test_recorded_metadata() -> None:
    """The metadata object of a put and of a look-up gives key, id, size and unsigned checksum."""
    expected = StoredVersion("1001", 1, 15, 710607990)
    assert parse_metadata(body_of("b_put_key_tag_fullmeta")) == expected
    assert parse_metadata(body_of("d_get_meta_only")) == expected


def test_a_recorded_listing_keeps_every_key_and_skips_null() -> None:
    """Versions with a future validity time are there, those without a key are not (T9, T13)."""
    body = body_of("d_get_versions_tv")
    found = parse_listing(body)
    raw = json.loads(body)
    assert found == versions(raw)
    assert found["1011"].data_size == 15
    assert len(found) < len(raw)


def test_a_recorded_sequence() -> None:
    """A JSON text sequence gives its records by key; the empty one gives nothing."""
    assert parse_sequence(body_of("j_lookup_keys")) == {
        "1001": StoredVersion("1001", 1, 15, 710607990),
        "1003": StoredVersion("1003", 3, 15, 710870136),
    }
    assert parse_sequence(body_of("j_lookup_keys_all_missing")) == {}


@given(st.lists(RECORD, max_size=5))
def test_any_whole_listing_is_read(records: list[dict[str, Any]]) -> None:
    """Python's NaN and Infinity, which are no JSON, do not hide a version."""
    assert parse_listing(json.dumps(records).encode()) == versions(records)


@given(st.lists(RECORD, max_size=3), st.data())
def test_a_listing_that_breaks_off_is_never_taken_for_a_shorter_one(
    records: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Cut anywhere before its closing bracket, a list is an error (section 6)."""
    whole = json.dumps(records, ensure_ascii=False).encode("utf-8", "replace")
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError):  # noqa: PT011 - the words are the JSON decoder's
        parse_listing(whole[:cut])


@given(st.lists(RECORD, max_size=3), st.integers(0, 200))
def test_a_sequence_that_breaks_off_gives_only_true_versions(records: list[dict[str, Any]], cut: int) -> None:
    """A cut sequence may miss versions; what it gives is right."""
    records = list({record["key"]: record for record in records}.values())
    whole = b"".join(b"\x1e" + json.dumps(record).encode() + b"\n" for record in records)
    found = parse_sequence(whole[:-cut] if cut else whole)
    assert found.items() <= versions(records).items()


@given(st.binary())
def test_no_bytes_are_a_traceback(body: bytes) -> None:
    """Whatever comes instead of metadata or a sequence is nothing."""
    assert parse_metadata(body) is None
    assert parse_sequence(body) == {}


@pytest.mark.parametrize(
    "body", [b"{}", b"null", b'{"key": "1", "id": "1", "data_size": 1, "uadler32": 1}', b"[" * 9999]
)
def test_json_that_is_no_version_is_none(body: bytes) -> None:
    """The empty object that the server sends for an unknown id (T16) is not a version."""
    assert parse_metadata(body) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["configuration", "a b", "ä/%"]))
def test_every_text_survives_the_url(text: str, name: str) -> None:
    """A parameter's value comes back from the query, nothing of it is a comma, and the path stays ASCII and plain."""
    target = RequestTargets.of(settings("http://host:1/inst/app", object_name=name)).data(key=text, meta_only="yes")
    parts = urlsplit(target)
    values = dict(parse_qsl(parts.query, keep_blank_values=True))
    assert values["key"] == text
    assert values.get("object", parts.path.rpartition("/")[2]) == name
    assert parts.path.startswith("/inst/app/data/test01")
    assert "," not in target
    assert target.isascii()


@pytest.mark.parametrize(
    "text", ["", "a\nb", "a\rb", "a<b", "a'b", "a\\b", "a|b", "a;b", 'a"b', "a>b", "\x00", "\ud800"]
)
def test_what_the_server_refuses_is_not_sent(text: str) -> None:
    """A key that the server answers with 400 or 500, or that could break a header, is not acceptable (section 2)."""
    assert not is_acceptable(text)


@pytest.mark.parametrize(
    ("change", "value", "word"),
    [
        ("server_url", "ftp://host/i/app", "server_url"),
        ("server_url", "https:///i/app", "server_url"),
        ("server_url", "https://writer:geheim@host/i/app", "server_url"),
        ("server_url", "https://host:99999/i/app", "server_url"),
        ("server_url", "https://host/i,j/app", "server_url"),
        ("server_url", "https://host/i/app?x=geheim", "server_url"),
        ("server_url", "https://host/i", "server_url"),
        ("folder_name", "a/b", "folder_name"),
        ("folder_name", "a.b.c", "folder_name"),
        ("folder_name", "", "folder_name"),
        ("object_name", "a;b", "object_name"),
        ("object_name", "", "object_name"),
        ("writer_user", "a,b", "writer_user"),
        ("writer_user", 'a"b', "writer_user"),
    ],
)
def test_impossible_settings_are_refused_by_the_name_of_their_key(change: str, value: str, word: str) -> None:
    """A setting that can never work is a ConfigurationError that names the key and shows no secret."""
    with pytest.raises(ConfigurationError, match=word) as caught:
        demand_usable(settings("http://host/i/app").model_copy(update={change: value}))
    assert "geheim" not in str(caught.value)


def test_settings_hide_the_password() -> None:
    """The password is in no repr."""
    assert "writer-pw-1" not in repr(settings("http://host/i/app"))


def test_patience_grows_by_a_second_for_every_megabyte() -> None:
    """Ten seconds for small blobs, 210 for 200 MB."""
    section = settings("http://host/i/app", timeout_seconds=10.0)
    session = Session(section, RequestTargets.of(section), Mock(), rereads=2)
    assert (session.timeout(), session.timeout(999_999), session.timeout(200_000_000)) == (10.0, 10.0, 210.0)
