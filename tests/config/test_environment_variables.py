"""Mistakes in what the environment gives are blamed on the variable, not on the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd.config.environment_file import EnvironmentFile
from archiverd.config.loader import load
from archiverd.core.errors import ConfigurationError
from tests.config.test_config import GOOD, _no_outside_settings, written

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["_no_outside_settings"]


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("APP__BATCHSIZE", r"unknown key app\.batchsize in \$%s; did you mean \$ARCHIVERD_APP__BATCH_SIZE\?"),
        ("UCONDB__WRITER_PASSWORD", r"unknown section \[ucondb\] in \$%s; did you mean \$ARCHIVERD_UCON_DB__…\?"),
        (
            "REPORTING__EMAIL__SMTPHOST",
            r"unknown key reporting.email.smtphost in \$%s; did you mean \$ARCHIVERD_REPORTING__EMAIL__SMTP_HOST\?",
        ),
        (
            "REPORTING__MAIL__SMTP_HOST",
            r"unknown key reporting.mail in \$%s; did you mean \$ARCHIVERD_REPORTING__EMAIL__SMTP_HOST\?",
        ),
        ("VALIDATION__X", r"unknown key validation.x in \$%s; known are: required"),
    ],
)
def test_a_variable_that_names_no_key_tells_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, told: str
) -> None:
    """As a key of the file does; what it holds is not shown."""
    monkeypatch.setenv(f"ARCHIVERD_{variable}", "hunter3")
    with pytest.raises(ConfigurationError, match=told % f"ARCHIVERD_{variable}") as caught:
        load(written(tmp_path, GOOD))
    assert "hunter3" not in f"{caught.value} {caught.value.remedy}"


def test_a_key_in_a_sections_variable_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole section may be given as JSON; what it holds is not shown."""
    monkeypatch.setenv("ARCHIVERD_UCON_DB", '{"writer_pasword": "hunter3"}')
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, GOOD))
    assert str(caught.value) == (
        "Configuration validation failed: unknown key ucon_db.writer_pasword in $ARCHIVERD_UCON_DB; "
        "did you mean writer_password?"
    )


@pytest.mark.parametrize(
    "name", ["ARCHIVERD_CONFIG", "ARCHIVERD_ENV_FILE", "ARCHIVERD_PORT_80_TCP", "ARCHIVERD_FOO__BAR"]
)
def test_a_variable_of_somebody_else_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What names no section, nor nearly one, is none of our business."""
    monkeypatch.setenv(name, "x")
    assert load(written(tmp_path, GOOD)).app.batch_size == 5


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("APP__BATCH_SIZE", "abc", "app.batch_size: .*integer.* \\(given: 'abc' in %s\\)"),
        ("REPORTING__EMAIL__SMTP_PORT", "0", "reporting.email.smtp_port: .* \\(given: '0' in %s\\)"),
        ("APP", '{"batch_size": 0}', "app.batch_size: .* \\(given: 0 in %s\\)"),
        ("APP", "zzz", "app: %s must hold a section as JSON"),
        ("VALIDATION__REQUIRED", "components", "validation.required: %s must hold a list as JSON"),
        ("FHICLIZE_GENERATE", "boot", "fhiclize_generate: %s must hold a list as JSON"),
        ("UCON_DB__WRITER_PASSWORD__X", "hunter3", "ucon_db.writer_password: .* \\(given in %s\\)"),
        ("APP__WORK_DIR", "", "work_dir is required"),
        ("APP__WORK_DIR", "/daq/run_records/x", "lies below"),
        ("UCON_DB__SERVER_URL", "https://w:hunter3@h/app", "names a user"),
    ],
)
def test_a_bad_value_is_blamed_on_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    """In the remedy, and in the message where it shows the value; a secret is never shown."""
    name = f"ARCHIVERD_{variable}"
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=told.replace("%s", f"\\${name}")) as caught:
        load(written(tmp_path, GOOD))
    assert f"${name}" in caught.value.remedy
    assert "archiverd.toml" not in caught.value.remedy
    assert "hunter3" not in f"{caught.value} {caught.value.remedy}"


def test_the_file_that_set_a_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the variable is a setting itself, or one that the configuration refers to."""
    path = written(tmp_path, GOOD.replace("[app]", '[app]\nbatch_size = "${BATCH}"'))
    monkeypatch.setenv("BATCH", "abc")
    monkeypatch.setenv("ARCHIVERD_APP__UMASK", "x")
    environment = EnvironmentFile(tmp_path / "archiver.env", frozenset({"BATCH", "ARCHIVERD_APP__UMASK"}))
    with pytest.raises(ConfigurationError) as caught:
        load(path, environment=environment)
    assert f"(given: 'abc' in {path}, which refers to $BATCH of {environment.path})" in str(caught.value)
    assert f"(given: 'x' in $ARCHIVERD_APP__UMASK of {environment.path})" in str(caught.value)
    for name in ("$BATCH", "$ARCHIVERD_APP__UMASK"):
        assert f"{name} of {environment.path}" in caught.value.remedy


def test_a_value_that_came_out_of_a_password_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it was put by mistake."""
    monkeypatch.setenv("DB_PASSWORD", "hunter3")
    with pytest.raises(ConfigurationError, match=r"app\.batch_size") as caught:
        load(written(tmp_path, GOOD.replace("[app]", '[app]\nbatch_size = "${DB_PASSWORD}"')))
    assert "hunter3" not in f"{caught.value} {caught.value.remedy}"
