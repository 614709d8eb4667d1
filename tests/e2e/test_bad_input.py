"""Bad input gets the runbook's named error, exit 1, or a retry that `why` explains; never a traceback."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.filesystem.store import FileSystemDB
from archiverd.artdaqdb.port import Entity
from archiverd.core.machine import State

if TYPE_CHECKING:
    from .conftest import Site

AUTHORITY = Path(__file__).parents[1] / "data" / "doctor" / "authority.pem"
ONE_RUN = ("--runs", "1", "--profile", "demo", "--fcl", "dumped", "--crash", "0", "--first", "7", "--no-chmod")


def test_a_run_records_directory_that_cannot_be_read_ends_the_start(site: Site) -> None:
    """An unreadable directory at start is the runbook's error and exit 1."""
    site.records.rmdir()
    ended = site.run("run")
    assert ended.returncode == 1
    assert "ArchiverError: Cannot read run records directory: [Errno 2] No such file or directory" in ended.stderr
    assert f"Context: {{'directory': '{site.records}'}}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every directory")
def test_a_run_records_directory_without_permission_ends_the_start(site: Site) -> None:
    """A directory that may not be read is told with the operating system's words."""
    site.records.chmod(0)
    ended = site.run("run")
    site.records.chmod(0o755)
    assert (ended.returncode, "[Errno 13] Permission denied" in ended.stderr) == (1, True)


def test_a_bad_configuration_is_named(site: Site) -> None:
    """A required key that is missing reads as the runbook has it, exit 1."""
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text().replace("work_dir", "wrk_dir"))
    ended = site.run("config", "check")
    assert ended.returncode == 1
    assert "ConfigurationError: Configuration validation failed: unknown key app.wrk_dir" in ended.stderr
    assert "did you mean work_dir?" in ended.stderr
    config.write_text("\n".join(line for line in config.read_text().splitlines() if "wrk_dir" not in line))
    assert "ConfigurationError: Configuration validation failed: work_dir is required" in site.run("run").stderr


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("foo", "artdaq_db.database_uri: this archiverd cannot write to foo:"),
        ("filesystemdb://foo/bar", "artdaq_db.database_uri is not filesystemdb:///absolute/path"),
        ("filesystemdb:///", "artdaq_db.database_uri is a path artdaqDB cannot take"),
        ("mongodb://host", "artdaq_db.database_uri names no database"),
    ],
)
def test_a_uri_that_no_backend_takes_is_no_valid_configuration(bare_site: Site, uri: str, words: str) -> None:
    """`config check`, which the unit asks before it starts the daemon, refuses what the daemon would."""
    bare_site.url = "http://127.0.0.1:9/inst/app"
    bare_site.configure()
    assert bare_site.run("config", "check").returncode == 0
    config = bare_site.config.read_text()
    bare_site.config.write_text(config.replace(f"filesystemdb://{bare_site.root}/artdaqdb", uri))
    ended = bare_site.run("config", "check")
    assert ended.returncode == 1
    assert f"ConfigurationError: Configuration validation failed: {words}" in ended.stderr
    assert "Remedy: " in ended.stderr
    assert bare_site.run("status").returncode == 0


@pytest.mark.parametrize("content", [None, "no certificates"])
def test_a_ca_file_that_cannot_be_used_is_no_valid_configuration(bare_site: Site, content: str | None) -> None:
    """Missing or without a certificate: told before the daemon is started, by file and key."""
    bare_site.url = "https://127.0.0.1:9/inst/app"
    ca_file = bare_site.root / "ca.pem"
    bare_site.settings = f'ca_file = "{ca_file}"\n'
    bare_site.configure()
    if content is not None:
        ca_file.write_text(content)
    ended = bare_site.run("config", "check")
    assert ended.returncode == 1
    assert f"Configuration validation failed: ucon_db.ca_file: cannot use {ca_file}: " in ended.stderr
    assert "must be a readable PEM file" in ended.stderr
    ca_file.write_bytes(AUTHORITY.read_bytes())
    assert bare_site.run("config", "check").returncode == 0


