"""The dispatcher: from the journal, in batches, whatever the notifier's server does."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from typing import TYPE_CHECKING

import pytest

from archiverd import log
from archiverd.core.environment import Environment
from archiverd.core.errors import ReportingError, Retry
from archiverd.core.machine import Event
from archiverd.core.priority import Lane
from archiverd.detached import run_detached
from archiverd.journal.journal import Journal
from archiverd.journal.rows import Hold
from archiverd.journal.transitions import Transition
from archiverd.notify import dispatcher, notifications
from archiverd.notify.dispatcher import Dispatcher
from archiverd.notify.message import Topic
from archiverd.notify.notifications import Notifications
from archiverd.process.shutdown import Shutdown, ShutdownReason
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from archiverd.notify.message import Message

DOWN = ReportingError("Cannot send mail through mail:25: Connection refused", retry=Retry.TRANSIENT, remedy="start it")


class Recorder:
    """A notifier that behaves as the test says."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.problem: Exception | None = None
        self.frozen = False
        self.tries = 0

    async def send(self, message: Message) -> None:
        self.tries += 1
        if self.frozen:
            await run_detached(threading.Event().wait, 600)
        if self.problem is not None:
            raise self.problem
        self.messages.append(message)

    async def check(self) -> None:
        """Succeed."""


class Bench:
    """A journal, a dispatcher, and the time."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.notifier = Recorder()
        self.now = 100.0
        self.works: bool | None = None
        self.said = io.StringIO()
        log.configure("INFO", "console", self.said)
        self.dispatcher = self.started()

    def started(self) -> Dispatcher:
        """Return a dispatcher as a new process has it."""
        environment = Environment(lambda: 1_000_000.0 + self.now, lambda: self.now, lambda low, _: low)
        return Dispatcher(
            "email",
            self.notifier,
            self.journal.notification_memory("email"),
            2,
            lambda: self.works,
            environment,
            "daq01",
        )

    async def fail(self, *runs: int, error: str = "ArtdaqDBError: x") -> None:
        await self.journal.see(runs, Lane.FRESH)
        for run in runs:
            await self.journal.record(Transition(run, Event.ENDED), Transition(run, Event.IMPORT_BEGINS))
            changes = {"error": error, "remedy": "mend it", "attempts": 1}
            await self.journal.record(Transition(run, Event.FAILED_FOR_GOOD, "", changes))

    async def repair(self, *runs: int) -> None:
        way = (Event.RELEASED, Event.IMPORT_BEGINS, Event.IMPORT_DONE, Event.UPLOAD_BEGINS, Event.UPLOAD_PROVEN)
        for run in runs:
            await self.journal.record(*(Transition(run, event) for event in way))

    async def live(self, seconds: float) -> None:
        """Run the dispatcher every second for ``seconds``."""
        end = self.now + seconds
        while self.now < end:
            await self.dispatcher._attempt(flush=False)
            self.now += 1.0

    @property
    def sent(self) -> list[tuple[Topic, str, list[int]]]:
        return [(one.topic, one.subject, [line.run for line in one.runs]) for one in self.notifier.messages]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench in an empty directory."""
    journal = Journal(tmp_path / "journal.sqlite", clock=time.time)
    await journal.open()
    yield Bench(journal)
    await journal.close()


async def test_a_batch_of_one_cause_is_one_message_and_so_is_its_repair(bench: Bench) -> None:
    """A failure is reported once, however often the journal is polled, and its repair once."""
    await bench.fail(7, 8)
    await bench.live(3)
    await bench.fail(9)
    await bench.live(60)
    assert bench.sent == [(Topic.FAILED, "Import", [7, 8, 9])]
    message = bench.notifier.messages[0]
    assert (message.host, message.cause, message.remedy) == ("daq01", "ArtdaqDBError: x", "mend it")
    await bench.repair(7, 8, 9)
    await bench.live(60)
    assert bench.sent[1:] == [(Topic.REPAIRED, "Import", [7, 8, 9])]
    assert "[Report] told by email: 3 runs failed in the import stage on daq01." in bench.said.getvalue()


async def test_two_causes_are_two_messages(bench: Bench) -> None:
    """Each has its own remedy."""
    await bench.fail(7, error="ArtdaqDBError: run 7")
    await bench.fail(8, error="FclPreperationError: run 8")
    await bench.fail(9, error="ArtdaqDBError: run 9")
    await bench.live(30)
    assert sorted(runs for _, _, runs in bench.sent) == [[7, 9], [8]]


async def test_a_restart_reports_nothing_twice_and_forgets_nothing(bench: Bench) -> None:
    """What was reported is in the journal, and so is what was not."""
    await bench.fail(7)
    await bench.live(10)
    await bench.fail(8)
    bench.dispatcher = bench.started()
    await bench.live(10)
    assert [runs for _, _, runs in bench.sent] == [[7], [8]]


async def test_while_a_server_is_down_it_is_tried_ever_more_rarely_and_the_cause_said_once(bench: Bench) -> None:
    """A day without mail server costs a hundred tries and one line; then what is true now is reported."""
    bench.notifier.problem = DOWN
    await bench.fail(1, 2)
    await bench.live(600)
    await bench.fail(3)
    await bench.repair(2)
    await bench.live(2 * 3600)
    assert bench.notifier.tries <= 8 + 2 * 3600 / 450 + 1
    said = bench.said.getvalue()
    assert said.count("[Report] ReportingError: Cannot send mail through mail:25: Connection refused (start it)") == 1
    bench.notifier.problem = None
    await bench.live(1000)
    assert bench.sent == [(Topic.FAILED, "Import", [1, 3])]
    assert "[Report] email works again" in bench.said.getvalue()


