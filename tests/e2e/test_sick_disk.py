"""The disk fills up, or no longer syncs, under a working daemon: it stops accepting, says so, and loses nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import IN_HAND, State
from tests.e2e.shims import compile_shim
from tests.e2e.test_operations import DEMO, ONE_RUN
from tests.waiting import DEADLINE_SECONDS, NEVER_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Site

SAID = {"full": "No space left on device", "sync": "Input/output error"}


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk's sickness as a shared object."""
    return compile_shim("sick_disk", tmp_path_factory.mktemp("shim"))


@pytest.mark.parametrize(("way", "code"), [("interrupt", 130), ("lock", 1)])
def test_a_frozen_file_system_does_not_hold_up_the_end(
    site: Site, shim: Path, monkeypatch: pytest.MonkeyPatch, way: str, code: int
) -> None:
    """Run records that can be opened no more, as on a hard NFS mount: a stop is seen, and ends in time."""
    site.configure(drain_timeout_seconds=1)
    site.constants = {"archiverd.process.exit_deadline.CLOSING_SECONDS": NEVER_SECONDS}  # closing itself must end
    switch = site.root / "switch"
    site.make(*ONE_RUN)
    with monkeypatch.context() as sickly:
        sickly.setenv("LD_PRELOAD", str(shim))
        sickly.setenv("SICK_BELOW", str(site.records))
        sickly.setenv("SICK_SWITCH", str(switch))
        daemon = site.start("run")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    assert site.run("pause").returncode == 0
    site.make(*DEMO, "--runs", "9", "--crash", "0", "--first", "20")
    site.wait(lambda rows: len(rows) == 10 and not any(row.state is State.OPEN for row in rows.values()))
    switch.write_text("hang")
    assert site.run("resume").returncode == 0
    site.wait(lambda rows: any(row.state is State.IMPORTING for row in rows.values()))
    if way == "lock":
        (site.work / ".archiver.lock").unlink()
        assert daemon.wait(DEADLINE_SECONDS) == code
    else:
        assert site.stop(daemon) == code
    assert json.loads((site.work / "last_exit.json").read_text())["exit_code"] == code
    assert "the drain took longer than drain_timeout_seconds (1 s); runs left to the next start: " in site.log
    assert "leaving without the rest" not in site.log
    assert site.run("once").returncode == 0
    assert site.versions() == dict.fromkeys((7, *range(20, 29)), 1)


@pytest.mark.parametrize(
    ("where", "how", "killed"),
    [("work", "full", False), ("work", "sync", True), ("artdaqdb", "full", True), ("artdaqdb", "sync", False)],
)
def test_a_sick_disk_stops_the_work_and_loses_nothing(
    site: Site, shim: Path, monkeypatch: pytest.MonkeyPatch, where: str, how: str, killed: bool
) -> None:
    """Below the work directory or artdaqDB: no run goes on, the log says why; once well, each is verified once."""
    switch = site.root / "switch"
    site.make(*ONE_RUN)
    with monkeypatch.context() as sickly:
        sickly.setenv("LD_PRELOAD", str(shim))
        sickly.setenv("SICK_BELOW", str(site.root / where))
        sickly.setenv("SICK_SWITCH", str(switch))
        daemon = site.start("run")
    site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    switch.write_text(how)
    site.make(*DEMO, "--runs", "3", "--crash", "0", "--first", "20")
    said = "disk I/O error" if (where, how) == ("work", "sync") else SAID[how]
    site.wait(lambda _: said in site.log)
    assert daemon.poll() is None
    assert site.versions() == {7: 1}
    if killed:
        daemon.kill()
        daemon.wait()
    switch.unlink()
    if killed:
        daemon = site.start("run")
    rows = site.wait(
        lambda rows: {7, 20, 21, 22} == rows.keys() and all(row.state is State.VERIFIED for row in rows.values())
    )
    assert site.stop(daemon) == 130
    assert not [row for row in rows.values() if row.state in IN_HAND]
    assert site.versions() == dict.fromkeys(rows, 1)
    assert site.run("reconcile", "--deep").returncode == 0
    assert "Traceback" not in site.log