def test_a_wrong_password_is_a_retry_that_why_explains(site: Site) -> None:
    """With a wrong password nothing is lost or quarantined; `why` says what to check, and the right one mends it."""
    site.password = "n0t-the-0ne"
    site.configure(run_process_retries=0)
    site.make(*ONE_RUN)
    daemon = site.start("run")
    rows = site.wait(lambda rows: 7 in rows and bool(rows[7].error))
    told = site.run("why", "7").stdout
    assert (rows[7].state, rows[7].attempts) == (State.IMPORTED, 0)
    assert "UconDBError: Failed to upload blob for run 7: 401" in told
    assert "UconDB is refused" in told
    assert "next probe in" in told
    assert "writer_password" in told
    assert "UconDB is refused" in site.run("status").stdout
    assert site.stop(daemon) == 130
    assert (site.versions(), "Traceback" in site.log, "n0t-the-0ne" in site.log) == ({}, False, False)
    site.password = "e2e-secret-pw"
    site.configure()
    daemon = site.start("run")
    rows = site.wait(lambda rows: rows[7].state is State.VERIFIED)
    assert site.stop(daemon) == 130
    site.assert_proven(rows[7])


def test_an_unreachable_server_is_a_retry_that_why_explains(bare_site: Site) -> None:
    """With nobody listening the import goes on, the upload waits, and it succeeds once the server is there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bare_site.url = f"http://127.0.0.1:{free.getsockname()[1]}/inst/app"
    bare_site.configure(run_process_retries=0)
    bare_site.make(*ONE_RUN)
    daemon = bare_site.start("run")
    rows = bare_site.wait(lambda rows: 7 in rows and rows[7].imported_at is not None)
    told = bare_site.run("why", "7").stdout
    assert "UconDBError: Failed to initialize UConDB client: Connection refused" in told
    assert "next probe in" in told
    assert (rows[7].state, rows[7].attempts) == (State.IMPORTED, 0)
    assert bare_site.stop(daemon) == 130
    bare_site.serve()
    bare_site.configure()
    assert bare_site.run("once").returncode == 0
    assert bare_site.rows()[7].state is State.VERIFIED


def test_other_content_under_the_key_is_a_conflict_and_is_not_overwritten(site: Site) -> None:
    """A taken key with other bytes ends as a conflict that names the remedy; UconDB's bytes stay."""
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    before = site.blob(7)
    for left in (*site.work.glob("journal.sqlite*"), *(site.root / "artdaqdb").glob("*/*")):
        left.unlink()
    metadata = site.records / "7" / "metadata.txt"
    metadata.write_text(metadata.read_text().replace("Config name: ", "Config name: other"))
    ended = site.run("once")
    assert ended.returncode == 1
    assert site.rows()[7].state is State.CONFLICT
    assert "archiverd waive 7 --reason" in site.run("why", "7").stdout
    assert site.blob(7) == before


def test_a_run_archived_by_another_program_is_recognised_by_its_start_time(site: Site) -> None:
    """A run the older tool archived otherwise goes on to UconDB as it is; a reused run number is refused."""
    site.make(*ONE_RUN, "--seed", "5")
    metadata = (site.records / "7" / "metadata.txt").read_text()
    start = re.search(r"DAQInterface start time: (.*)", metadata)
    config = re.search(r"Config name: (.*)", metadata)
    assert start is not None
    assert config is not None
    theirs = [
        Entity("RunHistory", "metadata", f'daqinterface_start_time: "{start[1]}"\nconfig_name: "x"\n'.encode()),
        Entity("SystemLayout", "schema", b"run_history: []\n"),
    ]

    async def archive_otherwise() -> None:
        db = FileSystemDB(f"filesystemdb://{site.root}/artdaqdb")
        await db.open()
        await db.insert(7, config[1], theirs)
        await db.close()

    asyncio.run(archive_otherwise())
    assert site.run("once").returncode == 0
    assert "archived by another program and left as it is" in site.run("why", "7").stdout
    assert site.rows()[7].state is State.VERIFIED
    site.lose_the_journal()
    (site.records / "7" / "metadata.txt").write_text(metadata.replace(start[1], "Mon Jan  1 00:00:00 UTC 2001"))
    assert site.run("once").returncode == 1
    assert site.rows()[7].state is State.CONFLICT
    assert f"ArtdaqDBError: Configuration 7/{config[1]} is already archived." in site.run("why", "7").stdout


