"""Users of the older tool: run_archiver.sh, config.yaml and archiver.env, archiver.log, and what stood in work_dir."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.e2e.conftest import Site

LAUNCHER = Path(__file__).parents[2] / "run_archiver.sh"
DEMO = ("--profile", "demo", "--fcl", "dumped", "--gaps", "0", "--crash", "0", "--no-chmod", "--first", "7")

CONFIG = """
app:
    work_dir: "${WORK_DIR:-/nowhere}"
    import_state_file: "${work_dir}/importer_state.json"
    import_failure_log: "${work_dir}/import_failures.log"
    migrate_state_file: "${work_dir}/migrator_state.json"
    migrate_failure_log: "${work_dir}/migrate_failures.log"
    lock_file: "${work_dir}/.archiver.lock"
    batch_size: 5
    run_process_retries: 2
    retry_delay_seconds: "${DELAY}"
    log_level: "INFO"
fhiclize_generate: [boot, metadata, known_boardreaders_list, RunHistory, RunHistory2, setup, custom_config.txt]
source_files:
    run_records_dir: "${RUN_RECORDS_DIR:-/daq/run_records}"
artdaq_db:
    database_uri: "${ARTDAQDB_URL:-filesystemdb:///nowhere}"
    use_tools: false
    remote_host: null
ucon_db:
    server_url: "${UCONDB_URL:-https://nowhere.example.org:9443/instance/app}"
    folder_name: "test01"
    object_name: "configuration"
    timeout_seconds: 10
    writer_user: "${UCONDB_USER:-nobody}"
    writer_password: "${UCONDB_PASSWORD}"
"""


def settle(site: Site) -> Path:
    """Give a site config.yaml and archiver.env; return the former."""
    path = site.root / "config.yaml"
    path.write_text(CONFIG)
    (site.root / "archiver.env").write_text(
        "# where things are\n"
        f"WORK_DIR={site.work}\n"
        f"export RUN_RECORDS_DIR={site.records}  # only read\n"
        f'ARTDAQDB_URL="filesystemdb://{site.root}/artdaqdb"\n'
        f"UCONDB_URL={site.url}\nUCONDB_USER=writer\nUCONDB_PASSWORD='{site.password}'\nDELAY=0.2\n"
    )
    return path


def launch(config: Path, *flags: str, under: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the launcher to its end, ``under`` another command if one is given."""
    command = [*under, str(LAUNCHER), str(config), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)


def grep(site: Site, *arguments: str) -> list[str]:
    """Return what grep finds in archiver.log."""
    command = ["grep", *arguments, str(site.work / "archiver.log")]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    ).stdout.splitlines()


def bounded_by_permissions() -> list[str]:
    """Return what to run a command under so that permissions bind it, whoever runs the tests."""
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root, and no setpriv")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


def test_the_older_tools_files_archive_a_run(site: Site) -> None:
    """config.yaml with references, archiver.env and the launcher are all it takes; the log reads as it did."""
    config = settle(site)
    site.make(*DEMO, "--runs", "2")
    done = launch(config, "-q")
    assert (done.returncode, done.stdout) == (0, "")
    assert "No converter found for configured file: custom_config.txt" in done.stderr
    assert {run: row.state for run, row in site.rows().items()} == {7: State.VERIFIED, 8: State.VERIFIED}
    for row in site.rows().values():
        site.assert_proven(row)
    line = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+ +(\[[\w-]+\] )?(\[Run \d+\] )?\S.*")
    text = (site.work / "archiver.log").read_text()
    assert [wrong for wrong in text.splitlines() if not line.fullmatch(wrong)] == []
    assert any("[Migration] [Run 7] verified" in found for found in grep(site, "Run 7"))
    assert grep(site, "-E", "CRITICAL|ERROR") == []
    assert site.password not in text
    assert launch(config, "--incremental").returncode == 0
    assert site.versions() == {7: 1, 8: 1}


