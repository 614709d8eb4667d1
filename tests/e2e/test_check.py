"""`archiverd check` as people and scripts use it: report, JSON, colours, exit codes, and the bundle for maintainers."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import stat
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from tests.waiting import DEADLINE_SECONDS

from .conftest import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Site

ONE_RUN = ("--runs", "1", "--profile", "demo", "--fcl", "dumped", "--crash", "0", "--first", "7", "--no-chmod")
PARTS = {
    "README.txt",
    "check.txt",
    "check.json",
    "versions.txt",
    "environment.txt",
    "config.txt",
    "config-file.toml",
    "status.json",
    "journal.json",
    "last_exit.json",
    "work_dir.txt",
    "log.txt",
}


def unpacked(path: Path) -> dict[str, str]:
    """Return the parts of a bundle by name, each in the one directory that it holds."""
    with tarfile.open(path) as archive:
        opened = {member.name: archive.extractfile(member) for member in archive}
        texts = {name: file.read().decode() for name, file in opened.items() if file is not None}
    assert len({name.split("/")[0] for name in texts}) == 1
    return {name.split("/", 1)[1]: text for name, text in texts.items()}


def test_report_and_exit_code(site: Site) -> None:
    """All well is exit 0, also with warnings; one failed line is exit 1, with its remedy below it."""
    well = site.run("check")
    assert well.returncode == 0, well.stdout
    assert "\nok       UconDB login " in well.stdout
    assert " failed" not in well.stderr
    site.password = "wr0ng-w0rd"
    site.configure()
    bad = site.run("check")
    assert bad.returncode == 1
    line = next(
        number for number, text in enumerate(bad.stdout.splitlines()) if text.startswith("FAILED   UconDB login")
    )
    assert bad.stdout.splitlines()[line + 1].startswith("         → user or password is wrong")
    assert " 1 failed" in bad.stderr
    assert "\x1b" not in bad.stdout
    assert site.run("check", "--import-only").returncode == 0


def test_json(site: Site) -> None:
    """The documented shape, nothing else on standard output, and the same exit code."""
    site.stop(site.children[0])
    ended = site.run("check", "--json")
    told = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert (told["version"], told["ok"], set(told)) == (1, False, {"version", "ok", "checks"})
    assert {frozenset(one) for one in told["checks"]} == {frozenset({"name", "status", "said", "remedy"})}
    statuses = {one["name"]: one["status"] for one in told["checks"]}
    assert statuses["UconDB port"] == "failed"
    assert statuses["UconDB login"] == "skipped"
    assert set(statuses.values()) <= {"ok", "warning", "failed", "skipped"}


def test_a_broken_configuration_does_not_end_it(bare_site: Site) -> None:
    """Where every other command gives up, the report says what is wrong and what was left out; no traceback."""
    (bare_site.root / "archiverd.toml").write_text("[app\n")
    ended = bare_site.run("check")
    assert ended.returncode == 1
    assert ended.stdout.startswith("FAILED   config syntax")
    assert "skipped  artdaqDB" in ended.stdout
    assert "ok       python" in ended.stdout
    assert "Traceback" not in ended.stderr


def on_terminal(site: Site, **environment: str) -> bytes:
    """Return what `check` writes to a terminal."""
    leader, follower = pty.openpty()
    argv = [sys.executable, "-m", "archiverd", "-c", str(site.root / "archiverd.toml"), "check", "--import-only"]
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    written = bytearray()
    with subprocess.Popen(argv, stdout=follower, stderr=subprocess.DEVNULL, env={**kept, **environment}) as process:
        os.close(follower)
        while True:
            try:
                piece = os.read(leader, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            written += piece
        os.close(leader)
        assert process.wait(DEADLINE_SECONDS) == 0
    return bytes(written)


def test_colours_are_for_terminals_that_want_them(bare_site: Site) -> None:
    """A terminal gets colours, unless NO_COLOR says no."""
    assert b"\x1b[32mok" in on_terminal(bare_site)
    assert b"\x1b" not in on_terminal(bare_site, NO_COLOR="1")


def test_bundle(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the runbook asks to gather, in one file for its owner's eyes; the exit code is the check's."""
    site.configure(log_level="DEBUG")
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    monkeypatch.setenv("ARTDAQ_DATABASE_CONFDIR", "/somewhere")
    bundle = site.root / "bundle.tar.gz"
    ended = site.run("check", "--bundle", str(bundle))
    assert ended.returncode == 0, ended.stdout
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    parts = unpacked(bundle)
    assert set(parts) == PARTS
    assert not [name for name, text in parts.items() if "could not be made" in text]
    assert all(name in parts["README.txt"] for name in PARTS - {"README.txt"})
    assert json.loads(parts["check.json"])["checks"][0]["name"] == "config syntax"
    assert json.loads(parts["status.json"])["counts"]["verified"] == 1
    assert json.loads(parts["journal.json"])["counts"] == {"verified": 1}
    last = json.loads(parts["last_exit.json"])
    assert (last["version"], last["command"], last["exit_code"]) == (1, "once", 0)
    assert abs(last["at"] - time.time()) < 600
    assert "ARTDAQ_DATABASE_CONFDIR=/somewhere" in parts["environment.txt"]
    assert f"python: {sys.version.split()[0]}" in parts["versions.txt"]
    assert "\nhttpx: " in parts["versions.txt"]
    assert f"app.log_level = DEBUG    # {site.root}/archiverd.toml" in parts["config.txt"]
    assert "journal.sqlite" in parts["work_dir.txt"]


