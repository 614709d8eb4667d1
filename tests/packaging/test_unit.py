"""The systemd unit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.waiting import DEADLINE_SECONDS

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "archiverd.service"
ANALYZE = shutil.which("systemd-analyze")


def settings() -> dict[str, str]:
    """Return the unit's settings; each stands once."""
    pairs = [line.partition("=") for line in UNIT.read_text().splitlines() if line and line[0] not in "#["]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


def test_stopping_drains() -> None:
    """A stop is what Ctrl-C is, 130 is success, and the wait is longer than a drain may take."""
    from archiverd.config.models import App

    unit = settings()
    assert (unit["KillSignal"], unit["KillMode"], unit["SuccessExitStatus"]) == ("SIGINT", "mixed", "130")
    assert int(unit["TimeoutStopSec"]) > App.model_fields["drain_timeout_seconds"].default


def test_the_password_comes_as_the_credential_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credential's name in the unit is the one the configuration looks for."""
    from archiverd.config.models import credential

    name, _, source = settings()["LoadCredential"].partition(":")
    (tmp_path / name).write_text("secret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert credential("ucon_db_writer_password") == "secret"
    assert source.startswith("/etc/archiverd/")


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """The unit passes `systemd-analyze verify` without a word."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/archiverd/bin/archiverd", "/bin/true"))
    command = [str(ANALYZE), "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
