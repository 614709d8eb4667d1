"""`archiverd config migrate`: the older tool's YAML as TOML that means the same and holds no secret."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from archiverd.cli import main
from archiverd.config.conversion import VARIABLES, migrate
from archiverd.config.loader import load
from archiverd.config.models import SECRETS
from archiverd.core.errors import ConfigurationError
from tests.config.test_yaml import FLAT, TYPICAL, written

if TYPE_CHECKING:
    from pathlib import Path

SECRETIVE = """
app:
    work_dir: "${WORK_DIR:-/tmp/archiver}"
    log_file: null
    exclude_most_recent_run: true
    umask: 0027
    log_level: warning
fhiclize_generate:
    files: [boot.txt, metadata, RunHistory.fcl, "${EXTRA:-setup}", custom_config.txt]
source_files:
    run_records_dir: /daq/run_records
artdaq_db:
    fcl_conf_dir: null
    database_uri: "${ARTDAQDB_URL:-mongodb://archiver:hunter%32@h:27017/db}"
ucon_db:
    server_url: "https://u:9443/i/app"
    folder_name: 007
    object_name: 'odd, ünïcode & more'
    writer_user: writer
    writer_password: hunter3
    verify_tls: false
    timeout_seconds: "${TIMEOUT:-30}"
watch:
    backfill: 12000
validation:
    required: [components, ~]
reporting:
    slack:
        enabled: true
        bot_token: "${TOKEN:-hunter4}"
        channel: "#runs"
        mention_users: 'it''s "quoted" \\ ünïcode'
    email:
        smtp_password: "x${SUFFIX:-hunter5}"
