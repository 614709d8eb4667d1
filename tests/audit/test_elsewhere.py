"""Runs that were archived elsewhere are looked up a few at a time, behind fresh runs, and each once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from archiverd.audit.elsewhere import (
    AGAIN_SECONDS,
    AT_ONCE,
    BEHIND_SECONDS,
    PAUSE_SECONDS,
    DestinationAudit,
    let_go,
)
from archiverd.core.errors import UconDBError
from archiverd.core.machine import State
from archiverd.journal.destinations import Found, Side
from archiverd.journal.journal import Journal
from archiverd.ucondb.port import Finding
from tests.audit.held import Held, blob, verify
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


class Other(Held):
    """An artdaqDB, and a UconDB that has the blobs of the same runs."""

    async def list_runs(self) -> dict[int, object]:
        """See ``ArtdaqDB.list_runs``."""
        return dict.fromkeys(self.blobs)


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


async def test_a_backlog_without_end_lets_some_through(tmp_path: Path) -> None:
    """While runs are in hand all the time, twenty a minute have their turn."""
    journal, databases, quiet = await moved(tmp_path), Empty(), Quiet()
    looking = audit(journal, databases, [True] * 1_000)
    assert await looking.look(cast("Any", quiet), before=1_000.0, pause=PAUSE_SECONDS)
    assert databases.asked == [AT_ONCE, AT_ONCE, 5]
    assert sum(quiet.rests) == 3 * (BEHIND_SECONDS + PAUSE_SECONDS)
    await journal.close()


async def test_nothing_is_looked_up_while_the_daemon_is_paused(tmp_path: Path) -> None:
    """Not at the beginning of a round, nor in the middle of one; nothing is let go either."""
    journal, databases, quiet = await moved(tmp_path), Empty(), Quiet(most=50)
    looking = audit(journal, databases, [])
    looking.is_paused = lambda: bool(databases.asked)
    await looking.watch(cast("Any", quiet))
    assert databases.asked == [AT_ONCE]
    databases.asked.clear()
    looking.is_paused = lambda: True
    await looking.watch(cast("Any", Quiet(most=50)))
    assert databases.asked == []
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
    await journal.note_lacking(set(RUNS), set())
    assert (await let_go(journal, tmp_path, asked=False)).imported == ()
    for run in RUNS:
        (tmp_path / str(run)).mkdir()
    assert len((await let_go(journal, tmp_path, asked=True)).imported) == len(RUNS)
    await journal.close()


async def verified_somewhere(tmp_path: Path) -> tuple[Journal, Other]:
    """Return a journal of five verified runs that does not say where, and databases that have them."""
    journal, runs = Journal(tmp_path / "journal.sqlite", clock=lambda: 1_000.0), range(1, 6)
    await journal.open()
    await verify(journal, runs, 1_000.0)
    await journal.settle(at(NEW))
    for run in runs:
        await journal.note_standing(run, Side.ARTDAQDB)
    return journal, Other({run: blob(run) for run in runs})


async def test_a_damaged_blob_holds_up_no_other_run(tmp_path: Path) -> None:
    """It is named with the reason; all others are compared; one that gets no reply is looked up again."""
    journal, databases = await verified_somewhere(tmp_path)
    databases.wrong = {4: Finding.UNREADABLE, 3: Finding.SILENT, 2: Finding.UNSOUND}
    assert await audit(journal, cast("Any", databases), []).look(None, before=1_000.0)
    assert await journal.elsewhere(Side.UCONDB) == {4: Found.DIFFERS, 3: None, 2: Found.DIFFERS}
    assert (await journal.differing(Side.UCONDB))[4] == "run 4 cannot be read"
    await journal.close()


async def test_a_server_that_gives_no_blob_concludes_nothing(tmp_path: Path) -> None:
    """Three keys without a reply: the look ends with the server's failure, and no run is said to differ."""
    journal, databases = await verified_somewhere(tmp_path)
    databases.wrong = dict.fromkeys(range(1, 6), Finding.SILENT)
    with pytest.raises(UconDBError, match="no reply for runs 3-5"):
        await audit(journal, cast("Any", databases), []).look(None, before=1_000.0)
    assert set((await journal.elsewhere(Side.UCONDB)).values()) == {None}
    await journal.close()


async def test_a_server_that_is_away_is_logged_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The watch asks every few seconds; the log of a night is one line."""
    journal, databases = await verified_somewhere(tmp_path)
    databases.away = True
    quiet = Quiet(most=20)
    await audit(journal, cast("Any", databases), []).watch(cast("Any", quiet))
    assert quiet.rests == [AGAIN_SECONDS] * 20
    assert capsys.readouterr().out.count("] UconDBError: Connection refused") == 1
    await journal.close()


async def test_a_run_that_was_verified_while_artdaqdb_was_listed_is_not_missing(tmp_path: Path) -> None:
    """A long list does not have what came after it was begun."""
    journal, databases = await verified_somewhere(tmp_path)

    async def list_slowly() -> dict[int, object]:
        await verify(journal, [20], 1_000.0)
        return dict.fromkeys(range(1, 6))

    databases.list_runs = list_slowly  # type: ignore[method-assign]
    assert await audit(journal, cast("Any", databases), []).look(None, before=1_000.0)
    assert Found.MISSING not in (await journal.elsewhere(Side.ARTDAQDB)).values()
    await journal.close()
