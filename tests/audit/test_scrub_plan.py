"""The plan of the scrub: oldest first, evenly, nothing forgotten, nothing hurried."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiverd.audit.scrub_plan import LOOKED_UP_AT_ONCE, Pace, longest_wait, next_step
from archiverd.config.hours import Hours, parse_hours
from archiverd.config.models import Scrub
from archiverd.core.proofs import AGAIN_DAYS, DAY_SECONDS, next_proof_at
from archiverd.journal.proofs import Due, ScrubFacts, Track

DAY = DAY_SECONDS
NOW = 1_800_000_000.0
USUAL = Pace.of(Scrub())


@dataclass
class Archive:
    """Verified runs, as the journal has them; time passes as the plan says."""

    first: dict[int, float]
    """When each was proven first."""
    pace: Pace = USUAL
    now: float = NOW
    checked: dict[int, float] = field(default_factory=dict)
    """When each was proven last: older ones were proven a week after their first time."""
    steps: dict[Track, list[tuple[float, int]]] = field(
        default_factory=lambda: {"early": [], "others": [], "look_ups": []}
    )

    counted: tuple[int, float] = (0, 0.0)
    """The early proofs that were due within a day, and when that was counted."""

    def __post_init__(self) -> None:
        week = AGAIN_DAYS[-1] * DAY
        self.checked = {run: at if self.now - at <= week else at + week for run, at in self.first.items()}

    def facts(self) -> ScrubFacts:
        """Return what the journal would tell."""
        due = {run: next_proof_at(at, self.checked[run]) for run, at in self.first.items()}
        early = sorted((at, run) for run, at in due.items() if at is not None)
        others = sorted((self.checked[run], run) for run, at in due.items() if at is None)
        last = {track: steps[-1][0] if steps else 0.0 for track, steps in self.steps.items()}
        number = sum(at <= self.now + DAY for at, _ in early)
        if number >= self.counted[0] or self.now - self.counted[1] >= DAY:
            self.counted = (number, self.now)
        return ScrubFacts(
            verified=len(self.first),
            early=self.counted[0],
            others=len(others),
            next_early=Due(early[0][1], early[0][0]) if early else None,
            next_other=Due(others[0][1], others[0][0]) if others else None,
            early_at=last["early"],
            others_at=last["others"],
            looked_up_at=last["look_ups"],
        )

    def live(self, days: float) -> None:
        """Let so many days pass."""
        end = self.now + days * DAY
        while self.now < end:
            step = next_step(self.facts(), self.pace, self.now, self.now % DAY / 3600)
            if step.track is None:
                assert 0.0 < step.wait <= longest_wait()
                self.now += step.wait
                continue
            self.steps[step.track].append((self.now, step.run))
            if step.track != "look_ups":
                self.checked[step.run] = self.now


def gaps(steps: list[tuple[float, int]]) -> list[float]:
    """Return the seconds between steps."""
    return [later - earlier for (earlier, _), (later, _) in pairwise(steps)]


@settings(max_examples=20, deadline=None)
@given(
    ages=st.lists(st.floats(0.0, 400.0), min_size=1, max_size=12),
    share=st.sampled_from([0.0, 0.01, 0.5]),
    least=st.sampled_from([0, 1, 10]),
    hours=st.sampled_from(["", "22-6", "3-4"]),
)
def test_every_early_proof_is_made_and_the_others_take_turns(
    ages: list[float], share: float, least: int, hours: str
) -> None:
    """Whatever the archive: within two days after it is due each early proof is made, and none before it is due.

    Of the others as many as wanted are proven, none twice a day, each time the one proven longest ago.
    """
    first = {run: NOW - age * DAY for run, age in enumerate(ages)}
    archive = Archive(first, Pace(share, least, parse_hours(hours)))
    archive.live(4)
    for at, run in archive.steps["early"]:
        assert at >= first[run] + AGAIN_DAYS[0] * DAY
    late = [run for run, at in first.items() if (next_proof_at(at, archive.checked[run]) or archive.now) < NOW + DAY]
    assert not late
    others = archive.steps["others"]
    often: dict[int, float] = {}
    for at, run in others:
        assert at - often.get(run, 0.0) >= DAY - 1.0
        often[run] = at
    settled = sum(age > AGAIN_DAYS[-1] + 1 for age in ages) and sum(age > AGAIN_DAYS[-1] for age in ages)
    if settled and archive.pace.others_per_day(settled):
        assert len(others) >= 2 * archive.pace.others_per_day(settled)
    elif not archive.pace.others_per_day(len(ages)):
        assert not others


def test_the_pace_is_even_over_the_day() -> None:
    """10 % of 400 runs is one every 36 minutes, and 400 keys are looked up in two steps a week."""
    archive = Archive({run: NOW - 300 * DAY + run for run in range(400)}, Pace(0.1, 10, Hours()))
    archive.live(2)
    assert [run for _, run in archive.steps["others"]] == list(range(len(archive.steps["others"])))
    assert len(archive.steps["others"]) == pytest.approx(80, abs=1)
    assert gaps(archive.steps["others"]) == pytest.approx([DAY / 40] * (len(archive.steps["others"]) - 1), abs=60)
    assert len(archive.steps["look_ups"]) == math.ceil(2 / 7 * 400 / LOOKED_UP_AT_ONCE)


def test_what_is_overdue_melts_away_and_never_in_a_burst() -> None:
    """A backlog of 200 proofs after a weekend: spread over the day, little faster than evenly."""
    archive = Archive({run: NOW - 3 * DAY + run for run in range(200)})
    archive.live(1)
    steps = archive.steps["early"]
    assert len({run for _, run in steps}) == 200
    assert min(gaps(steps)) == pytest.approx(DAY / 300, abs=1.0)


def test_a_restart_neither_hurries_nor_forgets() -> None:
    """The journal has the time of the last step: started every ten minutes it proves as much as left alone."""
    facts = ScrubFacts(1000, 0, 1000, None, Due(7, NOW - 90 * DAY), others_at=NOW, looked_up_at=NOW)
    wait = DAY / 10
    for passed in range(0, int(wait), 600):
        assert next_step(facts, USUAL, NOW + passed, 12.0).track is None
    step = next_step(facts, USUAL, NOW + wait, 12.0)
    assert (step.track, step.run) == ("others", 7)


def test_nothing_is_done_outside_the_hours() -> None:
    """The day's work is spread over them, so it is the same."""
    archive = Archive(dict.fromkeys(range(200), NOW - 300 * DAY), Pace(0.1, 10, Hours(22, 6)))
    archive.live(3)
    hours = {int(at % DAY / 3600) for steps in archive.steps.values() for at, _ in steps}
    assert hours <= {22, 23, 0, 1, 2, 3, 4, 5}
    assert len(archive.steps["others"]) == pytest.approx(60, abs=3)


def test_nothing_proven_means_nothing_to_do() -> None:
    """An empty archive waits."""
    step = next_step(ScrubFacts(0, 0, 0, None, None), USUAL, NOW, 0.0)
    assert (step.track, step.wait) == (None, longest_wait())


@pytest.mark.parametrize("track", ["early", "others", "look_ups"])
def test_a_clock_that_was_ahead_holds_up_nothing(track: Track) -> None:
    """A step noted in the future did not happen then."""
    ahead = NOW + 30 * DAY
    last = {"early_at": ahead, "others_at": ahead, "looked_up_at": ahead}
    last[{"early": "early_at", "others": "others_at", "look_ups": "looked_up_at"}[track]] = ahead
    early = Due(7, NOW - 1) if track == "early" else None
    other = Due(8, NOW - 9 * DAY) if track == "others" else None
    facts = ScrubFacts(1 if track == "look_ups" else 0, 1, 1, early, other, **last)
    assert next_step(facts, USUAL, NOW, 0.0).track == track
