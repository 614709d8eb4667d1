"""The configuration's lines: each fault of the runbook is told, and its remedy works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd.config.environment_file import load_environment
from archiverd.doctor.checkup import examine_all, holds
from archiverd.doctor.finding import Status
from archiverd.doctor.subject import read_subject

if TYPE_CHECKING:
    from .conftest import House

HIDDEN = ("ARCHIVERD_CONFIG", "CREDENTIALS_DIRECTORY", "WORK_DIR", "UCONDB_URL")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HIDDEN:
        monkeypatch.delenv(name, raising=False)


async def test_a_sound_installation_has_no_failed_line(house: House) -> None:
    """With everything in place nothing fails, every line has a reason, and only what is not right has a remedy."""
    found = await house.look()
    assert [one for one in found.values() if one.status is Status.FAILED] == []
    assert all(one.message for one in found.values())
    assert all(bool(one.remedy) == (one.status in (Status.FAILED, Status.WARNING)) for one in found.values())


async def test_text_that_is_no_configuration(house: House) -> None:
    """A syntax error is told with its place; what needs no configuration is looked at all the same."""
    house.path.write_text("[app]\nwork_dir = \n")
    found = await house.look()
    assert found["config syntax"].status is Status.FAILED
    assert "line 2" in found["config syntax"].message
    assert found["config values"].message == "only when config syntax is right"
    assert found["artdaqDB"].status is found["disk space"].status is Status.SKIPPED
    assert found["python"].status is found["packages"].status is Status.OK
    house.change("app")
    assert (await house.look())["config syntax"].status is Status.OK


async def test_no_configuration_at_all(house: House) -> None:
    """A file that is not there is the first line's failure."""
    findings = await examine_all(read_subject(str(house.root / "nowhere.toml"), migrating=False))
    assert (findings[0].name, findings[0].status) == ("config syntax", Status.FAILED)
    assert "--config FILE" in findings[0].remedy
    assert not holds(findings)


async def test_a_missing_required_key(house: House) -> None:
    """The runbook's words name the key; setting it is the remedy."""
    house.change("app", work_dir=None)
    line = (await house.look())["config values"]
    assert line.message == "Configuration validation failed: work_dir is required"
    assert str(house.path) in line.remedy
    house.change("app", work_dir=str(house.work))
    assert (await house.look())["config values"].status is Status.OK


async def test_without_the_way_to_ucondb_the_rest_is_looked_at(house: House) -> None:
    """Missing keys of [ucon_db] fail, and hide neither directories nor artdaqDB."""
    found = await house.look(migrating=True)
    assert found["config values"].status is found["UconDB URL"].status is Status.FAILED
    assert found["UconDB URL"].message == "server_url is required"
    assert found["work_dir"].status is found["artdaqDB directory"].status is Status.OK


async def test_a_password_that_only_the_unit_has(full_house: House) -> None:
    """The line says how a command gets the credential; the server is asked as far as that goes without it."""
    full_house.change("ucon_db", writer_password=None)
    found = await full_house.look(migrating=True)
    assert "writer_password is required" in found["config values"].message
    assert "systemd-run" in found["config values"].remedy
    assert found["UconDB answer"].status is Status.OK
    assert found["UconDB login"].message == "writer_password is required"


async def test_a_variable_that_is_not_set(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset variable fails where its key is required, warns elsewhere, and counts for nothing with a default."""
    house.change("source_files", run_records_dir="${WORK_DIR}/run_records")
    line = (await house.look())["environment variables"]
    assert line.status is Status.FAILED
    assert line.message == "unset or empty: WORK_DIR (in source_files.run_records_dir)"
    monkeypatch.setenv("WORK_DIR", str(house.root))
    found = await house.look()
    assert found["environment variables"].message == "set: WORK_DIR"
    assert found["run_records_dir"].status is Status.OK
    house.change("ucon_db", folder_name="${FOLDER:-x}")
    house.change("carbon", metric_prefix="${UCONDB_URL}")
    line = (await house.look())["environment variables"]
    assert (line.status, line.message) == (Status.WARNING, "unset or empty: UCONDB_URL (in carbon.metric_prefix)")


async def test_a_variable_that_no_section_takes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt ARCHIVERD_SECTION__KEY would be taken by nobody in silence; the line names it and what there is."""
    monkeypatch.setenv("ARCHIVERD_UCONDB__WRITER_USER", "x")
    line = (await house.look())["ARCHIVERD_ variables"]
    assert line.status is Status.WARNING
    assert "ARCHIVERD_UCONDB__WRITER_USER" in line.message
    assert "UCON_DB" in line.remedy
    monkeypatch.delenv("ARCHIVERD_UCONDB__WRITER_USER")
    monkeypatch.setenv("ARCHIVERD_UCON_DB__WRITER_USER", "x")
    assert (await house.look())["ARCHIVERD_ variables"].status is Status.OK


async def test_a_password_that_everybody_may_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A literal secret in a readable file is a warning; a reference is none; the remedy is followed."""
    house.change("ucon_db", writer_password="hunter-two")
    house.path.chmod(0o644)
    line = (await house.look())["config secrets"]
    assert line.status is Status.WARNING
    assert "ucon_db.writer_password" in line.message
    assert "hunter-two" not in line.message + line.remedy
    house.path.chmod(0o640)
    assert (await house.look())["config secrets"].status is Status.OK
    monkeypatch.setenv("WORK_DIR", "hunter-two")
    house.change("ucon_db", writer_password="${WORK_DIR}")
    house.path.chmod(0o644)
    assert (await house.look())["config secrets"].status is Status.OK


YAML = """
app:
    work_dir: ${WORK_DIR}/work
source_files:
    run_records_dir: {root}/run_records
artdaq_db:
    database_uri: filesystemdb://{root}/artdaqdb
ucon_db:
    writer_password: ${UCONDB_PASSWORD}
"""


async def test_the_older_tools_configuration(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """YAML with archiver.env beside it has the same lines; an archiver.env that everybody may read is a warning."""
    path, environment = house.root / "config.yaml", house.root / "archiver.env"
    path.write_text(YAML.replace("{root}", str(house.root)))
    monkeypatch.delenv("UCONDB_PASSWORD", raising=False)
    found = {one.name: one for one in await examine_all(read_subject(str(path), migrating=False))}
    assert found["environment variables"].status is Status.FAILED
    assert "WORK_DIR (in app.work_dir)" in found["environment variables"].message
    environment.write_text(f"WORK_DIR={house.root}\nexport UCONDB_PASSWORD=hunter-two\n")
    environment.chmod(0o644)
    for name in ("WORK_DIR", "UCONDB_PASSWORD"):
        monkeypatch.setenv(name, "")  # put back afterwards
    subject = read_subject(str(path), migrating=False, environment=load_environment(environment))
    found = {one.name: one for one in await examine_all(subject)}
    assert [one for one in found.values() if one.status is Status.FAILED] == []
    assert found["environment variables"].status is Status.OK
    assert found["log rotation"].message.startswith("0 files")
    assert found["config secrets"].status is Status.WARNING
    assert found["config secrets"].message.startswith(f"{environment} holds UCONDB_PASSWORD")
    assert "hunter-two" not in repr(found)
    environment.chmod(0o600)
    found = {one.name: one for one in await examine_all(subject)}
    assert found["config secrets"].message == f"UCONDB_PASSWORD in {environment} (-rw-------)"