async def test_a_server_that_asks_for_patience_gets_it(bench: Bench) -> None:
    """Nothing is sent before the time that Slack asks for."""
    bench.notifier.problem = ReportingError("ratelimited", retry=Retry.TRANSIENT, context={"retry_after": 120})
    await bench.fail(1)
    await bench.live(120)
    assert bench.notifier.tries == 1
    await bench.live(10)
    assert bench.notifier.tries == 2


async def test_a_mistake_of_ours_is_logged_with_its_traceback_and_tried_again(bench: Bench) -> None:
    """An unexpected exception ends neither the dispatcher nor anything else."""
    bench.notifier.problem = KeyError("surprise")
    await bench.fail(1)
    await bench.live(300)
    said = bench.said.getvalue()
    assert said.count("UNEXPECTED ERROR SUMMARY") == 1
    assert "ReportingError: unexpected KeyError" in said
    bench.notifier.problem = None
    await bench.live(900)
    assert bench.sent == [(Topic.FAILED, "Import", [1])]


async def test_an_outage_is_one_message_and_its_end_another(bench: Bench) -> None:
    """An outage is one message, not one a run, and none while nobody has probed."""
    await bench.journal.hold("UconDB", Hold("UconDB", "away", 90.0, "UconDBError: refused", "wait", 1, 101.0))
    bench.works = False
    await bench.live(20)
    assert bench.sent == []
    await bench.live(200)
    await bench.journal.hold("UconDB", None)
    await bench.live(100)
    assert bench.sent == [(Topic.OUTAGE, "UconDB", [])]
    bench.works = True
    await bench.live(100)
    assert bench.sent == [(Topic.OUTAGE, "UconDB", []), (Topic.OUTAGE_OVER, "UconDB", [])]
    assert (bench.notifier.messages[0].cause, bench.notifier.messages[1].since) == ("UconDBError: refused", 90.0)


async def test_a_waived_run_is_forgotten_in_silence(bench: Bench) -> None:
    """The operator who waived a run knows of it."""
    await bench.fail(7)
    await bench.live(10)
    await bench.journal.record(Transition(7, Event.WAIVED))
    await bench.live(100)
    assert len(bench.sent) == 1
    assert (await bench.journal.notification_memory("email").news(2)).dropped == ()


async def test_a_daemon_that_ends_reports_what_is_left(bench: Bench) -> None:
    """A failure just before the end is reported before it, not after the next start."""
    await bench.fail(7)
    async with asyncio.timeout(DEADLINE_SECONDS), Notifications((bench.dispatcher,), None).of_daemon():
        pass
    assert bench.sent == [(Topic.FAILED, "Import", [7])]


async def test_a_pass_reports_once_at_its_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass sends one message a stage and cause at its end; after a first refusal it tries again."""
    monkeypatch.setattr(dispatcher, "FIRST_WAIT_SECONDS", 0.0)
    bench.notifier.problem = DOWN
    shutdown = Shutdown(time.monotonic)
    async with asyncio.timeout(DEADLINE_SECONDS), Notifications((bench.dispatcher,), None).of_pass(shutdown):
        await bench.fail(7)
        await bench.fail(8)
        assert bench.notifier.tries == 0
        asyncio.get_running_loop().call_later(0.05, setattr, bench.notifier, "problem", None)
    assert bench.sent == [(Topic.FAILED, "Import", [7, 8])]
    assert bench.notifier.tries > 1


@pytest.mark.parametrize("interrupted", [False, True])
async def test_a_frozen_server_delays_the_end_by_no_more_than_the_last_word(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    """Daemon, interrupted pass and pass wait for a limited time; then they end, and the news are reported later."""
    monkeypatch.setattr(notifications, "DRAIN_SECONDS", 0.05)
    monkeypatch.setattr(notifications, "PASS_SECONDS", 0.05 if not interrupted else 600.0)
    bench.notifier.frozen = True
    await bench.fail(7)
    shutdown = Shutdown(time.monotonic)
    if interrupted:
        shutdown.ask(ShutdownReason.INTERRUPTED)
    async with asyncio.timeout(DEADLINE_SECONDS):
        async with Notifications((bench.dispatcher,), None).of_pass(shutdown):
            pass
        async with Notifications((bench.started(),), None).of_daemon():
            pass
    assert bench.notifier.tries == 2
    assert [one.run for one in (await bench.journal.notification_memory("email").news(2)).failed] == [7]


async def test_what_goes_wrong_beside_does_not_reach_the_work(bench: Bench) -> None:
    """A bug in a task is logged; an error of the work itself is raised unchanged."""

    async def broken(_closing: asyncio.Event) -> None:
        raise RuntimeError("surprise")

    async def work() -> None:
        async with asyncio.timeout(DEADLINE_SECONDS), Notifications((), broken).of_daemon():
            await asyncio.sleep(0)
            raise DOWN

    with pytest.raises(ReportingError, match="mail:25"):
        await work()
    assert "RuntimeError: surprise" in bench.said.getvalue()