"""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the variables that take the secrets' places what stood in the files."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for name, value in {
        "UCONDB_PASSWORD": "hunter3",
        "TOKEN": "hunter4",
        "SMTP_PASSWORD": "xhunter5",
        "ARTDAQDB_PASSWORD": "hunter%32",
    }.items():
        monkeypatch.setenv(name, value)


def flat() -> str:
    """Return a configuration with mail settings in the old flat form, one referring to another by its old place."""
    before, _, after = TYPICAL.partition("reporting:")
    reporting = FLAT.replace("b@example.org", '"${reporting.recipient_email}"')
    return before.replace("0123", "hunter3") + reporting + "carbon" + after.partition("carbon")[2]


@pytest.mark.parametrize(
    "text", [TYPICAL.replace("0123", "hunter3"), SECRETIVE, flat()], ids=["typical", "odd", "flat"]
)
def test_the_result_means_the_same(tmp_path: Path, text: str) -> None:
    """Both files give the same settings, but for endings that are dropped; the result passes the same checks."""
    old = load(written(tmp_path, text))
    new = load(written(tmp_path, migrate(tmp_path / "config.yaml").text, "archiverd.toml"))
    bare = tuple(name.removesuffix(".txt").removesuffix(".fcl") for name in old.fhiclize_generate)
    assert new == old.model_copy(update={"fhiclize_generate": bare})


def test_no_secret_is_written_and_each_is_named(tmp_path: Path) -> None:
    """Passwords, tokens, a password inside a URI, and secrets in defaults give way to references; notes name them."""
    done = migrate(written(tmp_path, SECRETIVE))
    assert "hunter" not in done.text + "".join(done.notes)
    values = tomllib.loads(done.text)
    assert values["artdaq_db"]["database_uri"] == "${ARTDAQDB_URL:-mongodb://archiver:${ARTDAQDB_PASSWORD}@h:27017/db}"
    assert values["ucon_db"]["writer_password"] == "${UCONDB_PASSWORD}"
    assert values["reporting"]["slack"]["bot_token"] == "${TOKEN}"
    assert values["reporting"]["email"]["smtp_password"] == "${SMTP_PASSWORD}"
    for key in ("artdaq_db.database_uri", *(".".join(path) for path in VARIABLES)):
        assert any(note.startswith(f"{key}: the ") for note in done.notes), key


def test_the_variables_are_those_of_secrets() -> None:
    """A variable takes the place of a secret and of nothing else; a secret without one is named after its path."""
    assert set(VARIABLES) <= set(SECRETS)


def test_references_stay_as_they_were(tmp_path: Path) -> None:
    """What came from variables and from other keys still does; numbers and truth values are written as such."""
    done = migrate(written(tmp_path, TYPICAL))
    values = tomllib.loads(done.text)
    assert values["app"]["work_dir"] == "${WORK_DIR:-/tmp/archiver}"
    assert values["app"]["import_state_file"] == "${work_dir}/importer_state.json"
    assert (values["app"]["retry_delay_seconds"], values["app"]["batch_size"]) == ("${DELAY:-4}", 5)
    assert (values["artdaq_db"]["use_tools"], values["ucon_db"]["folder_name"]) == (False, "2024")
    assert "WORK_DIR" in done.variables
    assert "UCONDB_USER" in done.variables


def test_what_is_different_is_said(tmp_path: Path) -> None:
    """Keys that moved or went, converters, the log file, and that TLS is verified now."""
    notes = "\n".join(migrate(written(tmp_path, flat())).notes)
    assert "reporting.send_email_on_error is deprecated: it is reporting.email.enabled now" in notes
    assert "app.log_file is written down" in notes
    assert "TLS: UconDB's certificate is verified now" in notes
    assert "leaves known_boardreaders_list, settings, setup" in notes
    notes = "\n".join(migrate(written(tmp_path, SECRETIVE)).notes)
    assert "app.exclude_most_recent_run is not needed any more" in notes
    assert "fhiclize_generate: the endings .txt and .fcl are dropped" in notes
    assert "no converter stands for custom_config" in notes
    assert "TLS" not in notes


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        (TYPICAL, "config.toml", "is no configuration of the older tool"),
        ("app:\n    wrk_dir: /x\n", "config.yaml", "unknown key app.wrk_dir .*did you mean work_dir"),
        ("app:\n    work_dir: [\n", "config.yaml", "is not YAML: line 3"),
        ("app:\n    work_dir: {a: 1}\n", "config.yaml", "work_dir is not a section"),
        ("app:\n    work_dir: !!binary aGk=\n", "config.yaml", "work_dir holds what TOML has no form for"),
    ],
)
def test_what_cannot_be_converted_is_told(tmp_path: Path, text: str, name: str, told: str) -> None:
    """A file that is wrong is not made into another one that is."""
    with pytest.raises(ConfigurationError, match=told):
        migrate(written(tmp_path, text, name))


def test_the_command_prints_or_writes_and_checks(tmp_path: Path) -> None:
    """Data on standard output or in a new file, everything for people on standard error, the verdict of a check too."""
    old, new = written(tmp_path, SECRETIVE), tmp_path / "new.toml"
    printed = CliRunner().invoke(main.cli, ["config", "migrate", str(old)])
    assert printed.exit_code == 0
    assert tomllib.loads(printed.stdout)["ucon_db"]["folder_name"] == "007"
    assert "- TLS" not in printed.stderr
    assert "archiverd.toml: configuration is valid" in printed.stderr
    done = CliRunner().invoke(main.cli, ["config", "migrate", str(old), "--output", str(new)])
    assert (done.exit_code, done.stdout, new.read_text()) == (0, "", printed.stdout)
    again = CliRunner().invoke(main.cli, ["config", "migrate", str(old), "--output", str(new)])
    assert isinstance(again.exception, ConfigurationError)
    assert "is there already and is not overwritten" in str(again.exception)


def test_a_result_that_lacks_something_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that is not there yet is asked for; archiver.env beside the YAML gives the variables."""
    monkeypatch.delenv("UCONDB_PASSWORD")
    old = written(tmp_path, SECRETIVE)
    told = CliRunner().invoke(main.cli, ["config", "migrate", str(old)]).stderr
    assert "not right yet: Configuration validation failed: writer_password is required" in told
    env = written(tmp_path, "UCONDB_PASSWORD=hunter3\n", "archiver.env")
    monkeypatch.setenv("UCONDB_PASSWORD", "")
    told = CliRunner().invoke(main.cli, ["config", "migrate", str(old)]).stderr
    assert f"which --env-file {env} gives it" in told
    assert "configuration is valid" in told
