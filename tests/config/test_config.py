"""Settings: sources, references, and errors an operator can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.config.loader import load
from archiverd.config.location import find_config
from archiverd.config.provenance import origins
from archiverd.core.errors import ConfigurationError
from archiverd.expansion import expand

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[app]
work_dir = "{work}"
[source_files]
run_records_dir = "/daq/run_records"
[artdaq_db]
database_uri = "filesystemdb:///data/artdaqdb"
[ucon_db]
server_url = "https://ucondb.example.org:9443/inst/app"
folder_name = "run_records"
object_name = "configuration"
writer_user = "writer"
writer_password = "hunter2"
"""


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's own environment out of the tests."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("ARCHIVERD_CONFIG", raising=False)


def written(tmp_path: Path, text: str) -> Path:
    """Write a configuration and return its path."""
    path = tmp_path / "archiverd.toml"
    path.write_text(text.replace("{work}", str(tmp_path / "work")))
    return path


def test_a_ten_line_configuration_is_enough(tmp_path: Path) -> None:
    """The required keys alone make a valid configuration, the rest has the documented defaults."""
    settings = load(written(tmp_path, GOOD))
    assert settings.app.work_dir == tmp_path / "work"
    assert (settings.app.batch_size, settings.watch.settle_seconds, settings.artdaq_db.unmatched) == (5, 1.0, "archive")
    assert settings.validation.required == ("components", "config_name")


@pytest.mark.parametrize(
    "key",
    ["work_dir", "run_records_dir", "database_uri", "server_url", "folder_name", "object_name", "writer_password"],
)
def test_a_missing_required_key_is_named_in_the_runbooks_words(tmp_path: Path, key: str) -> None:
    """A required key that is missing reads `Configuration validation failed: KEY is required`."""
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith(key))
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, text))
    assert str(caught.value) == f"Configuration validation failed: {key} is required"


@pytest.mark.parametrize("folder", ["run_records", "Run_Records"])
def test_the_pending_folder_is_another_one(tmp_path: Path, folder: str) -> None:
    """The blob of a running run must never stand where the whole one belongs; UconDB's folders have lower case."""
    text = GOOD.replace('folder_name = "run_records"', f'folder_name = "run_records"\npending_folder_name = "{folder}"')
    with pytest.raises(ConfigurationError, match=r"ucon_db\.pending_folder_name is folder_name too"):
        load(written(tmp_path, text))


def test_a_missing_section_names_its_required_key(tmp_path: Path) -> None:
    """A section left out is reported as its missing key, not as a missing section."""
    with pytest.raises(ConfigurationError, match="run_records_dir is required"):
        load(written(tmp_path, GOOD.replace('[source_files]\nrun_records_dir = "/daq/run_records"\n', "")))


def test_migration_settings_are_not_demanded_for_importing_only(tmp_path: Path) -> None:
    """Who only imports needs no UconDB."""
    load(written(tmp_path, GOOD.split("[ucon_db]", maxsplit=1)[0]), migrating=False)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("[app]\nbatchsize = 3", "unknown key app.batchsize in .*; did you mean batch_size?"),
        ("[ucondb]\nx = 1", r"unknown section \[ucondb\] in .*; did you mean ucon_db?"),
    ],
)
def test_an_unknown_key_names_the_nearest_known(tmp_path: Path, wrong: str, near: str) -> None:
    """A misspelt name is an error that says what was probably meant."""
    text = GOOD.replace("[app]", wrong) if wrong.startswith("[app]") else GOOD + wrong
    with pytest.raises(ConfigurationError, match=near):
        load(written(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("batch_size = 0", "app.batch_size: .*greater than or equal to 1 .given: 0"),
        ('umask = "99"', "app.umask"),
        ("drain_timeout_seconds = -1", "app.drain_timeout_seconds"),
    ],
)
def test_an_impossible_value_is_named_with_what_was_given(tmp_path: Path, line: str, message: str) -> None:
    """The error of a wrong value names its key and what is allowed."""
    with pytest.raises(ConfigurationError, match=message):
        load(written(tmp_path, GOOD.replace("[app]", f"[app]\n{line}")))


def test_text_that_is_not_toml_is_told_with_line_and_column(tmp_path: Path) -> None:
    """A syntax error names file, line and column."""
    with pytest.raises(ConfigurationError, match=r"archiverd.toml is not TOML: .*line 2, column"):
        load(written(tmp_path, "[app]\nwork_dir = /no/quotes\n"))


