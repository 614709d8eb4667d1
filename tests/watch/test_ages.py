"""For how long a record has been as it is, whatever the clocks do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd import log
from archiverd.journal.rows import ClockState, RecordLook
from archiverd.process.boot import boot_id
from archiverd.watch.ages import Moment, Timekeeper, age_by_files, elapsed

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400.0
THEN = RecordLook(7, "d", wall=1000.0, uptime=50.0, boot="a", jumped=0.0, newest=900.0)
NOW = Moment(wall=1100.0, uptime=150.0, boot="a", jumped=0.0, newest=950.0)


@dataclass
class Machine:
    """A machine whose clocks are in a test's hands."""

    wall: float = 1_700_000_000.0
    uptime: float = 100.0
    boot: str = "a"

    def keeper(self, noted: ClockState | None = None) -> Timekeeper:
        """Return the timekeeper of a process that starts now."""
        made = Timekeeper(lambda: self.wall, lambda: self.uptime, lambda: self.boot)
        made.resume(noted)
        return made

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.uptime += seconds


@pytest.mark.parametrize("jump", [15 * DAY, -15 * DAY, 0.0])
def test_within_one_start_of_the_machine_the_wall_clock_counts_for_nothing(jump: float) -> None:
    """However far it jumps, what has passed is what the other clock shows."""
    assert elapsed(THEN, replace(NOW, wall=1100.0 + jump), network=False) == 100.0


@pytest.mark.parametrize(
    ("now", "network", "seconds"),
    [
        (replace(NOW, boot="b", uptime=3.0), False, 100.0),
        (replace(NOW, boot="b", uptime=3.0), True, 50.0),
        (replace(NOW, boot="b", wall=1100.0 + DAY, jumped=DAY), False, 100.0),
        (replace(NOW, boot="b", wall=500.0), False, 0.0),
        (replace(NOW, boot="b", jumped=-DAY), False, 100.0),
        (replace(NOW, boot=""), False, 100.0),
    ],
)
def test_over_a_restart_of_the_machine_the_least_counts(now: Moment, network: bool, seconds: float) -> None:
    """The wall clock less its jumps; on a network file system at most what passed there."""
    assert elapsed(THEN, now, network=network) == seconds


def test_the_files_own_times_count_only_while_the_clock_is_plausible() -> None:
    """Not after a jump, and not while the clock is behind the newest file."""
    assert age_by_files(600.0, NOW) == 500.0
    assert age_by_files(600.0, replace(NOW, jumped=-61.0)) == 0.0
    assert age_by_files(600.0, replace(NOW, newest=1101.0)) == 0.0
    assert age_by_files(1200.0, replace(NOW, newest=0.0)) == 0.0


def test_a_jump_is_logged_and_noted(capsys: pytest.CaptureFixture[str]) -> None:
    """Ahead and back again; a clock that is slewed does not jump."""
    log.configure("INFO", "console")
    machine = Machine()
    keeper = machine.keeper()
    for jump in (15 * DAY, -15 * DAY, 59.0):
        machine.wait(3.0)
        machine.wall += jump
        keeper.check()
    assert keeper.now().jumped == pytest.approx(0.0, abs=1e-3)
    said = capsys.readouterr().err
    counts = [said.count(f"jumped {what}") for what in ("1296000 s ahead", "1296000 s back", "59")]
    assert counts == [1, 1, 0]


def test_a_jump_between_two_processes_is_noticed() -> None:
    """As between two passes of cron: the journal has how the clocks stood."""
    machine = Machine()
    noted = machine.keeper().to_note()
    assert noted is not None
    machine.wait(300.0)
    machine.wall += 15 * DAY
    keeper = machine.keeper(noted)
    assert keeper.now().jumped == pytest.approx(15 * DAY)
    after = keeper.to_note()
    assert after is not None
    assert machine.keeper(after).to_note() is None


def test_a_restart_of_the_machine_is_no_jump() -> None:
    """Its clocks cannot be compared with those before; what had jumped stays noted."""
    machine = Machine(boot="b", uptime=1.0)
    keeper = machine.keeper(ClockState("a", 0.0, DAY))
    assert keeper.now().jumped == DAY


def test_the_number_of_this_start_of_the_machine(tmp_path: Path) -> None:
    """It is the kernel's; empty where there is none, and then no other process's uptime is compared with ours."""
    assert boot_id() == boot_id() != ""
    assert boot_id(tmp_path / "none") == ""


@given(st.floats(-1e7, 1e7), st.floats(0, 1e7), st.booleans(), st.floats(0, 1e7))
def test_no_age_is_more_than_what_has_passed(jump: float, passed: float, network: bool, newest: float) -> None:
    """With jumps that were noted, by whatever clock: never more than the true time, and never less than nothing."""
    now = Moment(1000.0 + passed + jump, 5.0, "b", jump, 900.0 + min(newest, passed))
    age = elapsed(THEN, now, network=network)
    assert age >= 0.0
    assert age <= passed + 1e-3 or jump < 0.0