def test_what_went_wrong_is_in_the_log_as_the_runbook_greps_for_it(site: Site) -> None:
    """A run that fails, and a pass that cannot start, are found by the runbook's greps; debug shows the exception."""
    config = settle(site)
    config.write_text(config.read_text().replace("use_tools: false", "unmatched: fail"))
    site.make(*DEMO, "--runs", "1")
    (site.records / "7" / "broken01.fcl").write_text("a: 1\nb: { c: 2\n")
    assert launch(config, "-v").returncode == 1
    (error,) = [line for line in grep(site, "-E", "CRITICAL|ERROR") if "[Import] [Run 7] FhiclError: " in line]
    assert re.fullmatch(r"[-\d]+ [:\d]+ ERROR   \[Import\] \[Run 7\] FhiclError: broken01.fcl:\S+: .*", error)
    after = grep(site, "-A", "20", "Exception raised")
    assert any("[Run 7] Traceback (most recent call last):" in line for line in after)
    assert any(line.endswith(f"app.work_dir: ${{WORK_DIR:-/nowhere}} → {site.work}") for line in grep(site, "work_dir"))
    site.records.rename(site.root / "away")
    assert launch(config).returncode == 1
    found = [line for line in grep(site, "-i", "error\\|critical\\|exception") if " DEBUG " not in line]
    assert "ERROR   [Import] ArchiverError: Cannot read run records directory: [Errno 2]" in found[-1]


def test_a_log_that_cannot_be_written_is_a_known_error(site: Site) -> None:
    """At the start it is the runbook's PermissionError with a remedy, exit 1; mended, the same command works."""
    config = settle(site)
    under = bounded_by_permissions()
    site.work.mkdir()
    site.work.chmod(0o555)
    done = launch(config, under=under)
    assert done.returncode == 1
    assert f"PermissionError: [Errno 13] Permission denied: '{site.work}/archiver.log'\nRemedy: give " in done.stderr
    assert "Traceback" not in done.stderr
    site.work.chmod(0o755)
    assert launch(config, under=under).returncode == 0


def test_signals_reach_archiverd_through_the_launcher(site: Site) -> None:
    """The launcher becomes archiverd: SIGINT drains it, and the exit code is 130."""
    config = settle(site)
    site.make(*DEMO, "--runs", "3")
    (site.root / "archiver.env").write_text(
        (site.root / "archiver.env").read_text().replace(site.url, "http://127.0.0.1:9/inst/app")
    )
    with (site.root / "launcher.log").open("w") as told:
        process = subprocess.Popen([str(LAUNCHER), str(config)], stdout=told, stderr=told)
    site.children.append(process)  # type: ignore[arg-type] - its output is not text
    site.wait(lambda rows: bool(rows) and all(row.state is State.IMPORTED for row in rows.values()))
    assert site.stop(process, signal.SIGINT) == 130  # type: ignore[arg-type]


def test_the_daemon_follows_its_log_file(site: Site) -> None:
    """A daemon on a YAML configuration goes on in a new file after a manual rotation, and reopens it on SIGHUP."""
    config = settle(site)
    site.make(*DEMO, "--runs", "1")
    daemon = site._start("--config", str(config), "--env-file", str(site.root / "archiver.env"), "run")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    log = site.work / "archiver.log"
    log.rename(log.with_suffix(".old"))
    daemon.send_signal(signal.SIGHUP)
    site.make(*DEMO, "--runs", "1", "--first", "9")
    site.wait(lambda rows: 9 in rows and rows[9].state is State.VERIFIED)
    assert site.stop(daemon) == 130
    assert "hang-up: log file opened anew" in log.read_text()
    assert "[Run 9] verified" in log.read_text()
    assert "[Run 7] verified" in log.with_suffix(".old").read_text()


def test_a_work_directory_of_the_older_tool_is_taken_over(site: Site) -> None:
    """Its failures are retried, nothing is skipped for its watermarks, and what it archived is not archived again.

    Runs 7 and 8 are in both databases, 10 in artdaqDB only; 9 and 12 failed or were skipped and are in neither.
    """
    config = settle(site)
    site.make(*DEMO, "--runs", "2")
    assert launch(config).returncode == 0
    site.make(*DEMO, "--runs", "1", "--first", "10")
    assert launch(config, "--import-only").returncode == 0
    shutil.rmtree(site.work)
    site.work.mkdir()
    old = {
        "importer_state.json": '{"last_contiguous_run": 8, "last_attempted_run": 12}',
        "migrator_state.json": '{"last_contiguous_run": 8, "last_attempted_run": 12}',
        "import_failures.log": "9\n\n9\n",
        "migrate_failures.log": "10\n4711\n",
        ".archiver.lock": "2147483646\n",
        "archiver.log": "2025-10-24 14:32:15,123 - ERROR - run_record_archiver.importer - run 9 failed\n",
    }
    for name, content in old.items():
        (site.work / name).write_text(content)
    site.make(*DEMO, "--runs", "1", "--first", "9")
    site.make(*DEMO, "--runs", "1", "--first", "12")
    done = launch(config, "--incremental")
    assert done.returncode == 0, done.stderr
    rows = site.rows()
    assert {run: row.state for run, row in rows.items()} == dict.fromkeys((7, 8, 9, 10, 12), State.VERIFIED)
    assert site.versions() == {7: 1, 8: 1, 9: 1, 10: 1, 12: 1}
    for row in rows.values():
        site.assert_proven(row)
    log = (site.work / "archiver.log").read_text()
    assert (site.work / "archiver.log.1").read_text() == old["archiver.log"]  # older than 14 days
    assert "[Import] [Run 9] added to import_failures.log by hand" in log
    assert "[Migration] [Run 4711] not known" in log
    assert "said {'last_contiguous_run': 8, 'last_attempted_run': 12}; what is archived is looked up instead" in log
    assert (site.work / "import_failures.log").read_text() == ""
    assert json.loads((site.work / "migrator_state.json").read_text()) == {
        "last_contiguous_run": 12,
        "last_attempted_run": 12,
    }
    assert not (site.work / ".archiver.lock").exists()


