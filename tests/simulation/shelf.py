"""What befalls versions in UconDB after they were proven: rot, loss, other hands, and backups that are restored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.life import Detector
    from tests.simulation.server import Stored

DAY = 86_400.0
READ_WITHIN = 2 * DAY
"""Added to the days in which every blob is read once."""
LOOKED_UP_WITHIN = 9 * DAY
"""Within which every key is looked up once, and some outages."""


@dataclass(frozen=True)
class Harm:
    """What was done to the version of a run, and since when a process could have noticed (seconds of life)."""

    at: float
    shows: bool
    """Whether its metadata, too, are not what they were: then a look-up finds it."""


class Shelf:
    """Lets versions be harmed, one at a time or many; people put some of it right."""

    def __init__(self, detector: Detector) -> None:
        self._detector, self._world = detector, detector.world
        self.harm: dict[tuple[str, str], Harm] = {}
        """By folder and key."""
        self._kinds: dict[Callable[[Stored], None], float] = {
            self._rot: 2.0,
            self._empty: 1.0,
            self._lose: 2.0,
            self._override: 1.0,
            self._restore: 0.7,
        }

    def begin(self) -> None:
        """Put the next harm on the agenda."""
        if self._detector.rates.harm:
            self._detector.agenda.after(self._world.dice.expovariate(self._detector.rates.harm / DAY), self._act)

    def _act(self) -> None:
        dice, folder = self._world.dice, self._folder
        held = [one for one in self._detector.server.versions(folder) if one.key and self._is_proven(one.key)]
        if held and not self._world.peaceful:
            (kind,) = dice.choices(list(self._kinds), list(self._kinds.values()))
            kind(dice.choice(held))
        self.begin()

    @property
    def _folder(self) -> str:
        return self._detector.settings.ucon_db.folder_name

    def _is_proven(self, key: str) -> bool:
        return (self._folder, key) not in self.harm and self._detector.is_verified(int(key))

    def _note(self, key: str | None, what: str, *, shows: bool) -> None:
        self.harm[self._folder, key or ""] = Harm(self._detector.lived, shows)
        self._world.note(what)

    def _rot(self, version: Stored) -> None:
        """Let a bit turn over on the disk."""
        at = self._world.dice.randrange(len(version.data))
        version.data = version.data[:at] + bytes([version.data[at] ^ 4]) + version.data[at + 1 :]
        self._note(version.key, "bit rot", shows=False)

    def _empty(self, version: Stored) -> None:
        """Lose the blob, and keep the version."""
        version.data = b""
        self._note(version.key, "blob lost", shows=False)

    def _lose(self, version: Stored) -> None:
        """Let somebody delete a version."""
        self._note(version.key, "version deleted", shows=True)
        self._detector.server.versions(self._folder).remove(version)

    def _override(self, version: Stored) -> None:
        """Let another program take the key."""
        self._note(version.key, "version overridden", shows=True)
        self._detector.server.put(str(version.key), b"another program's bytes", self._folder, override=True)

    def _restore(self, _: Stored) -> None:
        """Restore a backup of a day or two ago; most times somebody finds out and brings back what was lost."""
        detector, dice = self._detector, self._world.dice
        versions, folder = detector.server.versions(self._folder), self._folder
        lost = versions[-dice.randint(1, 12) :]
        if len(lost) == len(versions) or any((folder, one.key) in self.harm for one in lost):
            return  # the object would be gone: another matter
        for one in lost:
            versions.remove(one)
            if one.key is not None:
                self._note(one.key, "backup restored", shows=True)
        if dice.random() < 0.6:
            detector.agenda.after(dice.expovariate(1 / (2 * DAY)), lambda: self._bring_back(folder, lost))

    def _bring_back(self, folder: str, lost: list[Stored]) -> None:
        for one in lost:
            if one.key is not None and self._detector.server.find(one.key, folder) is None:
                self._detector.server.versions(folder).append(one)
                self.harm.pop((folder, one.key), None)

    def is_overdue(self, folder: str, key: str, verified: int) -> bool:
        """Tell whether the harm done to a version should have been found by now, by its look-up or in its turn."""
        harm = self.harm.get((folder, key))
        if harm is None:
            return True
        turn = 7 * DAY + verified / 10 * DAY + READ_WITHIN
        within = min(LOOKED_UP_WITHIN, turn) if harm.shows else turn
        return self._detector.lived - harm.at > within
