"""What befalls the machine and what it hangs on: clocks that jump, mounts that go, UconDB away, another folder."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.life import Detector

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
OTHER_FOLDER = "mistyped"


class Weather:
    """Lets things befall a detector, each at a rate a day."""

    def __init__(self, detector: Detector) -> None:
        self._detector, self._world = detector, detector.world

    def begin(self) -> None:
        """Put the first of each kind on the agenda."""
        rates = self._detector.rates
        for rate, happen in (
            (rates.outages, self._ucondb_goes),
            (rates.jumps, lambda: self._clock_jumps("clock_ahead", "clock")),
            (rates.jumps, lambda: self._clock_jumps("server_ahead", "file server's clock")),
            (rates.mounts, self._mount_goes),
            (rates.switches, self._folder_changes),
        ):
            self._again(rate, happen)

    def _again(self, rate: float, happen: Callable[[], None]) -> None:
        """Let something happen at so many times a day until there is peace."""

        def act() -> None:
            if self._world.loop is None:  # what happens while the machine is down cannot be told from what it is
                self._detector.agenda.after(HOUR, act)
            elif not self._world.peaceful:
                happen()
                self._again(rate, happen)

        if rate:
            self._detector.agenda.after(self._world.dice.expovariate(rate / DAY), act)

    def clear(self) -> None:
        """Put everything right, for good."""
        self._world.clock_ahead = self._world.server_ahead = 0.0
        self._detector.mount()

    def _ucondb_goes(self) -> None:
        """Let UconDB go away for minutes or days."""
        self._detector.server.away_until = self._world.time() + self._world.dice.expovariate(1 / (2 * HOUR))

    def _jump(self) -> tuple[float, float]:
        """Return how far a clock jumps, and for how long until somebody sets it right."""
        dice = self._world.dice
        far = dice.choice((2 * MINUTE, 3 * HOUR, 15 * DAY, 400 * DAY))
        return dice.choice((-1.0, 1.0)) * dice.uniform(0.5, 1.0) * far, dice.choice((3.0, HOUR, DAY))

    def _clock_jumps(self, clock: Literal["clock_ahead", "server_ahead"], whose: str) -> None:
        """Let a clock be wrong for a while."""
        ahead, seconds = self._jump()
        setattr(self._world, clock, ahead)
        self._world.note(f"{whose} jumps")
        self._detector.agenda.after(seconds, lambda: setattr(self._world, clock, 0.0))

    def _mount_goes(self) -> None:
        """Let the run records be gone for a while: an empty mount point, or an error for every access."""
        dice = self._world.dice
        self._detector.unmount(dice.choice((0, 0, errno.EIO, errno.ESTALE)))
        self._world.note("run records not mounted")
        self._detector.agenda.after(dice.expovariate(1 / (6 * HOUR)), self._detector.mount)

    def _folder_changes(self) -> None:
        """Let somebody configure another folder, which is put right by the next start or much later."""
        dice, detector = self._world.dice, self._detector
        right = detector.next_folder
        detector.next_folder = OTHER_FOLDER if right != OTHER_FOLDER else "sim"
        self._world.note("another folder")

        def back() -> None:
            detector.next_folder = right

        detector.agenda.after(dice.expovariate(1 / (2 * DAY)), back)
