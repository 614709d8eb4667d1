"""The older tool's YAML: the same sections and references, its own forms, and errors that say where."""

from __future__ import annotations

from pathlib import Path

import pytest

from archiverd.config.environment_file import load_environment
from archiverd.config.loader import load
from archiverd.config.models import Settings
from archiverd.config.provenance import origins
from archiverd.core.errors import ConfigurationError

TYPICAL = """
app:
    work_dir: "${WORK_DIR:-/tmp/archiver}"
    import_state_file: "${work_dir}/importer_state.json"
    lock_file: "${work_dir}/.archiver.lock"
    batch_size: 5
    retry_delay_seconds: "${DELAY:-4}"
    log_level: debug
fhiclize_generate:
    - boot
    - metadata.txt
    - RunHistory.fcl
source_files:
    run_records_dir: "${RUN_RECORDS_DIR:-/daq/run_records}"
artdaq_db:
    fcl_conf_dir: "/daq/conf"
    database_uri: "${ARTDAQDB_URL:-filesystemdb:///daq/artdaqdb}"
    use_tools: no
    remote_host: null
ucon_db:
    server_url: "${UCONDB_URL:-https://ucondb.example.org:9443/inst/app}"
    folder_name: 2024
    object_name: "configuration"
    timeout_seconds: 30
    writer_user: "${UCONDB_USER:-writer}"
    writer_password: 0123
reporting:
    email:
        enabled: on
        recipient_email: "a@example.org,b@example.org"
        sender_email: c@example.org
        smtp_host: smtp.example.org
        smtp_user: ~
    slack:
        mention_users:
carbon:
    metric_prefix: "${EXPERIMENT_NAME:-demo}.archiver"
app_fuzz:
"""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's own environment out of the tests."""
    for name in ("CREDENTIALS_DIRECTORY", "WORK_DIR", "RUN_RECORDS_DIR", "ARTDAQDB_URL", "UCONDB_URL", "UCONDB_USER"):
        monkeypatch.delenv(name, raising=False)


def written(tmp_path: Path, text: str, name: str = "config.yaml") -> Path:
    """Write a configuration and return its path."""
    path = tmp_path / name
    path.write_text(text)
    return path


def told_by(path: Path) -> list[tuple[str, str]]:
    """Load a configuration and return its notes."""
    told: list[tuple[str, str]] = []
    load(path, report=lambda level, text: told.append((level, text.removeprefix(f"{path}: "))))
    return told


@pytest.mark.parametrize("name", ["config.yaml", "config.yml", "CONFIG.YAML"])
def test_a_typical_file_means_what_it_meant(tmp_path: Path, name: str) -> None:
    """Numbers, truth values and names come out as their settings want them; a password is what was typed."""
    settings = load(written(tmp_path, TYPICAL, name))
    assert settings.app.work_dir == Path("/tmp/archiver")
    assert settings.app.lock_file == Path("/tmp/archiver/.archiver.lock")
    assert (settings.app.batch_size, settings.app.retry_delay_seconds, settings.app.log_level) == (5, 4.0, "DEBUG")
    assert (settings.artdaq_db.use_tools, settings.artdaq_db.remote_host) == (False, "")
    assert (settings.ucon_db.folder_name, settings.ucon_db.timeout_seconds) == ("2024", 30.0)
    assert settings.ucon_db.writer_password.get_secret_value() == "0123"
    assert settings.ucon_db.verify_tls is True
    assert settings.fhiclize_generate == ("boot", "metadata.txt", "RunHistory.fcl")
    assert (settings.reporting.email.enabled, settings.reporting.email.smtp_port) == (True, 25)
    assert settings.carbon.metric_prefix == "demo.archiver"


def test_the_log_file_is_archiver_log_unless_said_otherwise(tmp_path: Path) -> None:
    """A YAML configuration logs to archiver.log by itself; `log_file: null` and an empty one mean none."""
    assert load(written(tmp_path, TYPICAL)).app.log_file == Path("/tmp/archiver/archiver.log")
    for given, meant in [("null", None), ('""', None), ("/var/log/a.log", Path("/var/log/a.log"))]:
        text = TYPICAL.replace("    batch_size", f"    log_file: {given}\n    batch_size")
        assert load(written(tmp_path, text)).app.log_file == meant