def test_an_impossible_port_is_what_is_said_of_a_server_url(tmp_path: Path) -> None:
    """The reason is the true one, not the commonest mistake."""
    with pytest.raises(ConfigurationError, match=r"ucon_db\.server_url has an impossible port"):
        load(written(tmp_path, GOOD.replace(":9443/", ":99999/")))


def test_the_server_url_must_end_in_app(tmp_path: Path) -> None:
    """The commonest mistake in server_url is caught before the first request."""
    with pytest.raises(ConfigurationError, match="must end in /app"):
        load(written(tmp_path, GOOD.replace("/inst/app", "/inst")))


def test_archiverd_never_works_below_the_run_records(tmp_path: Path) -> None:
    """A work directory below run_records_dir is refused: a new name there upsets the DAQ's numbering."""
    with pytest.raises(ConfigurationError, match="lies below run_records_dir"):
        load(written(tmp_path, GOOD.replace("/daq/run_records", str(tmp_path))))


def test_a_web_page_that_this_version_does_not_have_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is to believe that it listens; off, as by default, is right, and shown."""
    for off in ("", "[web]", '[web]\nlisten = ""'):
        path = written(tmp_path, GOOD + off)
        assert [one.value for one in origins(load(path), path) if one.section == "web"] == [""]
    with pytest.raises(ConfigurationError, match=r"web\.listen .* this version has no web page") as caught:
        load(written(tmp_path, GOOD + '[web]\nlisten = "127.0.0.1:9477"'))
    assert str(tmp_path / "archiverd.toml") in caught.value.remedy
    monkeypatch.setenv("ARCHIVERD_WEB__LISTEN", ":9477")
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, GOOD))
    assert "$ARCHIVERD_WEB__LISTEN" in caught.value.remedy


TELLING = {
    "reporting.email": {"recipient_email": "a@b", "sender_email": "c@d", "smtp_host": "mail"},
    "reporting.slack": {"bot_token": "xoxb-1", "channel": "#daq"},
    "carbon": {"host": "graphite"},
}


@pytest.mark.parametrize(("section", "key"), [(section, key) for section, keys in TELLING.items() for key in keys])
def test_what_is_enabled_has_what_it_needs(tmp_path: Path, section: str, key: str) -> None:
    """Mail, Slack and Carbon name the key they lack, in the runbook's words; disabled they need none."""
    lines = [f'{name} = "{value}"' for name, value in TELLING[section].items() if name != key]
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, "\n".join([GOOD, f"[{section}]", "enabled = true", *lines])))
    assert str(caught.value) == f"Configuration validation failed: {key} is required"
    assert f"[{section}]" in caught.value.remedy
    load(written(tmp_path, "\n".join([GOOD, f"[{section}]", "enabled = false", *lines])))
    whole = [f'{name} = "{value}"' for name, value in TELLING[section].items()]
    load(written(tmp_path, "\n".join([GOOD, f"[{section}]", "enabled = true", *whole])))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('smtp_user = "u"', "smtp_password is required"),
        ('recipient_email = "shift"', "must be addresses"),
        ('recipient_email = "a@b,\\nBcc: x@y"', "must be addresses"),
        ('sender_email = "archiver"', "must be addresses"),
    ],
)
def test_a_mail_that_could_not_be_sent_is_refused_beforehand(tmp_path: Path, line: str, message: str) -> None:
    """An address that no mail server would take is an error at the start, not at the first failure."""
    known = {**TELLING["reporting.email"], "enabled": True}
    known.pop(line.partition(" = ")[0], None)
    lines = [f"{name} = {str(value).lower() if value is True else repr(value)}" for name, value in known.items()]
    with pytest.raises(ConfigurationError, match=message):
        load(written(tmp_path, "\n".join([GOOD, "[reporting.email]", *lines, line])))


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key can come from the environment, and `config show --origin` says so."""
    monkeypatch.setenv("ARCHIVERD_APP__BATCH_SIZE", "7")
    path = written(tmp_path, GOOD)
    settings = load(path)
    assert settings.app.batch_size == 7
    sources = {(o.section, o.key): o.source for o in origins(settings, path)}
    assert sources["app", "batch_size"] == "$ARCHIVERD_APP__BATCH_SIZE"
    assert sources["app", "work_dir"] == str(path)
    assert sources["app", "umask"] == "default"


def test_the_password_comes_from_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential beats the file, and its final newline is not part of the password."""
    (tmp_path / "ucon_db_writer_password").write_text("from-systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = load(written(tmp_path, GOOD))
    assert settings.ucon_db.writer_password.get_secret_value() == "from-systemd"


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    """The password stands neither in `config show` nor in a repr."""
    path = written(tmp_path, GOOD)
    settings = load(path)
    shown = "".join(o.value for o in origins(settings, path)) + repr(settings)
    assert "hunter2" not in shown
    assert "********" in shown


def test_a_password_inside_a_url_is_not_shown(tmp_path: Path) -> None:
    """`config show` hides who logs in to MongoDB."""
    path = written(tmp_path, GOOD.replace("filesystemdb:///data/artdaqdb", "mongodb://w:hunter3@h/db"))
    (shown,) = (one.value for one in origins(load(path), path) if one.key == "database_uri")
    assert shown == "mongodb://********@h/db"


def test_references_expand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment, default, same section, other section, nested."""
    monkeypatch.setenv("UNUSED", "x")
    values = {
        "a": {"base": "${HOME}/d", "sub": "${base}/s", "none": "${NOPE}", "dflt": "${NOPE:-z}"},
        "b": {"far": ["${a.sub}!"]},
    }
    assert expand(values, {"HOME": "/h"}) == {
        "a": {"base": "/h/d", "sub": "/h/d/s", "none": "", "dflt": "z"},
        "b": {"far": ["/h/d/s!"]},
    }


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("${A:-${B:-${one}}}/x", "1/x"),
        ("${HOME:-${B}}/x", "/h/x"),
        ("${A:-a}${A:-b}", "ab"),
        ("${A:-}", ""),
        ("${EMPTY:-d}", "d"),
        ("${nope:-${HOME}}", "/h"),
        ("${nope.nope:-d}", "d"),
        ("${two}", "inner"),
        ("${s.two}", "outer"),
        ("${three}", "3"),
        ("${s.t.two}", "inner"),
        ("${flag} ${none}", "true "),
        ("$HOME $ {one} }", "$HOME $ {one} }"),
    ],
)
def test_references_nest(text: str, meant: str) -> None:
    """In defaults as well; a key is searched in the string's section, then in the one around it."""
    table = {"one": 1, "two": "outer", "three": "3", "flag": True, "none": None, "t": {"two": "inner", "it": text}}
    assert expand({"s": table}, {"HOME": "/h", "EMPTY": ""})["s"]["t"]["it"] == meant


def test_what_the_environment_holds_is_not_expanded_again() -> None:
    """A password that looks like a reference stays what it is."""
    assert expand({"s": {"a": "${PW}", "b": "${a}"}}, {"PW": "x${b}$"}) == {"s": {"a": "x${b}$", "b": "x${b}$"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${HOME/x", "s.a holds a reference that is not closed"),
        ("${A:-${B}", "s.a holds a reference that is not closed"),
        ("${}", "s.a holds a reference whose name is not one"),
        ("${my-key}", "s.a holds a reference whose name is not one"),
        ("${list}", "refers to s.list, which is not a single value"),
        ("${b}", r"s\.b holds a reference that is not closed"),
    ],
)
def test_a_reference_that_is_none_is_refused_by_its_key(text: str, told: str) -> None:
    """The error names the key; it does not show the value, which may be secret."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        expand({"s": {"a": text, "list": [1], "b": "secret${"}}, {})
    assert "secret" not in str(caught.value)


def test_references_in_a_circle_are_refused() -> None:
    """A circle is an error that shows the way round."""
    with pytest.raises(ConfigurationError, match=r"circle: s.a → s.b → s.a"):
        expand({"s": {"a": "${b}", "b": "${a}"}}, {})


def test_a_reference_to_nothing_is_refused() -> None:
    """A lower-case reference must name a key that exists."""
    with pytest.raises(ConfigurationError, match=r"there is no s.nope"):
        expand({"s": {"a": "${nope}"}}, {})


@given(st.dictionaries(st.text("abc", min_size=1), st.text(st.characters(exclude_characters="$"))))
def test_text_without_references_is_left_alone(section: dict[str, str]) -> None:
    """Expansion touches nothing but references."""
    assert expand({"s": section}, {}) == {"s": section}


def test_a_configuration_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A missing file is an error that names it; without a name it lists the places searched."""
    with pytest.raises(ConfigurationError, match=r"/nope\.toml does not exist"):
        find_config("/nope.toml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("archiverd.config.location.SEARCHED", ("./archiverd.toml",))
    with pytest.raises(ConfigurationError, match=r"looked for \./archiverd\.toml"):
        find_config(None)