def test_a_bundle_overwrites_nothing(site: Site) -> None:
    """A file that is there already is left as it is, told before anything is done; so is a missing directory."""
    bundle = site.root / "bundle.tar.gz"
    bundle.write_text("mine")
    refused = site.run("check", "--bundle", str(bundle))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{bundle} is there already and is not overwritten" in refused.stderr
    assert bundle.read_text() == "mine"
    assert "There is no directory" in site.run("check", "--bundle", str(site.root / "no" / "b.tgz")).stderr


@pytest.mark.parametrize("broken", [False, True])
def test_a_bundle_holds_no_secret(site: Site, monkeypatch: pytest.MonkeyPatch, broken: bool) -> None:
    """Every secret of configuration, environment and credentials is searched for in every part, whatever broke."""
    credentials = site.root / "credentials"
    credentials.mkdir()
    (credentials / "reporting_slack_bot_token").write_text("xoxb-credential-4")
    planted = {
        "ARCHIVERD_UCON_DB__WRITER_PASSWORD": "pl4nted/Wr0ng:w0rd",
        "ARCHIVERD_ARTDAQ_DB__DATABASE_URI": "mongodb://archiver:uri%2Fw0rd@127.0.0.1:1/runs_db",
        "ARTDAQ_SECRET": "artdaq-s3cret",
        "UCONDB_PASSWORD": "referred-w0rd",
        "HTTPS_PROXY": "http://me:proxy-w0rd@proxy:3128",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    site.settings = '# former password: c0mment-word\n[reporting.email]\nsmtp_password = "${UCONDB_PASSWORD}"\n'
    site.configure(log_file=str(site.work / "archiver.log"))
    site.work.mkdir()
    leaky = f"{PASSWORD} pl4nted/Wr0ng:w0rd mongodb://archiver:uri%2Fw0rd@h/ xoxb-credential-4 the last line\n"
    (site.work / "archiver.log").write_text("too old\n" + leaky * 100)
    if broken:
        with (site.root / "archiverd.toml").open("a") as file:
            file.write("[\n")
    bundle = site.root / "bundle.tar.gz"
    assert site.run("-v", "check", "--bundle", str(bundle)).returncode == 1
    parts = unpacked(bundle)
    secrets = [PASSWORD, "pl4nted/Wr0ng:w0rd", "uri%2Fw0rd", "uri/w0rd", "artdaq-s3cret", "referred-w0rd"]
    secrets += ["proxy-w0rd", "xoxb-credential-4", "c0mment-word"]
    secrets += [hashlib.md5(f"writer:ucon_prd.test01:{PASSWORD}".encode(), usedforsecurity=False).hexdigest()]
    assert [(secret, name) for secret in secrets for name, text in parts.items() if secret in text] == []
    assert "ARCHIVERD_UCON_DB__WRITER_PASSWORD=********" in parts["environment.txt"]
    assert "HTTPS_PROXY=http://********@proxy:3128" in parts["environment.txt"]
    assert "UCONDB_PASSWORD is set" in parts["environment.txt"]
    if not broken:
        assert parts["log.txt"].count("the last line") == 100
        assert "too old" not in parts["log.txt"]
        assert "${UCONDB_PASSWORD}" in parts["config-file.toml"]
