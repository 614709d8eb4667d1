"""A jump of the machine's clock proves nothing about a record: no run ends by it, none is archived without its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from tests.e2e.shims import compile_shim
from tests.e2e.test_operations import stop, unstop
from tests.e2e.test_whole_records import archived_files

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Site

DEMO = ("--profile", "demo", "--fcl", "dumped", "--crash", "0", "--gaps", "0", "--no-chmod")
FORTNIGHT = 15 * 86_400


@pytest.fixture
def switch(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the seconds by which the clock is ahead for processes started from now on."""
    file = site.root / "ahead"
    monkeypatch.setenv("LD_PRELOAD", str(compile_shim("jumping_clock", tmp_path)))
    monkeypatch.setenv("CLOCK_AHEAD", str(file))
    return file


@pytest.mark.parametrize("kind", ["running", "waiting for rc_info_stop.txt"])
def test_a_fortnight_ahead_for_a_while_ends_no_run(site: Site, switch: Path, kind: str) -> None:
    """A running run is not taken for dead and one that waits for its last file waits on; others are archived."""
    site.make(*DEMO, "--runs", "2", "--first", "7")
    away, subject = site.root / "7", site.records / "8"
    (site.records / "7").rename(away)
    if kind == "running":
        unstop(site, 8)
    else:
        (subject / "rc_info_start.txt").write_text("a: b\n")
    daemon = site.start("run")
    site.wait_for_log("watches ")
    site.wait(lambda rows: 8 in rows and rows[8].state is State.OPEN)

    switch.write_text(str(FORTNIGHT))
    site.wait_for_log(f"jumped {FORTNIGHT} s ahead")
    away.rename(site.records / "7")
    rows = site.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    assert rows[8].state is State.OPEN

    switch.unlink()
    site.wait_for_log(f"jumped {FORTNIGHT} s back")
    if kind == "running":
        stop(site, 8)
    else:
        (subject / "rc_info_stop.txt").write_text("end: of the run\n")
    site.wait(lambda rows: rows[8].state is State.VERIFIED)
    assert site.stop(daemon) == 130
    assert b"DAQInterface_stop_time" in site.blob(8)
    assert kind == "running" or "rc_info_stop.txt" in archived_files(site, 8)
