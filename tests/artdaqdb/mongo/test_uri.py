"""URIs of MongoDB: what they name, what the library's environment adds, and that nobody sees the password."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.artdaqdb.mongo.uri import parse_uri
from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("uri", "database", "shown"),
    [
        ("mongodb://h/runs_db", "runs_db", "mongodb://h/runs_db"),
        ("mongodb://u@h:1,i:2/d?replicaSet=rs0", "d", "mongodb://u@h:1,i:2/d?replicaSet=rs0"),
        ("mongodb://u:p%40w@h/d?authSource=admin", "d", "mongodb://u@h/d?authSource=admin"),
        ("mongodb://[::1]:27017/d", "d", "mongodb://[::1]:27017/d"),
        ("mongodb+srv://u:pw@cluster.site.org/d", "d", "mongodb+srv://u@cluster.site.org/d"),
        ("mongodb://%2Frun%2Fmongodb.sock/d", "d", "mongodb://%2Frun%2Fmongodb.sock/d"),
        ("mongodb://h/d?tls=true&tlsCertificateKeyFilePassword=secret", "d", "mongodb://h/d?tls=true"),
        ("mongodb://h/d?authMechanismProperties=AWS_SESSION_TOKEN:secret", "d", "mongodb://h/d"),
    ],
)
def test_a_uri_names_its_database_and_is_shown_without_secrets(uri: str, database: str, shown: str) -> None:
    """Driver options stay as they are; the driver gets all of it, everybody else no password."""
    address = parse_uri(uri, {})
    assert (address.uri, address.database, address.shown) == (uri, database, shown)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("mongodb://h", "names no database"),
        ("mongodb://h/", "names no database"),
        ("mongodb://h/?w=1", "names no database"),
        ("mongodb://h/a.b", "names no database"),
        ("mongodb://h/a%20b", "names no database"),
        ("mongodb:///d", "is no mongodb:// URI"),
        ("mongodb://u:pass@word@h/d", "is no mongodb:// URI"),
        ("mongodb://u:pass/word@h/d", "is no mongodb:// URI|names no database"),
        ("mongo://h/d", "is no mongodb:// URI"),
        ("filesystemdb:///a", "is no mongodb:// URI"),
    ],
)
def test_what_is_no_uri_of_a_database_is_refused_without_repeating_it(uri: str, why: str) -> None:
    """A configuration error says what is wrong and holds no part of a password that was written wrongly."""
    with pytest.raises(ConfigurationError, match=why) as caught:
        parse_uri(uri, {})
    assert "word" not in str(caught.value)
    assert "pass@" not in caught.value.remedy


@given(st.text(min_size=1, max_size=30))
def test_no_password_is_ever_shown(password: str) -> None:
    """Whatever a password is made of, a printed address does not show it."""
    marked = f"S3cr{password}t"
    address = parse_uri(f"mongodb://u:{quote(marked, safe='')}@h/d", {})
    assert "S3cr" not in repr(address) + address.shown
    assert marked in address.secrets


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Give the library's environment variables, naming files that exist."""
    for name in ("client.pem", "ca.pem"):
        (tmp_path / name).touch()
    return {
        "ARTDAQ_DATABASE_CLIENT_CERT": str(tmp_path / "client.pem"),
        "ARTDAQ_DATABASE_CA_CERT": str(tmp_path / "ca.pem"),
    }


def test_the_librarys_certificates_become_options(certificates: dict[str, str]) -> None:
    """The client's certificate logs in, the other proves the server; a ``?`` is added where none is."""
    client, authority = certificates.values()
    address = parse_uri("mongodb://h/d", certificates)
    added = f"tls=true&authMechanism=MONGODB-X509&tlsCertificateKeyFile={client}&tlsCAFile={authority}"
    assert address.uri == f"mongodb://h/d?{added}"
    assert address.options == {"tls", "authmechanism", "tlscertificatekeyfile", "tlscafile"}


def test_certificates_count_only_as_the_library_counts_them(certificates: dict[str, str]) -> None:
    """A file that is not there counts for nothing, nor does the CA alone, and what the URI says stays."""
    client, authority = certificates
    assert parse_uri("mongodb://h/d", {authority: certificates[authority]}).options == frozenset()
    assert parse_uri("mongodb://h/d", {**certificates, client: "/nowhere/x.pem"}).options == frozenset()
    only = {client: certificates[client]}
    assert "tlscafile" not in parse_uri("mongodb://h/d", only).options
    said = parse_uri("mongodb://h/d?tlsCAFile=/mine.pem&w=1", certificates)
    assert said.uri.startswith("mongodb://h/d?tlsCAFile=/mine.pem&w=1&tls=true&")
    assert said.uri.count("tlsCAFile") == 1