def test_toml_has_no_log_file_unless_the_launcher_asks(tmp_path: Path) -> None:
    """Under systemd the journal has it all; run_archiver.sh gives its users their file."""
    text = (
        '[app]\nwork_dir = "/tmp/a"\n[source_files]\nrun_records_dir = "/daq/r"\n'
        '[artdaq_db]\ndatabase_uri = "filesystemdb:///d"\n'
    )
    path = written(tmp_path, text, "archiverd.toml")
    assert load(path, migrating=False).app.log_file is None
    assert load(path, migrating=False, log_file=True).app.log_file == Path("/tmp/a/archiver.log")
    path = written(tmp_path, text.replace("[source", 'log_file = ""\n[source'), "archiverd.toml")
    assert load(path, migrating=False, log_file=True).app.log_file is None


def test_an_unset_variable_where_a_value_is_required_is_the_runbooks_error(tmp_path: Path) -> None:
    """`work_dir: ${WORK_DIR}` without that variable is a missing work_dir, not the current directory."""
    path = written(tmp_path, TYPICAL.replace("${WORK_DIR:-/tmp/archiver}", "${WORK_DIR}"))
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert f"{caught.value.name}: {caught.value}" == (
        "ConfigurationError: Configuration validation failed: work_dir is required"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "app:\n    work_dir: [a\n",
            r"not YAML: line 3, column 1: while parsing a flow sequence, .*expected ',' or ']'",
        ),
        ("app:\n    a: 1\n  b: 2\n", r"not YAML: line 3, column 3: "),
        ("app:\n\tb: 1\n", r"not YAML: line 2, column 1: .*'\\t'"),
        ("app:\n    batch_size: 1\n    batch_size: 2\n", r"not YAML: line 3, column 5: batch_size stands twice"),
        ("app: {}\napp: {}\n", r"not YAML: line 2, column 1: app stands twice"),
        ("a: !!python/object/apply:os.system [id]\n", r"not YAML: line 1, column 4: could not determine a constructor"),
        ("a: &a [*a]\n", r"not YAML: nested too deeply"),
        ("", r"not YAML: empty, or no sections"),
        ("- app\n", r"not YAML: empty, or no sections"),
        ("[a]: 1\n", r"not YAML: line 1, column 1: a key that is not plain text"),
        ("a: \x07\n", r"not YAML: unacceptable character #x0007"),
    ],
)
def test_what_is_not_yaml_is_told_with_line_and_column(tmp_path: Path, text: str, told: str) -> None:
    """A syntax error, a key that stands twice, or what is more than data, names file, line and column."""
    with pytest.raises(ConfigurationError, match=rf"config\.yaml is {told}"):
        load(written(tmp_path, text))


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    """A few lines that mean a billion values are refused."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ConfigurationError, match="more than 10000 values"):
        load(written(tmp_path, "\n".join(lines)))


def test_references_that_double_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Nor do keys that refer to each other twice each."""
    keys = "".join(f'    k{n}: "${{k{n - 1}}}${{k{n - 1}}}"\n' for n in range(1, 60))
    with pytest.raises(ConfigurationError, match="expands to more than 65536 characters"):
        load(written(tmp_path, f"app:\n    k0: xx\n{keys}"))


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    """Ordinary YAML that a site may have written stays valid."""
    text = TYPICAL.replace("carbon:\n", "carbon:\n    <<: &more {enabled: true}\n    host: h\n")
    settings = load(written(tmp_path, text))
    assert (settings.carbon.enabled, settings.carbon.host) == (True, "h")


def test_unknown_keys_name_the_nearest_known(tmp_path: Path) -> None:
    """A misspelt key is an error in YAML too, also one spelled as the older tool's constants."""
    for given, near in [("batchsize", "batch_size"), ("LOG_FILE_MAX_BYTES", "log_max_bytes")]:
        path = written(tmp_path, TYPICAL.replace("    batch_size: 5", f"    {given}: 5"))
        with pytest.raises(ConfigurationError, match=f"unknown key app.{given} in .*; did you mean {near}?"):
            load(path)


FLAT = """reporting:
    send_email_on_error: true
    recipient_email: a@example.org
    sender_email: b@example.org
    smtp_host: smtp.example.org
    smtp_password: "${SMTP_PASSWORD}"
"""


