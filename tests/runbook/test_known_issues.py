"""Known issues: what the guide works around does not come about."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from tests.runbook.conftest import Desk
    from tests.runbook.front import Front

PRETEND = 'mount --bind "$1" /proc/$$/mountinfo && shift && exec "$@"'
"""A shell's script: what follows sees the mounts that its first argument tells of."""


def on_nfs(desk: Desk, path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that believes ``path`` to be an NFS mount; in a mount namespace of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can make a mount namespace without more ado")
    path.mkdir(exist_ok=True)
    table = desk.root / "mountinfo"
    table.write_text(Path("/proc/self/mountinfo").read_text() + f"9999 1 0:99 / {path} rw - nfs4 server:/export rw\n")
    archiverd = [sys.executable, "-m", "archiverd", "--config", str(desk.config), *command]
    namespace = ["unshare", "--mount", "bash", "-c", PRETEND, "bash", str(table)]
    return subprocess.run(
        [*namespace, *archiverd], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )


def test_none_of_the_workarounds_is_needed(desk: Desk) -> None:
    """As it comes: one instance at a time, time for large runs, files the group may read."""
    shown = desk.run("config", "show").stdout
    assert "umask" in shown
    names = {line.split()[1]: line for line in desk.run("check").stdout.splitlines() if line.startswith("ok ")}
    assert "work_dir file system" in " ".join(names.values())
    desk.one_run()
    assert desk.archiver().returncode == 0
    desk.prove(7)


def test_two_instances_at_once(desk: Desk) -> None:
    """On a network's disk, where locks mean little, archiverd does not start; a lock file elsewhere is honoured."""
    refused = on_nfs(desk, desk.work, "once")
    assert refused.returncode == 1
    assert "work_dir" in refused.stderr
    assert "network file system" in refused.stderr
    checked = on_nfs(desk, desk.work, "check")
    assert (checked.returncode, "network file system" in checked.stdout) == (1, True)
    (desk.root / "run").mkdir()
    desk.edit("app", lock_file=str(desk.root / "run" / "archiver.lock"))
    desk.one_run()
    daemon = desk.start("run")
    desk.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    second = desk.run("run")
    assert (second.returncode, f"Lock file '{desk.root}/run/archiver.lock' is held" in second.stderr) == (1, True)
    assert desk.stop(daemon, signal.SIGINT) == 130


def test_a_large_run_has_more_time(desk: Desk, front: Front) -> None:
    """One second a megabyte is added by itself: an upload that takes longer than timeout_seconds goes through."""
    desk.one_run()
    large = "".join(f"key{number}: {number:060d}\n" for number in range(100_000))
    (desk.records / "7" / "large01.fcl").write_text(large)
    desk.edit("ucon_db", timeout_seconds=3)
    front.storing_seconds = 3.5
    assert desk.archiver().returncode == 0
    desk.prove(7)
    assert len(desk.blob(7)) > 6 << 20
    assert desk.versions() == {7: 1}


@pytest.mark.parametrize(("umask", "mode"), [("0022", 0o644), ("0027", 0o640)])
def test_permissions_of_what_artdaqdb_holds(desk: Desk, umask: str, mode: int) -> None:
    """`app.umask` counts, whatever the shell's umask is: the group may read, others as it says."""
    desk.one_run()
    desk.edit("app", umask=umask)
    desk.work.mkdir()
    typed = f"umask 0077; ./run_archiver.sh {desk.config} && echo archived"
    assert "archived\n" in desk.shell(f"cd {desk.launcher_directory}; {typed}")
    files = [path for path in (desk.root / "artdaqdb").rglob("*") if path.is_file()]
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files if path.suffix == ".json"} == {mode}
