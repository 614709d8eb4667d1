"""The journal against a model of it, with crashes in between."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from archiverd.core.machine import IN_HAND, TABLE, WAITING, Event, ForbiddenTransitionError, Stage, State
from archiverd.core.priority import Lane
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition

T = TypeVar("T")
RUNS = st.integers(1, 6)
AFTER_A_CRASH = {State.IMPORTING: State.QUEUED, State.UPLOADING: State.UPLOAD_UNKNOWN}


class JournalAndModel(RuleBasedStateMachine):
    """Runs go through the table; a model of two dictionaries says where each must stand."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="archiverd-test-"))
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.states: dict[int, State] = {}
        self.stages: dict[int, Stage] = {}
        self.journal = self._opened(self.root / "0.sqlite")
        self.copies = itertools.count(1)

    def teardown(self) -> None:
        self._do(self.journal.close())
        self.loop.close()
        shutil.rmtree(self.root)

    def _do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def _opened(self, path: Path) -> Journal:
        journal = Journal(path, clock=lambda: self.now)
        self._do(journal.open())
        return journal

    @rule(runs=st.sets(RUNS), lane=st.sampled_from(Lane))
    def see(self, runs: set[int], lane: Lane) -> None:
        """Runs are seen, some again."""
        self._do(self.journal.see(runs, lane))
        for run in runs - self.states.keys():
            self.states[run], self.stages[run] = State.OPEN, Stage.IMPORT

    @rule(run=RUNS, event=st.sampled_from(Event))
    def happen(self, run: int, event: Event) -> None:
        """Something happens to a run, be it possible or not."""
        before = self.states.get(run)
        answer = None if before is None else TABLE.get((before, event))
        if answer is None:
            with pytest.raises((ForbiddenTransitionError, RuntimeError)):
                self._do(self.journal.record(Transition(run, event)))
            return
        (row,) = self._do(self.journal.record(Transition(run, event)))
        self.states[run] = answer[self.stages[run]] if isinstance(answer, dict) else answer
        self.stages[run] = row.stage

    @rule(events=st.lists(st.tuples(RUNS, st.sampled_from(Event)), min_size=2, max_size=4))
    def happen_together(self, events: list[tuple[int, Event]]) -> None:
        """One forbidden event among several undoes them all."""
        try:
            rows = self._do(self.journal.record(*(Transition(run, event) for run, event in events)))
        except (ForbiddenTransitionError, RuntimeError):
            return
        for (run, event), row in zip(events, rows, strict=True):
            answer = TABLE[self.states[run], event]
            self.states[run] = answer[self.stages[run]] if isinstance(answer, dict) else answer
            self.stages[run] = row.stage

    @rule(stage=st.sampled_from(Stage), in_hand=st.sets(RUNS, max_size=2))
    def pick(self, stage: Stage, in_hand: set[int]) -> None:
        """A pick is a run that waits for the stage and is in nobody's hand; there is none only if none waits."""
        run = self._do(self.journal.pick(stage, in_hand))
        waiting = {
            one
            for one, state in self.states.items()
            if state in WAITING[stage] and self.stages[one] is stage and one not in in_hand
        }
        assert run in waiting or (run is None and not waiting)

    @rule()
    def crash(self) -> None:
        """The process is killed: what another one finds in the files is what was acknowledged, nothing in hand."""
        old, new = self.journal._path, self.root / f"{next(self.copies)}.sqlite"
        for ending in ("", "-wal"):
            if os.path.exists(f"{old}{ending}"):
                shutil.copyfile(f"{old}{ending}", f"{new}{ending}")
        self._do(self.journal.close())
        self.journal = self._opened(new)
        self._do(self.journal.recover())
        for run, state in self.states.items():
            self.states[run] = AFTER_A_CRASH.get(state, state)
        assert not [state for state in self.states.values() if state in IN_HAND]

    @invariant()
    def every_run_stands_where_the_model_has_it(self) -> None:
        """No run is lost, none in no state or in two (I2, I3)."""
        assert self._do(self.journal.known()) == self.states
        listed = self._do(self.journal.listed(Stage.IMPORT)) | self._do(self.journal.listed(Stage.MIGRATE))
        failed = {
            run for run, state in self.states.items() if state in (State.RETRY_WAIT, State.QUARANTINED, State.CONFLICT)
        }
        assert failed <= listed


def test_the_journal_does_what_the_model_does() -> None:
    """Whatever happens in whatever order, crashes included: every run stands where the table says (I2, I3, I6)."""
    run_state_machine_as_test(JournalAndModel, settings=settings(max_examples=25, stateful_step_count=40))
