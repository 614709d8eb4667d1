"""Configuration errors: told before anything is done, by key, with what to do."""

from __future__ import annotations

import shutil
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.runbook.conftest import Desk

REQUIRED = "ConfigurationError: Configuration validation failed: {} is required"


def test_one_mistake_after_the_other_is_named_and_mended(desk: Desk) -> None:
    """`config check` tells file, place or key, and the remedy; exit 0 when nothing is left to mend."""
    good = desk.config.read_text()
    desk.config.write_text(good.replace("app:", "app: {", 1))
    said = desk.run("config", "check")
    assert (said.returncode, "Traceback" in said.stderr) == (1, False)
    assert f"{desk.config}" in said.stderr
    assert "line" in said.stderr
    desk.config.write_text(good.replace("retry_delay_seconds", "retry_delay_second"))
    said = desk.run("config", "check")
    assert (said.returncode, "did you mean retry_delay_seconds?" in said.stderr) == (1, True)
    desk.config.write_text(good)
    assert desk.run("config", "check").returncode == 0


def test_a_required_key_that_is_missing(desk: Desk) -> None:
    """In the guide's words, exit 1; also when the key's environment variable is not set."""
    desk.edit("app", work_dir="${ARCHIVE_WORK}")
    said = desk.archiver()
    assert (said.returncode, REQUIRED.format("work_dir") in said.stderr) == (1, True)
    desk.edit("app", work_dir=None)
    said = desk.archiver()
    assert (said.returncode, REQUIRED.format("work_dir") in said.stderr) == (1, True)
    desk.edit("app", work_dir="${ARCHIVE_WORK}")
    assert desk.archiver(ARCHIVE_WORK=str(desk.work)).returncode == 0
    desk.edit("artdaq_db", database_uri=None)
    desk.edit("ucon_db", server_url=None)
    said = desk.archiver(ARCHIVE_WORK=str(desk.work))
    assert (said.returncode, REQUIRED.format("database_uri") in said.stderr) == (1, True)
    desk.edit("artdaq_db", database_uri=f"filesystemdb://{desk.root}/artdaqdb")
    said = desk.run("config", "check", ARCHIVE_WORK=str(desk.work))
    assert (said.returncode, REQUIRED.format("server_url") in said.stderr) == (1, True)


def test_a_directory_of_schema_fcl_that_is_not_there(desk: Desk) -> None:
    """Told with the path after expansion, exit 1; without the key the schema shipped with archiverd is used."""
    desk.one_run()
    desk.edit("artdaq_db", fcl_conf_dir="${HOME}/artdaq/conf")
    said = desk.archiver(HOME=str(desk.root))
    assert said.returncode == 1
    assert f"FclPreperationError: FCL confdir '{desk.root}/artdaq/conf' is not a directory" in said.stderr
    assert "artdaq_db.fcl_conf_dir" in said.stderr
    desk.edit("artdaq_db", fcl_conf_dir=None)
    assert desk.archiver().returncode == 0
    desk.prove(7)


def test_a_schema_fcl_that_is_not_there(desk: Desk) -> None:
    """Told with its path, exit 1; copied there it is used."""
    desk.one_run()
    (desk.root / "conf").mkdir()
    desk.edit("artdaq_db", fcl_conf_dir=str(desk.root / "conf"))
    said = desk.archiver()
    assert said.returncode == 1
    assert f"FclPreperationError: Schema not found at {desk.root}/conf/schema.fcl" in said.stderr
    with resources.as_file(resources.files("archiverd.artdaqdb") / "schema.fcl") as shipped:
        shutil.copy(shipped, desk.root / "conf")
    assert desk.archiver().returncode == 0
    desk.prove(7)