def test_the_older_tools_other_modes(site: Site) -> None:
    """Halves of a pass, the report, retries and recoveries, as the runbook types them."""
    config = settle(site)
    site.make(*DEMO, "--runs", "2")
    assert launch(config, "--import-only").returncode == 0
    assert {row.state for row in site.rows().values()} == {State.IMPORTED}
    assert launch(config, "--migrate-only", "--validate").returncode == 0
    assert {row.state for row in site.rows().values()} == {State.VERIFIED}
    assert launch(config, "--retry-failed-import").returncode == 0
    assert launch(config, "--retry-failed-migrate").returncode == 0
    (site.work / "importer_state.json").unlink()
    (site.work / "migrator_state.json").unlink()
    assert launch(config, "--recover-import-state").returncode == 0
    assert launch(config, "--recover-migrate-state").returncode == 0
    state = {"last_contiguous_run": 8, "last_attempted_run": 8}
    assert json.loads((site.work / "importer_state.json").read_text()) == state
    assert json.loads((site.work / "migrator_state.json").read_text()) == state
    report = launch(config, "--report-status", "--compare-state")
    assert (report.returncode, "All systems are synchronized - no action needed" in report.stdout) == (0, True), report
    assert launch(config, "--report-status", "--import-only").returncode == 1
    site.stop(site.children[0])
    assert launch(config, "--report-status").returncode == 1
    assert any("[Report] UconDBError: " in line for line in grep(site, "-E", "CRITICAL|ERROR"))


def test_commands_for_people_take_archiver_env_beside_a_yaml_configuration(site: Site) -> None:
    """`archiverd -c config.yaml` finds the variables by itself; --env-file and its variable name another file."""
    config = settle(site)
    elsewhere = site.root / "elsewhere.env"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ARCHIVERD_", "WORK_DIR"))}

    def archiverd(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "archiverd", *words]
        return subprocess.run(
            command,
            env={**env, **more},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
            cwd=site.root,
        )

    checked = archiverd("-c", str(config), "config", "check")
    assert (checked.returncode, f"{config}: configuration is valid" in checked.stderr) == (0, True)
    shown = archiverd("config", "show", "--origin", ARCHIVERD_CONFIG=str(config)).stdout
    source = f"{config}, $WORK_DIR of {site.root / 'archiver.env'}"
    assert f"app.lock_file = {site.work}/.archiver.lock    # {source}" in shown.splitlines()
    assert f"app.log_file = {site.work}/archiver.log    # default" in shown.splitlines()
    assert site.password not in shown
    (site.root / "archiver.env").rename(elsewhere)
    without = archiverd("-c", str(config), "-v", "config", "check")
    assert without.returncode == 1
    assert "ConfigurationError: Configuration validation failed: app.retry_delay_seconds: " in without.stderr
    assert "DEBUG   " + f"{config}: app.work_dir: ${{WORK_DIR:-/nowhere}} → /nowhere" in without.stderr
    assert archiverd("-c", str(config), "--env-file", str(elsewhere), "config", "check").returncode == 0
    assert archiverd("-c", str(config), "config", "check", ARCHIVERD_ENV_FILE=str(elsewhere)).returncode == 0
    elsewhere.write_text(elsewhere.read_text() + "touch executed\n")
    refused = archiverd("-c", str(config), "--env-file", str(elsewhere), "config", "check")
    assert (refused.returncode, f"ConfigurationError: {elsewhere}:9: not of the form NAME=value" in refused.stderr) == (
        1,
        True,
    )
    assert not (site.root / "executed").exists()
