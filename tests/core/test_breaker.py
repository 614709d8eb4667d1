"""When a backend is left alone, probed, and trusted again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from archiverd.core import breaker as breakers
from archiverd.core.breaker import FIRST_PROBE_SECONDS, PROBE_CAP_SECONDS, TRIPS_AFTER, Breaker, Health
from archiverd.core.errors import Blame


def longest(_low: float, high: float) -> float:
    """Throw the dice so that waits are as long as they get."""
    return high


def working() -> Breaker:
    """Return the breaker of a backend that works."""
    return breakers.passed(breakers.probed(Breaker(), None, 0.0, longest))


def away(now: float = 100.0) -> Breaker:
    """Return the breaker of a backend that has just gone away."""
    breaker = working()
    for _ in range(TRIPS_AFTER):
        breaker = breakers.failed(breaker, Blame.BACKEND, now, longest)
    return breaker


def test_a_new_backend_has_to_show_that_it_works() -> None:
    """Nothing is sent before a probe has passed, and one is due at once."""
    assert not Breaker().lets_through
    assert Breaker().probe_at <= 0.0
    assert breakers.probed(Breaker(), None, 0.0, longest).health is Health.TRIAL


def test_single_failures_do_not_shut_it() -> None:
    """A success between failures begins the count anew."""
    breaker = working()
    for _ in range(10):
        for _ in range(TRIPS_AFTER - 1):
            breaker = breakers.failed(breaker, Blame.BACKEND, 1.0, longest)
        assert breaker.health is Health.WORKING
        breaker = breakers.passed(breaker)


def test_failures_in_a_row_shut_it_and_a_run_s_own_do_not() -> None:
    """Only what blames the backend counts; what blames a run shows that the backend answers."""
    assert away().health is Health.AWAY
    assert away().since == 100.0
    breaker = working()
    for _ in range(5 * TRIPS_AFTER):
        breaker = breakers.failed(breaker, Blame.RUN, 1.0, longest)
    assert breaker.health is Health.WORKING


def test_a_refused_login_shuts_it_at_once() -> None:
    """Whatever else is sent would be refused too."""
    assert breakers.failed(working(), Blame.LOGIN, 5.0, longest).health is Health.REFUSED


def test_an_outage_costs_probes_that_grow_rare() -> None:
    """Waits double up to the cap, and the beginning of the outage is kept."""
    breaker, now, waits = away(), 100.0, []
    for _ in range(12):
        waits.append(breaker.probe_at - now)
        now = breaker.probe_at
        breaker = breakers.probed(breaker, Blame.BACKEND, now, longest)
    assert waits[:4] == [FIRST_PROBE_SECONDS * factor for factor in (1, 2, 4, 8)]
    assert max(waits) == waits[-1] == PROBE_CAP_SECONDS
    assert breaker.since == 100.0


def test_a_trial_run_decides() -> None:
    """After a probe one run passes, which opens the gate, or fails, which shuts it for longer."""
    trial = breakers.probed(away(), None, 200.0, longest)
    assert breakers.passed(trial) == Breaker(Health.WORKING)
    again = breakers.failed(trial, Blame.BACKEND, 200.0, longest)
    assert again.health is Health.AWAY
    assert again.probe_at - 200.0 > FIRST_PROBE_SECONDS


def test_late_news_from_before_do_not_open_it() -> None:
    """An exchange that was under way when others failed changes nothing, however it ends."""
    assert breakers.passed(away()) == away()
    assert breakers.failed(away(), Blame.LOGIN, 101.0, longest) == away()


STEPS = st.lists(
    st.tuples(st.sampled_from(["pass", "run", "backend", "login", "probe ok", "probe bad"]), st.floats(0, 60))
)


@given(STEPS)
def test_whatever_happens_a_probe_is_always_due_while_it_is_shut(steps: list[tuple[str, float]]) -> None:
    """Nothing leaves it shut without a next probe within the cap, or open with a beginning of an outage forgotten."""
    breaker, now = Breaker(), 0.0
    blames = {"run": Blame.RUN, "backend": Blame.BACKEND, "login": Blame.LOGIN}
    for what, seconds in steps:
        now += seconds
        if what == "pass":
            breaker = breakers.passed(breaker)
        elif what in blames:
            breaker = breakers.failed(breaker, blames[what], now, longest)
        elif not breaker.lets_through:
            breaker = breakers.probed(breaker, None if what == "probe ok" else Blame.BACKEND, now, longest)
        if not breaker.lets_through:
            assert breaker.probe_at <= now + PROBE_CAP_SECONDS
        else:
            assert (breaker.health is Health.WORKING) == (breaker.since is None) or breaker.health is Health.TRIAL
