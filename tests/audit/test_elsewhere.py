"""Runs that were archived elsewhere are looked up a few at a time, behind fresh runs, and each once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from archiverd.audit.elsewhere import AGAIN_SECONDS, AT_ONCE, PAUSE_SECONDS, DestinationAudit, let_go
from archiverd.core.machine import State
from archiverd.journal.destinations import Found, Side
from archiverd.journal.journal import Journal
from tests.journal.test_destinations import NEW, OLD, archive, at

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

RUNS = range(1, 46)


class Empty:
    """An artdaqDB that has every run, and a UconDB that has none."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def list_runs(self) -> dict[int, object]:
        """See ``ArtdaqDB.list_runs``."""
        return dict.fromkeys(RUNS)

    async def look_up_all(self, keys: Collection[str]) -> dict[str, object]:
        """See ``UconDB.look_up_all``."""
        self.asked.append(len(keys))
        return {}


@dataclass
class Quiet:
    """A shutdown that is asked for after so many rests; it only notes how long each is."""

    most: int = 1_000
    rests: list[float] = field(default_factory=list)

    @property
    def asked(self) -> bool:
        return len(self.rests) >= self.most

    async def rest(self, seconds: float) -> None:
        self.rests.append(seconds)


@dataclass
class Open:
    """A gate that lets everything through."""

    shut: bool = False


async def moved(tmp_path: Path) -> Journal:
    """Return a journal of 45 runs verified in another folder than the configured one."""
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: 1_000.0)
    await journal.open()
    await journal.settle(at(OLD))
    await archive(journal, *RUNS)
    await journal.settle(at(NEW))
    return journal


def audit(journal: Journal, databases: Empty, busy: list[bool], gate: Open | None = None) -> DestinationAudit:
    """Return the audit over these doubles."""
    both = cast("Any", databases)
    return DestinationAudit(
        journal, both, both, cast("Any", gate or Open()), cast("Any", None), lambda: busy.pop() if busy else False
    )


async def test_they_are_looked_up_a_few_at_a_time_and_fresh_runs_go_first(tmp_path: Path) -> None:
    """Twenty, then a pause; while a stage has runs in hand, nothing. What was looked up is not, the same day."""
    journal, databases, quiet = await moved(tmp_path), Empty(), Quiet()
    looking = audit(journal, databases, [True, True])
    assert await looking.look(cast("Any", quiet), before=1_000.0, pause=PAUSE_SECONDS)
    assert databases.asked == [AT_ONCE, AT_ONCE, 5]
    assert quiet.rests == [AGAIN_SECONDS, AGAIN_SECONDS, PAUSE_SECONDS, PAUSE_SECONDS, PAUSE_SECONDS]
    assert await looking.look(cast("Any", quiet), before=1_000.0, pause=PAUSE_SECONDS)
    assert databases.asked == [AT_ONCE, AT_ONCE, 5]
    assert set((await journal.elsewhere(Side.UCONDB)).values()) == {Found.MISSING}
    await journal.close()


async def test_a_restart_goes_on_where_the_last_process_was(tmp_path: Path) -> None:
    """A drain ends the work after the runs in hand; the next look asks for the rest only."""
    journal, databases = await moved(tmp_path), Empty()
    assert not await audit(journal, databases, []).look(cast("Any", Quiet(most=1)), before=1_000.0, pause=1.0)
    assert databases.asked == [AT_ONCE]
    assert await audit(journal, databases, []).look(cast("Any", Quiet()), before=1_000.0, most=10)
    assert databases.asked == [AT_ONCE, 10]
    assert await audit(journal, databases, []).look(cast("Any", Quiet()), before=1_000.0)
    assert databases.asked == [AT_ONCE, 10, 15]
    await journal.close()


async def test_nothing_is_asked_of_a_ucondb_that_is_away(tmp_path: Path) -> None:
    """The gate before it is shut: the look-up is left for later."""
    journal, databases = await moved(tmp_path), Empty()
    assert not await audit(journal, databases, [], Open(shut=True)).look(cast("Any", Quiet()), before=1_000.0)
    assert databases.asked == []
    await journal.close()


async def test_nothing_goes_anywhere_before_an_operator_says_so(tmp_path: Path) -> None:
    """What is missing stays verified where it was; after the word it goes, also what is found missing later."""
    journal, databases = await moved(tmp_path), Empty()
    await audit(journal, databases, []).look(None, before=1_000.0, most=20)
    assert (await let_go(journal, tmp_path, asked=False)).sent == ()
    await journal.release_destinations("/records")
    assert (await let_go(journal, tmp_path, asked=True)).sent == tuple(range(26, 46))
    await audit(journal, databases, []).look(None, before=1_000.0)
    assert (await let_go(journal, tmp_path, asked=False)).sent == tuple(range(1, 26))
    assert await journal.count(State.IMPORTED) == len(RUNS)
    await journal.close()


async def test_what_an_emptied_artdaqdb_lost_needs_a_word_each_time(tmp_path: Path) -> None:
    """It is not elsewhere: a word about the place, given when it was new, does not cover its loss."""
    journal = await moved(tmp_path)
    await journal.release_destinations("/records")
    await journal.note_lacking(set())
    assert (await let_go(journal, tmp_path, asked=False)).imported == ()
    for run in RUNS:
        (tmp_path / str(run)).mkdir()
    assert len((await let_go(journal, tmp_path, asked=True)).imported) == len(RUNS)
    await journal.close()