def test_a_broken_fhicl_file_is_named_with_its_place(site: Site) -> None:
    """A file that is not FHiCL is left out by name, with line and column; the rest of the run is archived."""
    site.make(*ONE_RUN)
    (site.records / "7" / "broken01.fcl").write_text("a: 1\nb: { c: 2\n")
    assert site.run("once").returncode == 0
    assert site.rows()[7].state is State.VERIFIED
    assert "broken01.fcl: not FHiCL: " in site.run("why", "7").stdout


def test_with_unmatched_fail_a_broken_file_quarantines_the_run(site: Site) -> None:
    """Who wants all or nothing gets a quarantined run with cause and remedy."""
    site.configure()
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text().replace("[artdaq_db]", '[artdaq_db]\nunmatched = "fail"'))
    site.make(*ONE_RUN)
    (site.records / "7" / "broken01.fcl").write_text("a: 1\nb: { c: 2\n")
    assert site.run("once").returncode == 1
    assert site.rows()[7].state is State.QUARANTINED
    assert "FhiclError: broken01.fcl:" in site.run("why", "7").stdout


def test_a_quarantined_run_is_mended_and_released(site: Site) -> None:
    """What `why` tells to do works: mend the record, release the run, and it is archived."""
    test_with_unmatched_fail_a_broken_file_quarantines_the_run(site)
    (site.records / "7" / "broken01.fcl").write_text("a: 1\nb: { c: 2 }\n")
    released = site.run("release", "7")
    assert (released.returncode, "run 7 is queued" in released.stderr) == (0, True)
    assert site.run("once").returncode == 0
    assert site.rows()[7].state is State.VERIFIED
    assert site.run("release", "7").returncode == 1
    refused = site.run("waive", "7", "--reason", "test")
    assert (refused.returncode, "Run 7 is verified and needs no waiving" in refused.stderr) == (1, True)


def test_a_run_can_be_waived_with_a_reason(bare_site: Site) -> None:
    """A run taken out of the reckoning says why, and is not taken up again."""
    bare_site.make(*ONE_RUN)
    bare_site.url = "http://127.0.0.1:9/inst/app"
    bare_site.configure(run_process_retries=0)
    waits = bare_site.run("once")
    assert waits.returncode == 1
    assert waits.stderr.endswith("`archiverd why 7` tells the cause and what to do; then `archiverd once`\n")
    assert bare_site.run("waive", "7", "--reason", "cosmic test").returncode == 0
    told = bare_site.run("why", "7").stdout
    assert "run 7: waived" in told
    assert "  reason:        cosmic test\n" in told
    assert "remedy:" not in told
    assert bare_site.run("once").returncode == 0


def test_tls_that_is_switched_off_is_said_loudly(bare_site: Site) -> None:
    """At every start in the log, and in `status` for whoever looks later."""
    bare_site.url = "https://127.0.0.1:9/inst/app"
    bare_site.settings = "verify_tls = false\n"
    bare_site.configure(run_process_retries=0)
    bare_site.make(*ONE_RUN)
    assert "TLS IS NOT VERIFIED" in bare_site.run("once").stderr
    assert "WARNING: TLS is not verified" in bare_site.run("status").stdout
    bare_site.settings = ""
    bare_site.configure(run_process_retries=0)
    assert "TLS IS NOT VERIFIED" not in bare_site.run("once").stderr
    assert "TLS" not in bare_site.run("status").stdout


def test_a_file_whose_name_is_not_utf_8_is_accounted_for(site: Site) -> None:
    """One Latin-1 byte in a name takes down neither run nor pass; the file is named, legibly (I7)."""
    site.make("--profile", "demo", "--fcl", "dumped", "--no-chmod", "--runs", "1", "--crash", "0", "--first", "7")
    with open(os.fsencode(site.records / "7") + b"/caf\xe9.txt", "wb") as file:
        file.write(b"x: 1\n")
    done = site.run("once")
    assert (done.returncode, "UNEXPECTED" in done.stderr) == (0, False)
    assert site.rows()[7].state is State.VERIFIED
    assert "caf\\xe9.txt" in site.run("why", "7").stdout
