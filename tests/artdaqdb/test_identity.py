"""One database has one canonical URI, however it is spelled and whoever logs in."""

from __future__ import annotations

import pytest

from archiverd.artdaqdb.identity import canonical_uri
from archiverd.config.models import ArtdaqDb

SAME = [
    ("filesystemdb:///data/artdaqdb", "filesystemdb:////data/./artdaqdb/"),
    (
        "mongodb://b.example:27017,a.example:27018/run_db",
        "mongodb://writer:pw%40x@A.example:27018,b.example/run_db?authSource=admin",
    ),
]
OTHERS = [
    ("filesystemdb:///data/artdaqdb", "filesystemdb:///data/artdaqdb2"),
    ("mongodb://a.example/run_db", "mongodb://a.example/run_db2"),
    ("mongodb://a.example/run_db", "mongodb://a.example:27018/run_db"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spelling_and_login_make_no_other_database(one: str, other: str) -> None:
    """A password that changes, an option, the order of the hosts: it is the same artdaqDB."""
    assert canonical_uri(ArtdaqDb(database_uri=one)) == canonical_uri(ArtdaqDb(database_uri=other))


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_another_path_host_or_database_is_another(one: str, other: str) -> None:
    """What runs were imported into must not be taken for what only looks like it."""
    assert canonical_uri(ArtdaqDb(database_uri=one)) != canonical_uri(ArtdaqDb(database_uri=other))


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://me:geheim@a.example/db?x=y",
        "mongodb://me:geheim@/",
        "x://me:geheim@h/db",
        "mongodb://me:ge/heim/geheim@a.example/db",
        "mongodb://me@corp:geheim/1@a.example/",
    ],
)
def test_no_password_is_kept(uri: str) -> None:
    """It stands in the journal and on screens, also where the URI cannot be understood."""
    assert "geheim" not in canonical_uri(ArtdaqDb(database_uri=uri))


def test_the_tools_remote_host_is_part_of_it() -> None:
    """The same path on two machines is two databases; the user who logs in there is not part of it."""
    uri = "filesystemdb:///data/artdaqdb"
    there = canonical_uri(ArtdaqDb(database_uri=uri, use_tools=True, remote_host="daq@evb01"))
    assert there == canonical_uri(ArtdaqDb(database_uri=uri, use_tools=True, remote_host="evb01")) != uri