def test_the_old_flat_form_of_mail_settings_is_taken_with_its_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It means port 587 with STARTTLS when it says nothing, and warns; reporting.email wins over it."""
    monkeypatch.setenv("SMTP_PASSWORD", "hunter2")
    before, _, after = TYPICAL.partition("reporting:")
    path = written(tmp_path, before + FLAT + "carbon" + after.partition("carbon")[2])
    email = load(path).reporting.email
    assert (email.enabled, email.smtp_port, email.smtp_use_tls) == (True, 587, True)
    assert (email.recipient_email, email.smtp_password.get_secret_value()) == ("a@example.org", "hunter2")
    (warning,) = [text for level, text in told_by(path) if level == "warning"]
    assert warning.startswith("reporting.send_email_on_error is deprecated: it is reporting.email.enabled now")
    (shown,) = [one for one in origins(load(path), path) if one.key == "smtp_password"]
    assert (shown.value, shown.source) == ("********", f"{path}, $SMTP_PASSWORD")
    path = written(tmp_path, TYPICAL.replace("    slack:", "    send_email_on_error: false\n    slack:"))
    assert load(path).reporting.email.enabled is True
    assert "not looked at" in "".join(text for level, text in told_by(path) if level == "warning")


def test_a_key_that_is_not_needed_any_more_warns(tmp_path: Path) -> None:
    """What the older tool had and archiverd does not need is accepted, and said."""
    path = written(tmp_path, TYPICAL.replace("    batch_size: 5", "    exclude_most_recent_run: true"))
    assert (
        "warning",
        "app.exclude_most_recent_run is not needed any more: a run that has not ended is never archived",
    ) in (told_by(path))


@pytest.mark.parametrize("files", ["{files: [boot.txt, custom_config.txt]}", "[boot.txt, custom_config.txt]"])
def test_the_list_of_converters_may_stand_under_files(tmp_path: Path, files: str) -> None:
    """Both forms mean the same, and names stay as they were written for the message about them."""
    text = TYPICAL.replace("    - boot\n    - metadata.txt\n    - RunHistory.fcl\n", "").replace(
        "fhiclize_generate:", f"fhiclize_generate: {files}"
    )
    assert load(written(tmp_path, text)).fhiclize_generate == ("boot.txt", "custom_config.txt")


def test_a_null_list_of_converters_is_the_default(tmp_path: Path) -> None:
    """An empty `fhiclize_generate:` converts everything there is a converter for."""
    text = TYPICAL.replace("    - boot\n    - metadata.txt\n    - RunHistory.fcl\n", "")
    assert load(written(tmp_path, text)).fhiclize_generate == Settings.model_fields["fhiclize_generate"].default


def test_what_references_became_is_told_at_debug_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debug output shows the expansion; a value that is a secret, or came from one, is hidden."""
    monkeypatch.setenv("WORK_DIR", "/data/work")
    monkeypatch.setenv("UCONDB_PASSWORD", "hunter2")
    monkeypatch.setenv("ARTDAQDB_URL", "mongodb://w:hunter2@h/db")
    text = TYPICAL.replace("0123", '"${UCONDB_PASSWORD}"').replace("${EXPERIMENT_NAME:-demo}", "${UCONDB_PASSWORD}")
    told = [text for level, text in told_by(written(tmp_path, text)) if level == "debug"]
    assert "app.work_dir: ${WORK_DIR:-/tmp/archiver} → /data/work" in told
    assert "ucon_db.writer_password: ********" in told
    assert "hunter2" not in "".join(told)


def test_where_a_value_came_from_names_variable_and_environment_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`config show --origin` shows the YAML file, the variables behind its references, and archiver.env."""
    monkeypatch.setenv("WORK_DIR", "before")
    monkeypatch.setenv("UCONDB_USER", "somebody")
    monkeypatch.setenv("ARCHIVERD_APP__BATCH_SIZE", "before")
    env = written(tmp_path, "WORK_DIR=/data/work\nARCHIVERD_APP__BATCH_SIZE=7\n", "archiver.env")
    path = written(tmp_path, TYPICAL)
    environment = load_environment(env)
    settings = load(path)
    sources = {(o.section, o.key): o.source for o in origins(settings, path, environment)}
    assert settings.app.batch_size == 7
    assert sources["app", "lock_file"] == f"{path}, $WORK_DIR of {env}"
    assert sources["app", "batch_size"] == f"$ARCHIVERD_APP__BATCH_SIZE of {env}"
    assert sources["ucon_db", "writer_user"] == f"{path}, $UCONDB_USER"
    assert sources["ucon_db", "folder_name"] == str(path)
    assert sources["ucon_db", "verify_tls"] == "default"
