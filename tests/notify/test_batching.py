"""What goes into one message, and when it is due: never a storm, never a silence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from archiverd.core.machine import Stage
from archiverd.journal.news import Failed, News, Repaired
from archiverd.journal.rows import Hold
from archiverd.notify.batching import MOST_CAUSES, MOST_MESSAGES, TIMINGS, WINDOW_SECONDS, Batching, MessageKey, batches
from archiverd.notify.message import Topic

NOTHING = News((), (), (), (), ())
HOLD = Hold("UconDB", "away", 50.0, "UconDBError: Connection refused", "wait", 3, 60.0)
FAILED = MessageKey(Topic.FAILED, "Import", "x")
REPAIRED = MessageKey(Topic.REPAIRED, "Import")


def failed(run: int, error: str, stage: Stage = Stage.IMPORT, remedy: str = "mend it") -> Failed:
    """Return a run that failed."""
    return Failed(run, stage, error, remedy, lasting=True, event=run)


def reported(*runs: Failed) -> dict[str, tuple[list[int], str, str]]:
    """Return, by stage and first run, the runs, cause and remedy of each message."""
    found = batches(News(runs, (), (), (), ()), works=True)
    messages = [batch.message(key, "h", 0.0) for key, batch in found.items()]
    return {f"{m.subject} {m.runs[0].run}": ([line.run for line in m.runs], m.cause, m.remedy) for m in messages}


def test_runs_that_failed_for_one_cause_share_a_message() -> None:
    """Causes that differ only in numbers share a message; stages never do."""
    found = reported(
        failed(7, "ArtdaqDBError: run 7 at /r/7/boot.txt:12"),
        failed(8, "FclPreperationError: no boot.txt"),
        failed(9, "ArtdaqDBError: run 9 at /r/9/boot.txt:3"),
        failed(10, "ArtdaqDBError: run 10 at /r/10/boot.txt:3", Stage.MIGRATE, "`archiverd release 10`"),
    )
    assert found == {
        "Import 7": ([7, 9], "ArtdaqDBError: run 7 at /r/7/boot.txt:12", "mend it"),
        "Import 8": ([8], "FclPreperationError: no boot.txt", "mend it"),
        "Migration 10": ([10], "ArtdaqDBError: run 10 at /r/10/boot.txt:3", "`archiverd release 10`"),
    }


def test_many_causes_at_once_share_a_message_too() -> None:
    """A hundred runs that each fail in a way of their own make a handful of messages, in which each has its cause."""
    runs = [failed(run, f"FclPreperationError: file {'x' * run}") for run in range(1, 101)]
    runs += [failed(run, "ArtdaqDBError: common") for run in range(200, 230)]
    found = batches(News(tuple(runs), (), (), (), ()), works=True)
    messages = [batch.message(key, "h", 0.0) for key, batch in found.items()]
    assert len(messages) == MOST_CAUSES
    assert sorted(line.run for message in messages for line in message.runs) == sorted(run.run for run in runs)
    common = next(message for message in messages if message.cause == "ArtdaqDBError: common")
    assert [line.run for line in common.runs] == list(range(200, 230))
    various = max(messages, key=lambda message: len(message.runs))
    assert various.cause == ""
    assert all(line.cause.startswith("FclPreperationError") for line in various.runs)


def test_repairs_share_a_message_by_stage() -> None:
    """A repair is reported under the stage whose failure was."""
    news = News((), (Repaired(3, Stage.IMPORT), Repaired(4, Stage.MIGRATE), Repaired(5, Stage.IMPORT)), (), (), ())
    found = batches(news, works=None)
    assert {key.subject: [one.run for one in batch.repaired] for key, batch in found.items()} == {
        "Import": [3, 5],
        "Migration": [4],
    }


def test_an_outage_is_reported_only_by_who_probes() -> None:
    """A hold may be left by an earlier process, and none may mean that nobody has probed yet: neither is reported."""
    away, back = News((), (), (), (HOLD,), ()), News((), (), (), (), (("UconDB", 50.0),))
    assert [key.topic for key in batches(away, works=False)] == [Topic.OUTAGE]
    assert [key.topic for key in batches(back, works=True)] == [Topic.OUTAGE_OVER]
    assert not batches(away, works=None)
    assert not batches(away, works=True)
    assert not batches(back, works=False)
    assert not batches(back, works=None)
    ((key, batch),) = batches(away, works=False).items()
    message = batch.message(key, "h", 99.0)
    assert (message.cause, message.remedy, message.since) == (HOLD.cause, HOLD.remedy, 50.0)


def test_a_message_waits_until_no_more_comes() -> None:
    """A burst is one message, sent once it is quiet."""
    batching, quiet = Batching(), TIMINGS[Topic.FAILED].quiet
    assert batching.due({FAILED: 1}, 0.0) == []
    assert batching.due({FAILED: 4}, quiet - 1) == []
    assert batching.due({FAILED: 4}, quiet) == []
    assert batching.due({FAILED: 4}, 2 * quiet - 1) == [FAILED]


def test_a_message_never_waits_for_long() -> None:
    """A steady trickle of runs does not delay the message for ever."""
    batching, longest = Batching(), TIMINGS[Topic.FAILED].longest
    times = [second for second in range(200) if batching.due({FAILED: second + 1}, float(second))]
    assert times[0] == longest


def test_the_same_cause_is_reported_again_only_after_a_gap() -> None:
    """A trickle of failures of one cause makes a message every ten minutes; another cause has its own at once."""
    batching, sent = Batching(), []
    for second in range(1900):
        for key in batching.due({FAILED: 1}, float(second)):
            batching.sent(key, float(second))
            sent.append(second)
    assert sent == [3, 603, 1203, 1803]


def test_a_blip_is_no_outage() -> None:
    """An outage of less than half a minute is not reported."""
    batching, key = Batching(), MessageKey(Topic.OUTAGE, "UconDB")
    assert batching.due({key: 1}, 0.0) == []
    assert batching.due({key: 1}, 29.0) == []
    assert batching.due({}, 29.5) == []
    assert batching.due({key: 1}, 31.0) == []
    assert batching.due({key: 1}, 61.0) == [key]


def test_at_the_end_everything_is_due() -> None:
    """At the end of a pass every message is due."""
    assert Batching().due({FAILED: 1, REPAIRED: 2}, 0.0, flush=True) == [FAILED, REPAIRED]


@given(st.lists(st.dictionaries(st.integers(0, 40), st.integers(1, 50), max_size=10), max_size=200))
def test_whatever_happens_there_is_no_storm(looks: list[dict[int, int]]) -> None:
    """There are at most ``MOST_MESSAGES`` about runs in any window, whatever fails and for however many causes."""
    batching, sent = Batching(), []
    for number, sizes in enumerate(looks):
        now = 7.0 * number
        keys = {MessageKey(Topic.FAILED, "Import", str(cause)): size for cause, size in sizes.items()}
        for key in batching.due(keys, now):
            batching.sent(key, now)
            sent.append(now)
    assert all(sum(at - WINDOW_SECONDS < other <= at for other in sent) <= MOST_MESSAGES for at in sent)
