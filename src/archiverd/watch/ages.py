"""For how long a record has been as it is, by clocks of which none is trusted alone (design.md, "Time").

Within one start of the machine the clock that never jumps decides. Over a restart of the machine it is the wall clock,
less what it is known to have jumped; on a network file system at most what has passed there too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd import log
from archiverd.journal.rows import ClockState, RecordLook
from archiverd.process.boot import boot_id, uptime

if TYPE_CHECKING:
    from collections.abc import Callable

_log = log.get()

JUMP_SECONDS: Final = 60.0
"""Least change of the wall clock, against the one that never jumps, that is a jump."""
KEPT_SECONDS: Final = 1.0
"""Least change of the wall clock that is noted in the journal: a clock that is slewed moves slowly."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by every clock there is; see ``RecordLook``."""

    wall: float
    uptime: float
    boot: str
    jumped: float
    newest: float


def elapsed(since: RecordLook, now: Moment, *, network: bool) -> float:
    """Return the seconds that have passed since a look, as few as the clocks allow."""
    if since.boot and since.boot == now.boot:
        return max(0.0, now.uptime - since.uptime)
    passed = now.wall - since.wall - max(0.0, now.jumped - since.jumped)
    if network:
        passed = min(passed, now.newest - since.newest)
    return max(0.0, passed)


def age_by_files(changed: float, now: Moment) -> float:
    """Return a record's age by its files' own times, the newest of which is ``changed``; 0 if they mean nothing now.

    That is so after a jump of the wall clock, and while it is behind the newest file.
    """
    plausible = abs(now.jumped) < JUMP_SECONDS and now.wall >= now.newest
    return max(0.0, now.wall - changed) if plausible else 0.0


class Timekeeper:
    """Compares the wall clock with the one that never jumps, and holds jumps against ages."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = uptime,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        """``clock`` gives epoch seconds, ``monotonic`` those of a clock that never jumps, ``boot`` which one it is."""
        self.clock, self.monotonic = clock, monotonic
        self._boot = boot()
        self._ahead = clock() - monotonic()
        self._jumped = 0.0
        self._newest = 0.0
        self._noted: ClockState | None = None

    def resume(self, noted: ClockState | None) -> None:
        """Go on from what the last process noted, if there was one: the clock may have jumped in between."""
        self._noted = noted
        if noted is not None:
            self._jumped = noted.jumped
            if noted.boot and noted.boot == self._boot:
                self._ahead = noted.ahead
        self.check()

    def check(self) -> None:
        """Compare the clocks; log a jump of the wall clock."""
        ahead = self.clock() - self.monotonic()
        jump, self._ahead = ahead - self._ahead, ahead
        if abs(jump) >= JUMP_SECONDS:
            self._jumped += jump
            _log.warning(
                f"the clock of this machine jumped {abs(jump):.0f} s {'ahead' if jump > 0 else 'back'}: "
                "no record counts as older for that (see that the time is synchronised)"
            )

    def see(self, changed: float) -> None:
        """Note a time of a file in the run-records directory, in epoch seconds by the file server's clock."""
        self._newest = max(self._newest, changed)

    def now(self) -> Moment:
        """Return this moment."""
        return Moment(self.clock(), self.monotonic(), self._boot, self._jumped, self._newest)

    def to_note(self) -> ClockState | None:
        """Return what the journal should have of the clocks; None if it has that already."""
        state = ClockState(self._boot, self._ahead, self._jumped)
        noted = self._noted
        known = noted is not None and (noted.boot, noted.jumped) == (state.boot, state.jumped)
        if known and noted is not None and abs(noted.ahead - state.ahead) < KEPT_SECONDS:
            return None
        self._noted = state
        return state
