"""Secrets are taken out of whatever goes into a bundle, in every spelling they may be met in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.config.secrecy import HIDDEN
from archiverd.doctor.redaction import SHORTEST, Redactor, is_secret, make_redactor
from archiverd.doctor.subject import read_subject

if TYPE_CHECKING:
    from .conftest import House

SECRETS = st.text(min_size=SHORTEST).filter(lambda text: text not in HIDDEN)


@given(SECRETS, st.text(), st.text())
def test_a_secret_is_found_in_every_spelling(secret: str, before: str, after: str) -> None:
    """As it is, percent-encoded, as JSON and as Python show it."""
    spelled = [secret, json.dumps(secret), repr(secret)]
    if not any("\ud800" <= letter <= "\udfff" for letter in secret):
        spelled += [quote(secret, safe=""), quote(secret)]
    for text in spelled:
        inner = text[1:-1] if text[:1] in "\"'" and text != secret else text
        assert inner not in Redactor([secret])(f"{before}{inner}{after}").replace(HIDDEN, "")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mongodb://u:p4ss@h/db", "mongodb://********@h/db"),
        ("mongodb://u:p@ss@h/db?x=1", "mongodb://********@h/db?x=1"),
        (
            "mongodb://h/db?tlsCertificateKeyFilePassword=abc&w=1",
            "mongodb://h/db?tlsCertificateKeyFilePassword=********&w=1",
        ),
        ("https://h:9443/inst/app and a@b", "https://h:9443/inst/app and a@b"),
    ],
)
def test_uris_give_nothing_away_whatever_was_gathered(text: str, left: str) -> None:
    """A login in a URI, and options that hold a secret, go without being known."""
    assert Redactor([])(text) == left


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ('writer_password = "abc"', "writer_password = ********"),
        ("# old smtp_password: abc", "# old smtp_password: ********"),
        ('bot_token = "xoxb-1"  # ours', "bot_token = ********"),
        ('"api_key" = 5', '"api_key" = ********'),
        ('writer_password = "${UCONDB_PASSWORD}"', 'writer_password = "${UCONDB_PASSWORD}"'),
        ('writer_password = "${X:-abc}"', "writer_password = ********"),
        ('work_dir = "/var/lib"', 'work_dir = "/var/lib"'),
    ],
)
def test_lines_of_a_configuration(line: str, left: str) -> None:
    """What stands behind the name of a secret goes, in comments too; a mere reference tells nothing and stays."""
    assert Redactor([]).redact_file(line) == left + "\n"


@pytest.mark.parametrize(
    "name", ["UCONDB_PASSWORD", "MY_TOKEN2", "SLACK_BOT_TOKEN", "client_secret", "DB_PW", "apikey"]
)
def test_names_of_secrets(name: str) -> None:
    """The usual names are known."""
    assert is_secret(name)


@pytest.mark.parametrize("name", ["PATH", "COMPASS", "writer_user", "KEYBOARD", "LANG"])
def test_names_of_what_is_no_secret(name: str) -> None:
    """Ordinary variables stay readable."""
    assert not is_secret(name)


def test_everything_is_gathered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, references, URIs, credentials, and variables by their names, wherever they come from."""
    directory = house.root / "credentials"
    directory.mkdir()
    (directory / "anything").write_text("from-credential\n")
    environment = {
        "CREDENTIALS_DIRECTORY": str(directory),
        "OTHER_SECRET": "from-variable",
        "SOME_URL": "http://u:from-url@h/",
    }
    monkeypatch.setenv("UCONDB_PW", "from-reference")
    house.change("ucon_db", writer_password="${UCONDB_PW}")
    house.change("artdaq_db", database_uri="mongodb://u:from%2Duri@h/db")
    house.change("reporting", email={"smtp_password": "from-file"})
    subject = read_subject(str(house.path), migrating=False)
    assert subject.settings is not None, subject.error
    redact = make_redactor(subject.path, subject.settings, environment)
    for secret in ("credential", "variable", "url", "reference", "uri", "file"):
        assert redact(f"<from-{secret}>") == f"<{HIDDEN}>"
    assert redact(str(directory)) == str(directory)


def test_a_configuration_that_cannot_be_read_gives_nothing_away(house: House) -> None:
    """Without settings the lines themselves are gone through."""
    house.path.write_text('[ucon_db\nwriter_password = "from-file"\nserver_url = "https://u:from-url@h/app"\n')
    subject = read_subject(str(house.path), migrating=False)
    text = make_redactor(subject.path, subject.settings, {}).redact_file(house.path.read_text())
    assert "from-" not in text
    assert "@h/app" in text
