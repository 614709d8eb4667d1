"""What comes off the wire is understood or refused; nothing else ever comes out of a parser."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.ucondb_server.digest import Credentials, require
from archiverd.ucondb_server.replies import Refusal
from archiverd.ucondb_server.target import parameters_of, split_target
from archiverd.ucondb_server.values import integer, record_time, validity_limit
from tests.ucondb_server.conftest import digest

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = ("inst", "app")
words = st.text(st.characters(codec="utf-8"), max_size=20)
harmless = st.text(st.characters(codec="utf-8", exclude_characters="<'>\\|;"), max_size=20)


def outcome(read: Callable[[], Any]) -> Any:
    """Return what ``read`` returns, or the refusal it raises; anything else it raises comes through."""
    try:
        return read()
    except Refusal as refusal:
        return refusal


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_target_is_understood_or_refused(path: bytes, query: bytes) -> None:
    """No path and no query makes the parser fail in any other way."""
    result = outcome(lambda: parameters_of(split_target(b"/inst/app/data/" + path, query, PREFIX)))
    if isinstance(result, Refusal):
        assert result.reply.status in (400, 500)
    else:
        assert all(isinstance(value, str) for values in result.values.values() for value in values)


@given(harmless, harmless)
def test_query_values_survive_form_encoding(key: str, tag: str) -> None:
    """Whatever a client percent-encodes arrives as it was meant, with + and with %20 for spaces."""
    for encode in (quote_plus, quote):
        query = f"key={encode(key)}&tag={encode(tag)}&tag=2".encode()
        parameters = parameters_of(split_target(b"/inst/app/data/F/O", query, PREFIX))
        assert parameters.one("key") == key
        assert parameters.every("tag") == (tag, "2")
        assert (parameters.one("folder"), parameters.one("object")) == ("F", "O")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("data/F/O/key=7", ""),
        ("data/F/O", "key=7"),
        ("data", "folder=F&object=O&key=7"),
        ("data/folder=F/object=O/key=7", ""),
        ("/data//F/./O/key=7/", ""),
        ("data/key=7/F/O", ""),
    ],
)
def test_path_and_query_forms_are_equal(path: str, query: str) -> None:
    """The forms of section 2 name the same folder, object and key."""
    parameters = parameters_of(split_target(f"/inst/app/{path}".encode(), query.encode(), PREFIX))
    assert dict(parameters.values) == {"folder": ("F",), "object": ("O",), "key": ("7",)}


@given(st.binary(max_size=200))
def test_any_authorization_is_refused_unless_it_is_right(header: bytes) -> None:
    """Bytes that are no login are a 401 or a 500."""
    for value in (header, b"Digest " + header):
        with pytest.raises(Refusal) as refused:
            require(Credentials("u", "p"), realm="r", method="POST", header=value, now=0.0)
        assert refused.value.reply.status in (401, 500)


@given(words.filter(lambda user: "," not in user and '"' not in user and user == user.strip() and user), words)
def test_a_right_login_is_accepted_for_its_realm_and_method_only(user: str, password: str) -> None:
    """Any user name and password, as UTF-8, log in; another realm, method or password does not."""
    credentials = Credentials(user, password)
    header = digest("POST", "/uri?a=b", "ns.f", user=user, password=password).encode()
    require(credentials, realm="ns.f", method="POST", header=header, now=time.time())
    for realm, method, known in (
        ("ns.g", "POST", credentials),
        ("ns.f", "PUT", credentials),
        ("ns.f", "POST", Credentials(user, password + "x")),
    ):
        with pytest.raises(Refusal) as refused:
            require(known, realm=realm, method=method, header=header, now=time.time())
        assert refused.value.reply.status == 401
        assert refused.value.reply.headers == ()


def test_record_times_are_read_in_all_their_forms() -> None:
    """Epoch seconds, two calendar forms in UTC, and times ago give the same moment."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    for text in (str(moment), "2026-01-02T03:04:05", "2026-01-02T03:04:05.0", "01/02/2026 03:04:05"):
        assert record_time(text, now=0.0) == moment
    for text, seconds in (("-90s", 90), ("-2m", 120), ("-1.5h", 5400), ("-1d", 86400)):
        assert record_time(text, now=1e9) == 1e9 - seconds
    assert record_time(None, now=0.0) is record_time("", now=0.0) is None


@given(st.text(max_size=30))
def test_any_time_or_number_is_read_or_refused(text: str) -> None:
    """No text makes the readers of times and numbers fail in any other way."""
    for read in (lambda: record_time(text, 0.0), lambda: validity_limit(text, 0.0), lambda: integer(text)):
        result = outcome(read)
        assert not isinstance(result, Refusal) or result.reply.status == 500
