"""A detector's life on virtual time, with seeded faults on every port: no promise is broken, and mutants are caught.

`make simulate` plays ten thousand days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from archiverd.core.errors import ArchiverError
from archiverd.stages.migrator import Migrator
from archiverd.ucondb import storing
from archiverd.ucondb.port import Outcome
from tests.simulation.doubles import ForgetfulDisk
from tests.simulation.life import BrokenPromiseError, Rates, play

if TYPE_CHECKING:
    from pathlib import Path

WILD = Rates(runs=20.0, kills=6.0, outages=2.0, foreign=0.1)


def live(seed: int, days: int, tmp_path: Path, rates: Rates | None = None) -> str:
    """Play one life; return what happened in it."""
    root = tmp_path / str(seed)
    root.mkdir()
    return " ".join(play(seed, days, root, rates))


@pytest.mark.parametrize("seed", range(101, 107))
def test_no_promise_is_broken_in_a_detectors_life(tmp_path: Path, seed: int) -> None:
    """Killed at any effect, its disk forgetting what was not synced, UconDB failing in every way: all runs are safe."""
    assert "runs" in live(seed, 30, tmp_path)


def test_a_seed_plays_the_same_life_again(tmp_path: Path) -> None:
    """A broken promise can be looked at again by its seed."""
    first, again = tmp_path / "first", tmp_path / "again"
    first.mkdir()
    again.mkdir()
    assert live(7, 10, first) == live(7, 10, again)


def caught(tmp_path: Path, lives: int = 12) -> bool:
    """Tell whether a mutant breaks a promise within so many wild lives."""
    for seed in range(1, lives + 1):
        try:
            live(seed, 3, tmp_path, WILD)
        except (BrokenPromiseError, ArchiverError, BaseExceptionGroup):
            return True
    return False


def test_the_wild_lives_break_nothing_without_a_mutant(tmp_path: Path) -> None:
    """What the mutants are caught with is fair."""
    assert not caught(tmp_path, 4)


def test_a_put_before_its_intent_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant sends first and writes to the journal afterwards (I4)."""
    upload = Migrator._upload

    async def hasty(self: Migrator, row: Any, exported: Any, packed: Any) -> None:
        await self.ucondb.store(str(row.run), packed.blob, tag=str(row.run), look_first=False)
        await upload(self, row, exported, packed)

    monkeypatch.setattr(Migrator, "_upload", hasty)
    assert caught(tmp_path)


def test_a_missing_compare_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant takes whatever stands under its key for its own (I1, I5)."""

    async def trusting(*_: object) -> Outcome:
        return Outcome.PROVEN

    monkeypatch.setattr(storing, "_compare", trusting)
    assert caught(tmp_path)


def test_a_missing_sync_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant calls documents durable whose names are not (I6)."""

    def lazy(self: ForgetfulDisk, path: Path) -> None:
        self._world.effect("not synced")

    monkeypatch.setattr(ForgetfulDisk, "sync_directory", lazy)
    assert caught(tmp_path)
