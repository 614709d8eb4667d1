"""Which runs are suspected to have ended the process, and when one is set aside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from archiverd.core.machine import Stage
from archiverd.process.hands import DEATHS, Hands, Holding, count_death

if TYPE_CHECKING:
    from pathlib import Path

SEVEN, EIGHT = Holding(Stage.IMPORT, 7), Holding(Stage.IMPORT, 8)


async def die_with(directory: Path, *held: Holding, boot: str = "boot") -> Hands:
    """Begin as a process, take runs, and end without a word; return what that process knew."""
    hands = Hands(directory, lambda: boot)
    await hands.begin()
    for holding in held:
        await hands.take(holding)
    return hands


async def test_only_who_was_alone_in_hand_is_set_aside(tmp_path: Path) -> None:
    """Deaths with several in hand make suspects; three alone condemn; what happened in between does not."""
    await die_with(tmp_path / "in_hand", SEVEN, EIGHT)
    for _ in range(DEATHS):
        assert (await die_with(tmp_path / "in_hand", SEVEN)).condemned() == []
        await die_with(tmp_path / "in_hand")
    hands = await die_with(tmp_path / "in_hand")
    assert hands.condemned() == [SEVEN]
    assert hands.suspects == {SEVEN: DEATHS, EIGHT: 0}


async def test_work_that_ends_clears_a_run(tmp_path: Path) -> None:
    """However it ends: the run did not end the process."""
    await die_with(tmp_path / "in_hand", SEVEN)
    hands = await die_with(tmp_path / "in_hand", SEVEN)
    assert hands.suspects == {SEVEN: 1}
    await hands.let_go(SEVEN)
    assert (await die_with(tmp_path / "in_hand")).suspects == {}


async def test_a_stop_that_was_asked_for_and_a_new_start_of_the_machine_count_against_nobody(tmp_path: Path) -> None:
    """Nor a process that comes to its end in order."""
    await (await die_with(tmp_path / "in_hand", SEVEN)).asked()
    assert (await die_with(tmp_path / "in_hand", EIGHT)).suspects == {}
    assert (await die_with(tmp_path / "in_hand", boot="another")).suspects == {}


async def test_damaged_files_teach_nothing(tmp_path: Path) -> None:
    """And keep no process from starting; a directory that cannot be made neither."""
    directory = tmp_path / "in_hand"
    await die_with(directory, SEVEN)
    for name, content in (
        ("suspects.json", "[1]"),
        ("process.json", "{"),
        ("import-x", ""),
        ("import-" + "9" * 30, ""),
    ):
        (directory / name).write_text(content)
    assert (await die_with(directory)).suspects == {}
    (directory / "suspects.json").write_text(json.dumps({"suspects": {"import-7": 1, "none-8": 1, "import-9": "x"}}))
    assert (await die_with(directory)).suspects == {SEVEN: 1}
    (tmp_path / "file").write_text("")
    assert (await die_with(tmp_path / "file", SEVEN)).suspects == {}


RUNS = st.integers(1, 12)


@given(st.sets(RUNS, min_size=1), st.integers(1, 4), st.data())
async def test_every_innocent_run_is_done_and_every_killer_set_aside(
    killers: set[int], workers: int, data: st.DataObject
) -> None:
    """Whatever the order in which runs are worked on; never is anything beside a suspect in hand."""
    waiting, done, aside = set(range(1, 13)), set[int](), set[int]()
    suspects: dict[Holding, int] = {}
    for _ in range(12 * (DEATHS + 1)):  # lives of a process
        hands = Hands(suspects=dict(suspects))
        for one in hands.condemned():
            aside.add(one.run)
            waiting.discard(one.run)
            await hands.forgive(one)
        held: set[int] = set()

        async def ask(but: frozenset[int], of: frozenset[int] | None, held: set[int] = held) -> int | None:
            free = sorted((waiting & of if of is not None else waiting) - but - held)
            return data.draw(st.sampled_from(free)) if free else None

        died = False
        while not died:
            while len(held) < workers and (run := await hands.pick(Stage.IMPORT, ask)) is not None:
                held.add(run)
                assert len(held) == 1 or not held & hands.suspected(Stage.IMPORT)
            if not held:
                break
            run = data.draw(st.sampled_from(sorted(held)))
            died = run in killers
            if not died:
                await hands.let_go(Holding(Stage.IMPORT, run))
                held.discard(run)
                waiting.discard(run)
                done.add(run)
        suspects = count_death(hands.suspects, hands.held) if died else dict(hands.suspects)
        if not waiting:
            break
    assert (done, aside) == (set(range(1, 13)) - killers, killers)
